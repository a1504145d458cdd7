//! The structural fingerprint of values: what changes it, and what does not.

#![cfg(test)]
#![expect(dead_code, reason = "the fields are only described, never read")]

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use headwater_state::{Text, shape};
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
struct Total {
    count: u64,
    last: Option<String>,
}

#[derive(Deserialize)]
enum Event {
    Opened,
    Paid(u64),
    Moved(String, i32),
    Closed { at: i64, by: Option<Total> },
}

#[test]
fn primitives_are_their_names() {
    assert_eq!(shape::of::<bool>(), "bool");
    assert_eq!(shape::of::<i8>(), "i8");
    assert_eq!(shape::of::<u64>(), "u64");
    assert_eq!(shape::of::<i128>(), "i128");
    assert_eq!(shape::of::<f32>(), "f32");
    assert_eq!(shape::of::<char>(), "char");
    assert_eq!(shape::of::<()>(), "()");
    assert_eq!(shape::of::<String>(), "text");
    assert_eq!(shape::of::<Text>(), "text");
}

#[test]
fn containers_show_what_they_hold() {
    assert_eq!(shape::of::<Option<Option<u8>>>(), "u8??");
    assert_eq!(shape::of::<Vec<Vec<u8>>>(), "[[u8]]");
    assert_eq!(shape::of::<VecDeque<f64>>(), "[f64]");
    assert_eq!(shape::of::<BTreeSet<String>>(), "[text]");
    assert_eq!(shape::of::<HashMap<String, (u64, bool)>>(), "map<text,(u64,bool)>");
    assert_eq!(shape::of::<BTreeMap<u8, BTreeMap<u8, u8>>>(), "map<u8,map<u8,u8>>");
    assert_eq!(shape::of::<(u64,)>(), "(u64,)");
    assert_eq!(shape::of::<(u64, (bool, String))>(), "(u64,(bool,text))");
    assert_eq!(shape::of::<[u8; 4]>(), "(u8,u8,u8,u8)");
    assert_eq!(shape::of::<[u8; 32]>(), "[u8;32]");
    assert_eq!(shape::of::<Box<[u8]>>(), "[u8]");
    assert_eq!(shape::of::<Duration>(), "{secs:u64,nanos:u32}");
    assert_eq!(shape::of::<Ipv4Addr>(), "(u8,u8,u8,u8)");
    assert_eq!(shape::of::<IpAddr>(), "<V4:(u8,u8,u8,u8)|V6:[u8;16]>");
    assert_eq!(shape::of::<std::result::Result<u8, String>>(), "<Ok:u8|Err:text>");
    assert_eq!(shape::of::<std::ops::Range<i64>>(), "{start:i64,end:i64}");
}

#[test]
fn structs_show_their_fields_and_enums_all_their_variants() {
    assert_eq!(shape::of::<Total>(), "{count:u64,last:text?}");
    assert_eq!(shape::of::<Event>(), "<Opened|Paid:u64|Moved:(text,i32)|Closed:{at:i64,by:{count:u64,last:text?}?}>");
    assert_eq!(
        shape::of::<(Event, Vec<Event>)>(),
        format!("({0},[{0}])", shape::of::<Event>()),
        "every variant in every place"
    );
}

#[test]
fn wrappers_and_the_names_of_types_do_not_count() {
    #[derive(Deserialize)]
    struct Cents(u64);
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Only {
        cents: Cents,
    }
    #[derive(Deserialize)]
    #[serde(rename = "Else")]
    struct Sum {
        count: Cents,
        last: Box<Option<Text>>,
    }
    #[derive(Deserialize)]
    struct Nothing;
    assert_eq!(shape::of::<Cents>(), "u64");
    assert_eq!(shape::of::<Only>(), "u64");
    assert_eq!(shape::of::<Nothing>(), "()");
    assert_eq!(shape::of::<Sum>(), shape::of::<Total>());
}

