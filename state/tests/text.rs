//! `Text`: its size, where it lives, and that it stands in for `String`.

#![cfg(test)]

use std::collections::HashMap;

use headwater_state::{Key, Text};
use proptest::prelude::*;

#[test]
fn it_is_24_bytes_and_so_is_the_absence_of_it() {
    assert_eq!(size_of::<Text>(), 24);
    assert_eq!(size_of::<Option<Text>>(), 24);
}

#[test]
fn up_to_24_bytes_are_inline() {
    let longest = "x".repeat(Text::INLINE_BYTES_MAX);
    assert_eq!(Text::from(longest.as_str()).heap_bytes(), 0);
    let longer = Text::from(longest + "x");
    assert!(longer.heap_bytes() >= 25, "{}", longer.heap_bytes());
}

#[test]
fn maps_are_asked_with_str() {
    let counts = HashMap::from([(Text::from("ada"), 1)]);
    assert_eq!(counts.get("ada"), Some(&1));
}

#[test]
fn it_compares_with_every_kind_of_string() {
    let text = Text::from("ada");
    assert_eq!(text, "ada");
    assert_eq!("ada", text);
    assert_eq!(text, *"ada");
    assert_eq!(text, String::from("ada"));
    assert_eq!(format!("{text:>5} {text:?}"), "  ada \"ada\"");
}

#[test]
fn json_with_escapes_is_read() {
    let text: Text = serde_json::from_str(r#""a\n\u00e9""#).expect("reads");
    assert_eq!(text, "a\né");
    assert_eq!(serde_json::to_string(&text).expect("writes"), "\"a\\né\"");
    assert!(serde_json::from_str::<Text>("1").is_err());
}

proptest! {
    #[test]
    fn it_is_written_and_hashed_as_a_string(string in ".{0,40}") {
        let text = Text::from(string.as_str());
        prop_assert_eq!(&text, &string);
        let (mut of_text, mut of_string) = (Vec::new(), Vec::new());
        text.encode(&mut of_text);
        string.encode(&mut of_string);
        text.encode_part(&mut of_text);
        string.encode_part(&mut of_string);
        prop_assert_eq!(of_text, of_string);
        prop_assert_eq!(text.hash64(), string.hash64());

        let bytes = postcard::to_allocvec(&text).expect("writes");
        prop_assert_eq!(&bytes, &postcard::to_allocvec(&string).expect("writes"));
        prop_assert_eq!(postcard::from_bytes::<Text>(&bytes).expect("reads"), text.clone());
        prop_assert_eq!(String::from(text), string);
    }
}
