use std::sync::Arc;

use super::*;
use crate::Received;

fn received(offset: i64, value: Option<()>) -> Option<Box<Received<Option<()>>>> {
    Some(Box::new(Received {
        value,
        key: Some(vec![0xff, 0]),
        headers: vec![Header::new("shop", "north"), Header { name: "none".into(), value: None }],
        timestamp: Some(Timestamp::from_seconds(5)),
        topic: Arc::from("shop.orders"),
        partition: 3,
        offset,
    }))
}

fn bad(payload: &[u8], offset: i64) -> BadRecord {
    let error = Error::record("expected value").caused_by(std::io::Error::other("why"));
    BadRecord { received: received(offset, Some(())), ..BadRecord::new("p".into(), &error, payload.to_vec()) }
}

#[test]
fn a_letter_keeps_every_byte_and_where_it_was() {
    let letter = DeadLetter::bad_record("orders", "orders/3", bad(b"\xc3\x28", 17));
    assert_eq!((letter.bytes(), letter.key_bytes()), (Some(b"\xc3\x28".to_vec()), Some(vec![0xff, 0])));
    assert_eq!((letter.payload_hex.as_deref(), letter.payload.as_deref()), (Some("c328"), None));
    assert_eq!(letter.causes, ["why"]);
    let origin = letter.origin.clone().unwrap();
    assert_eq!((origin.topic.as_str(), origin.partition, origin.offset), ("shop.orders", 3, 17));
    let headers: Vec<Header> = letter.headers.iter().map(Header::from).collect();
    assert_eq!(headers, received(17, None).unwrap().headers);
    let read: DeadLetter = serde_json::from_str(&serde_json::to_string(&letter).unwrap()).unwrap();
    assert_eq!(read, letter);
}

#[test]
fn an_id_is_that_of_the_place_and_of_what_stood_there() {
    let id = |offset, payload: &[u8]| DeadLetter::bad_record("orders", "orders/3", bad(payload, offset)).id;
    assert_eq!(id(17, b"a"), id(17, b"a"));
    assert!(id(17, b"a") != id(18, b"a") && id(17, b"a") != id(17, b"b"), "a recreated topic has the same offsets");
    assert!(id(17, b"a").starts_with("orders/3@17-"), "{}", id(17, b"a"));
    let file = |place: &str| {
        let record = BadRecord { place: place.into(), payload: b"a".to_vec(), ..BadRecord::default() };
        DeadLetter::bad_record("orders", "orders/0", record).id
    };
    assert_ne!(file("a.jsonl line 1"), file("a.jsonl line 2"));
}

#[test]
fn a_tombstone_is_told_from_an_empty_value() {
    let empty = DeadLetter::bad_record("orders", "orders/3", bad(b"", 1));
    assert_eq!(empty.bytes(), Some(Vec::new()));
    let tombstone = BadRecord { received: received(1, None), ..bad(b"", 1) };
    assert_eq!(DeadLetter::bad_record("orders", "orders/3", tombstone).bytes(), None);
}

#[test]
fn what_fails_again_is_another_letter_with_one_more_attempt() {
    let first = DeadLetter::bad_record("orders", "orders/3", bad(b"a", 17));
    let second = first.again(&Error::record("still wrong"));
    let third = second.again(&Error::record("still wrong"));
    assert_eq!((second.id.as_str(), second.attempts), (format!("{}~1", first.id).as_str(), 2));
    assert_eq!((third.id.as_str(), third.attempts), (format!("{}~2", first.id).as_str(), 3));
    assert_eq!((third.bytes(), third.error.as_str()), (first.bytes(), "still wrong"));
}

#[cfg(feature = "kafka")]
#[test]
fn what_is_too_large_is_cut_at_a_letter_and_says_so() {
    let value = "é".repeat(20_000);
    let of = (Some(b"ann".as_slice()), [].as_slice(), value.as_bytes());
    let letter = DeadLetter::too_large("out", "Kafka topic out".into(), ("output".into(), "too large".into()), of);
    assert_eq!(letter.payload_cut_from, Some(40_000));
    assert_eq!(letter.payload.unwrap().len(), PAYLOAD_BYTES_MAX);
    assert!(letter.error.ends_with("the first 16384 of 40000 bytes"), "{}", letter.error);
}

#[test]
fn a_letter_of_an_older_version_is_read_and_has_an_id() {
    let old = r#"{"topic":"orders","partition":"orders/0","place":"in line 3","error":"EOF","payload_hex":"c328"}"#;
    let letter: DeadLetter = serde_json::from_str(old).unwrap();
    assert_eq!((letter.operator(), letter.bytes(), letter.attempts), ("orders", Some(vec![0xc3, 0x28]), 0));
    assert!(letter.id().starts_with("orders/0-") && letter.id() == letter.id());
    let broken = DeadLetter { payload_hex: Some("c".into()), ..letter };
    assert_eq!(broken.bytes(), None);
}