#[test]
fn every_change_of_a_struct_shows() {
    macro_rules! shape_of {
        ({ $($field:ident: $ty:ty),* }) => {{
            #[derive(Deserialize)]
            struct Probe { $($field: $ty),* }
            shape::of::<Probe>()
        }};
    }
    let shapes = [
        shape_of!({ a: u64, b: u64 }),
        shape_of!({ b: u64, a: u64 }),
        shape_of!({ a: u32, b: u64 }),
        shape_of!({ a: u64, c: u64 }),
        shape_of!({ a: u64 }),
        shape_of!({ a: u64, b: u64, c: u64 }),
        shape_of!({ a: u64, b: Option<u64> }),
        shape_of!({ a: u64, b: Vec<u64> }),
        shape_of!({ a: u64, b: (u64,) }),
        shape_of!({ a: u64, b: i64 }),
        shape_of!({ a: u64, b: f64 }),
    ];
    all_differ(&shapes);
}

#[test]
fn every_change_of_an_enum_shows() {
    macro_rules! shape_of {
        ($($body:tt)*) => {{
            #[derive(Deserialize)]
            enum Probe { $($body)* }
            shape::of::<Probe>()
        }};
    }
    let shapes = [
        shape_of!(A, B),
        shape_of!(B, A),
        shape_of!(A, C),
        shape_of!(A),
        shape_of!(A, B, C),
        shape_of!(A, B(u32)),
        shape_of!(A, B(u64)),
        shape_of!(A, B(u32, u32)),
        shape_of!(A, B { n: u32 }),
        shape_of!(A, B { m: u32 }),
        shape_of!(A(()), B),
    ];
    all_differ(&shapes);
}

fn all_differ(shapes: &[String]) {
    let different: BTreeSet<&String> = shapes.iter().collect();
    assert_eq!(different.len(), shapes.len(), "{shapes:#?}");
}

#[test]
fn generic_types_of_one_name_are_told_apart() {
    #[derive(Deserialize)]
    struct Timed<T> {
        at: i64,
        what: T,
    }
    assert_eq!(shape::of::<(Timed<u8>, Timed<Timed<bool>>)>(), "({at:i64,what:u8},{at:i64,what:{at:i64,what:bool}})");
}

#[test]
fn recursive_types_end() {
    #[derive(Deserialize)]
    struct Tree {
        value: u32,
        children: Vec<Tree>,
        label: String,
    }
    #[derive(Deserialize)]
    enum List {
        More(u32, Box<List>),
        End,
    }
    #[derive(Deserialize)]
    struct Nested(Vec<Nested>);
    #[derive(Deserialize)]
    struct Left {
        right: Option<Box<Right>>,
    }
    #[derive(Deserialize)]
    struct Right {
        left: Option<Box<Left>>,
        tree: Tree,
    }
    #[derive(Deserialize)]
    struct Endless {
        next: Box<Endless>,
        n: u8,
    }
    assert_eq!(shape::of::<Tree>(), "{value:u32,children:[^2],label:text}");
    assert_eq!(shape::of::<List>(), "<More:(u32,^1)|End>");
    assert_eq!(shape::of::<(List, u8)>(), "(<More:(u32,^1)|End>,u8)");
    assert_eq!(shape::of::<Nested>(), "[^1]");
    assert_eq!(shape::of::<Left>(), "{right:{left:^4?,tree:{value:u32,children:[^2],label:text}}?}");
    assert_eq!(shape::of::<Endless>(), "{next:^1,n:u8}");
}

/// Refuses whatever it is given.
struct Never;

impl<'de> Deserialize<'de> for Never {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        u32::deserialize(deserializer)?;
        Err(serde::de::Error::custom("no"))
    }
}

#[test]
fn types_that_check_their_values_do_not_hide_their_neighbours() {
    #[derive(Deserialize)]
    #[serde(try_from = "(u8, u8)")]
    struct Span(u8, u8);
    impl TryFrom<(u8, u8)> for Span {
        type Error = &'static str;
        fn try_from((from, to): (u8, u8)) -> std::result::Result<Self, Self::Error> {
            if from > 3 && to > 3 { Ok(Self(from, to)) } else { Err("too small") }
        }
    }
    #[derive(Deserialize)]
    struct Row {
        never: Never,
        count: NonZeroU32,
        tuple: (NonZeroU32, Span, String),
        event: Event,
    }
    assert_eq!(shape::of::<NonZeroU32>(), "u32");
    assert_eq!(shape::of::<Never>(), "u32");
    assert_eq!(
        shape::of::<Row>(),
        format!("{{never:u32,count:u32,tuple:(u32,(u8,u8),text),event:{}}}", shape::of::<Event>())
    );
    assert_eq!(shape::of::<HashMap<NonZeroU32, String>>(), "map<u32,text>");
}

