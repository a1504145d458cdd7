//! `#[derive(Key)]`: the bytes, shapes and hashes of structs and enums, and what is refused.

#![cfg(test)]

#[path = "support/compile.rs"]
mod compile;

use headwater_state::{Key, Text, hash_bytes};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, Key)]
struct Card {
    user: Text,
    shop: String,
    number: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Key)]
struct Route(Text, i64);

#[derive(Clone, Debug, PartialEq, Eq, Key)]
struct UserId(Text);

#[derive(Clone, Debug, PartialEq, Eq, Key)]
struct Named {
    id: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Key)]
struct Everything;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Key)]
enum Channel {
    Shop,
    Online,
    Phone,
}

#[derive(Clone, Debug, PartialEq, Eq, Key)]
struct Scoped<T, const N: usize> {
    inner: T,
    card: Card,
    r#type: Channel,
}

mod elsewhere {
    pub use headwater_state as state;
}

#[derive(Clone, Debug, PartialEq, Eq, Key)]
#[key(crate = "elsewhere::state")]
struct Moved(u8, bool);

fn bytes(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

fn part(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode_part(&mut bytes);
    bytes
}

fn returns<K: Key + std::fmt::Debug>(key: &K) {
    let whole = bytes(key);
    assert_eq!(K::decode(&whole).expect("decodes"), *key);
    assert_eq!(key.hash64(), hash_bytes(&whole));
    let mut parts = part(key);
    parts.push(9);
    let mut rest = parts.as_slice();
    assert_eq!(K::decode_part(&mut rest).expect("decodes"), *key);
    assert_eq!(rest, [9]);
}

fn card() -> impl Strategy<Value = Card> {
    ("[\\x00-\\x02a]{0,30}", "[\\x00-\\x02a]{0,3}", any::<u32>()).prop_map(|(user, shop, number)| Card {
        user: user.into(),
        shop,
        number,
    })
}

fn channel() -> impl Strategy<Value = Channel> {
    prop_oneof![Just(Channel::Shop), Just(Channel::Online), Just(Channel::Phone)]
}

proptest! {
    #[test]
    fn what_is_written_is_read(card in card(), other in any::<i64>(), channel in channel()) {
        returns(&card);
        returns(&Route(card.user.clone(), other));
        returns(&UserId(card.user.clone()));
        returns(&Named { id: other as u64 });
        returns(&channel);
        returns(&Moved(card.number as u8, other > 0));
        returns(&Scoped::<_, 3> { inner: Route(card.user.clone(), other), card, r#type: channel });
    }

    #[test]
    fn a_struct_has_the_bytes_of_a_tuple(card in card()) {
        let tuple = (card.user.clone(), card.shop.clone(), card.number);
        prop_assert_eq!(bytes(&card), bytes(&tuple));
        prop_assert_eq!(part(&card), part(&tuple));
        prop_assert_eq!(card.hash64(), tuple.hash64());
        prop_assert_eq!(card.heap_bytes(), card.user.heap_bytes() + card.shop.capacity());
    }

    #[test]
    fn a_newtype_has_the_bytes_of_its_field(user in ".{0,40}") {
        let (id, text) = (UserId(user.as_str().into()), Text::from(user));
        prop_assert_eq!(bytes(&id), bytes(&text));
        prop_assert_eq!(part(&id), part(&text));
        prop_assert_eq!(id.hash64(), text.hash64());
        prop_assert_eq!(id.heap_bytes(), id.0.heap_bytes());
    }
}

#[test]
fn a_unit_struct_has_no_bytes() {
    returns(&Everything);
    assert!(bytes(&Everything).is_empty());
    assert!(Everything::decode(&[0]).is_err());
}

#[test]
fn an_enum_is_the_place_of_its_variant() {
    assert_eq!(bytes(&Channel::Phone), [2]);
    let error = Channel::decode(&[3]).expect_err("there is no fourth");
    assert_eq!(error.to_string(), "key of type Channel has no variant 3");
}

#[test]
fn shapes_are_structure_and_names_of_fields() {
    assert_eq!(Card::shape(), "(user:text,shop:text,number:u32)");
    assert_eq!(Route::shape(), "(text,i64)");
    assert_eq!(UserId::shape(), "text");
    assert_eq!(Named::shape(), "(id:u64)");
    assert_eq!(Everything::shape(), "()");
    assert_eq!(Channel::shape(), "<Shop|Online|Phone>");
    assert_eq!(
        Scoped::<UserId, 3>::shape(),
        "(inner:text,card:(user:text,shop:text,number:u32),type:<Shop|Online|Phone>)"
    );
}

#[test]
fn a_changed_struct_has_another_shape() {
    #[derive(Clone, PartialEq, Eq, Key)]
    struct Before {
        a: u32,
        b: u32,
    }
    mod after {
        use headwater_state::Key;
        #[derive(Clone, PartialEq, Eq, Key)]
        pub struct Reordered {
            b: u32,
            a: u32,
        }
        #[derive(Clone, PartialEq, Eq, Key)]
        pub struct Renamed {
            a: u32,
            c: u32,
        }
        #[derive(Clone, PartialEq, Eq, Key)]
        pub struct Retyped {
            a: u32,
            b: i32,
        }
        #[derive(Clone, PartialEq, Eq, Key)]
        pub struct Before2 {
            a: u32,
            b: u32,
        }
    }
    for changed in [after::Reordered::shape(), after::Renamed::shape(), after::Retyped::shape()] {
        assert_ne!(Before::shape(), changed);
    }
    assert_eq!(Before::shape(), after::Before2::shape(), "the type's own name does not count");
}

#[test]
fn what_cannot_be_a_key_is_said_plainly() {
    compile::check(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail"), "headwater_state");
}