#[test]
fn what_cannot_be_known_is_opaque() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u64),
        Text(String),
    }
    #[derive(Deserialize)]
    struct Row {
        known: u8,
        unknown: Untagged,
        json: serde_json::Value,
        also_known: bool,
    }
    #[derive(Deserialize)]
    struct Flat {
        a: u8,
        #[serde(flatten)]
        rest: HashMap<String, u8>,
    }
    assert_eq!(shape::of::<serde_json::Value>(), "opaque");
    assert_eq!(shape::of::<Row>(), "{known:u8,unknown:opaque,json:opaque,also_known:bool}");
    assert_eq!(shape::of::<(Never, u8)>(), "(u32,opaque)", "what follows in a tuple is out of reach");
    assert_eq!(shape::of::<Flat>(), "map<opaque,opaque>");
}

#[test]
fn an_alias_of_a_field_changes_nothing() {
    #[derive(Deserialize)]
    struct Row {
        #[serde(alias = "aaa", alias = "number")]
        count: u64,
        #[serde(alias = "z")]
        last: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[serde(alias = "aaa")]
        count: u64,
        last: Option<String>,
    }
    assert_eq!(shape::of::<Row>(), shape::of::<Total>());
    assert_eq!(shape::of::<Strict>(), shape::of::<Total>());
    assert_eq!(shape::of::<(Row, u8)>(), "({count:u64,last:text?},u8)");
}

#[test]
fn an_alias_of_a_variant_is_listed() {
    #[derive(Deserialize)]
    enum Side {
        #[serde(alias = "Port")]
        Left,
        Right(u8),
    }
    assert_eq!(shape::of::<Side>(), "<#0|#1:u8;Left,Port,Right>");
}

#[test]
fn skipped_and_defaulted_fields_are_as_in_the_bytes() {
    #[derive(Deserialize)]
    struct Row {
        #[serde(default)]
        a: u8,
        #[serde(skip)]
        b: Option<Rc<u8>>,
        c: u16,
    }
    assert_eq!(shape::of::<Row>(), "{a:u8,c:u16}");
}

#[test]
fn odd_names_cannot_be_mistaken_for_structure() {
    #[derive(Deserialize)]
    struct Odd {
        #[serde(rename = "a:u8,b")]
        a: u8,
    }
    assert_eq!(shape::of::<Odd>(), r#"{"a:u8,b":u8}"#);
}

/// Reads its fields in order only, as hand-written code for binary formats may.
struct InOrder(u8, String);

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = InOrder;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("two fields")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<InOrder, A::Error> {
                let missing = || serde::de::Error::custom("missing");
                let first = seq.next_element()?.ok_or_else(missing)?;
                Ok(InOrder(first, seq.next_element()?.ok_or_else(missing)?))
            }
        }
        deserializer.deserialize_struct("InOrder", &["first", "second"], Visitor)
    }
}

#[test]
fn hand_written_readers_are_followed() {
    assert_eq!(shape::of::<InOrder>(), "{first:u8,second:text}");
    assert_eq!(shape::of::<Vec<(InOrder, bool)>>(), "[({first:u8,second:text},bool)]");
}

#[test]
fn wide_and_deep_types_are_known_whole() {
    #[derive(Deserialize)]
    struct Wide {
        a: (Event, Event, Event, Event),
        b: BTreeMap<String, (Event, Event, Event)>,
        c: Option<Vec<(Event, Total, Event)>>,
        d: std::result::Result<Event, (Event, Event)>,
    }
    let found = shape::of::<(Wide, Wide, Wide)>();
    assert!(!found.contains("opaque"), "{found}");
    assert_eq!(found, shape::of::<(Wide, Wide, Wide)>());
}
