//! Keys: bytes that return, keep the order of values, are never shared by two values, and never change.

#![cfg(test)]

use headwater_state::{Key, Kind, Shard, Text, decode_delimited, encode_delimited, hash_bytes};
use proptest::prelude::*;

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
    assert_eq!(key.hash64(), hash_bytes(&whole), "{key:?}");
    for tail in [&[][..], &[0], &[1], &[0xff]] {
        let parts = [part(key).as_slice(), tail].concat();
        let mut rest = parts.as_slice();
        assert_eq!(K::decode_part(&mut rest).expect("decodes"), *key);
        assert_eq!(rest, tail);
    }
}

/// Bytes compare as values do: so equal bytes mean equal values.
fn ordered<K: Key + Ord + std::fmt::Debug>(a: &K, b: &K) {
    assert_eq!(bytes(a).cmp(&bytes(b)), a.cmp(b), "{a:?} {b:?}");
    assert_eq!(part(a).cmp(&part(b)), a.cmp(b), "{a:?} {b:?}");
}

fn both<K: Key + Ord + std::fmt::Debug>(a: &K, b: &K) {
    returns(a);
    returns(b);
    ordered(a, b);
}

/// Text of the bytes that delimiting is about, so that near misses are common.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[\\x00\\x01\\x02a]{0,4}", 1 => ".{0,40}"]
}

/// Numbers that are often small, so that equal first parts are common.
fn small() -> impl Strategy<Value = i16> {
    prop_oneof![-2i16..3, any::<i16>()]
}

macro_rules! integers {
    ($($test:ident $ty:ty),*) => {
        proptest! {
            $(
                #[test]
                fn $test(a in any::<$ty>(), b in any::<$ty>(), near in -1i8..2) {
                    both(&a, &b);
                    both(&a, &a.wrapping_add(near as $ty));
                    both(&<$ty>::MIN, &<$ty>::MAX);
                }
            )*
        }
    };
}

integers!(
    i8_keys i8, i16_keys i16, i32_keys i32, i64_keys i64, i128_keys i128,
    u8_keys u8, u16_keys u16, u32_keys u32, u64_keys u64, u128_keys u128
);

proptest! {
    #[test]
    fn text_keys(a in text(), b in text()) {
        both(&a, &b);
        both(&Text::from(a), &Text::from(b));
    }

    #[test]
    fn pairs(a in (text(), text()), b in (text(), text())) {
        both(&a, &b);
    }

    #[test]
    fn pairs_of_other_types(a in (small(), any::<bool>()), b in (small(), any::<bool>())) {
        both(&a, &b);
    }

    #[test]
    fn triples(a in (text(), small(), text()), b in (text(), small(), text())) {
        both(&a, &b);
    }

    #[test]
    fn nested_tuples(
        a in ((text(), any::<bool>()), (small(), text())),
        b in ((text(), any::<bool>()), (small(), text())),
    ) {
        both(&a, &b);
    }

    #[test]
    fn fours_and_fives(
        a in (text(), text(), text(), text(), text()),
        b in (text(), text(), text(), text(), text()),
    ) {
        both(&a, &b);
        both(&(a.0, a.1, a.2, a.3), &(b.0, b.1, b.2, b.3));
    }

    #[test]
    fn delimited_bytes_return(inside in prop::collection::vec(0u8..3, 0..20), tail in prop::collection::vec(0u8..3, 0..4)) {
        let mut written = Vec::new();
        encode_delimited(&inside, &mut written);
        let short = written.clone();
        written.extend_from_slice(&tail);
        let mut rest = written.as_slice();
        prop_assert_eq!(&*decode_delimited(&mut rest).expect("decodes"), inside.as_slice());
        prop_assert_eq!(rest, tail.as_slice());
        for length in 0..short.len() {
            prop_assert!(decode_delimited(&mut &short[..length]).is_err());
        }
    }

    #[test]
    fn what_is_read_from_any_bytes_is_written_back_the_same(any in prop::collection::vec(any::<u8>(), 0..12)) {
        fn canonical<K: Key>(any: &[u8]) {
            if let Ok(key) = K::decode(any) {
                assert_eq!(bytes(&key), any);
            }
        }
        canonical::<bool>(&any);
        canonical::<u64>(&any);
        canonical::<i16>(&any);
        canonical::<String>(&any);
        canonical::<Text>(&any);
        canonical::<()>(&any);
        canonical::<(String, u32)>(&any);
        canonical::<(bool, String, ())>(&any);
    }
}

#[test]
fn no_two_tuples_have_the_same_bytes() {
    let texts = ["", "\0", "\0\0", "\u{1}", "\0\u{1}", "a", "a\0", "a\0\u{1}", "\u{ff}"];
    let mut seen = std::collections::BTreeMap::new();
    for a in texts {
        for b in texts {
            for c in texts {
                let key = (a.to_owned(), b.to_owned(), c.to_owned());
                assert_eq!(seen.insert(bytes(&key), key.clone()), None, "{key:?}");
            }
        }
    }
}

#[test]
fn foreign_bytes_are_corrupt() {
    fn refused<K: Key>(bytes: &[u8]) {
        match K::decode(bytes) {
            Ok(_) => panic!("{bytes:?} is no {}", K::shape()),
            Err(error) => assert_eq!(error.kind(), Kind::Corrupt),
        }
    }
    refused::<u32>(&[1, 2, 3]);
    refused::<u32>(&[1, 2, 3, 4, 5]);
    refused::<bool>(&[2]);
    refused::<()>(&[0]);
    refused::<String>(&[0xff]);
    refused::<Text>(&[0xff]);
    refused::<(String, u8)>(b"a\x00");
    refused::<(String, u8)>(b"a\x00\x02\x01");
    refused::<(String, u8)>(b"a\x00\x01");
    refused::<(u32, u8)>(&[0, 0]);
}

#[test]
fn a_hash_within_a_hash_is_right() {
    #[derive(Clone, PartialEq, Eq)]
    struct Hashed(String);
    impl Key for Hashed {
        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(self.0.as_bytes());
            (self.0.clone(), 1u8).hash64().encode(out);
        }
        fn encode_part(&self, out: &mut Vec<u8>) {
            encode_delimited(&bytes(self), out);
        }
        fn decode(_: &[u8]) -> headwater_state::Result<Self> {
            Err(headwater_state::Error::bug("not needed"))
        }
        fn decode_part(_: &mut &[u8]) -> headwater_state::Result<Self> {
            Err(headwater_state::Error::bug("not needed"))
        }
        fn shape() -> String {
            "hashed".into()
        }
    }
    let key = Hashed("x".repeat(10_000));
    assert_eq!(key.hash64(), hash_bytes(&bytes(&key)));
    let pair = (key.clone(), 7u64);
    assert_eq!(pair.hash64(), hash_bytes(&bytes(&pair)));
}

#[test]
fn shapes_are_structure() {
    assert_eq!(<(String, (i8, bool), ())>::shape(), "(text,(i8,bool),())");
    assert_eq!(<(Text, u128)>::shape(), "(text,u128)");
}

/// State and routing hang on these bytes and hashes: a release that changes one loses its users' state.
/// The hashes were computed by the reference implementation of XXH3.
#[test]
fn bytes_and_hashes_are_those_of_every_release() {
    fn golden(key: &impl Key, hex: &str, hash: u64, shard: u16) {
        let found: String = bytes(key).iter().map(|byte| format!("{byte:02x}")).collect();
        let found = (found.as_str(), format!("{:016x}", key.hash64()), Shard::of(key.hash64(), 32).0);
        assert_eq!(found, (hex, format!("{hash:016x}"), shard));
    }
    golden(&(), "", 0x2d06_8005_38d3_94c2, 16);
    golden(&true, "01", 0xe12e_f9d2_eb86_ceeb, 31);
    golden(&7u8, "07", 0x4c5c_ca45_d0f4_811f, 25);
    golden(&-1i8, "7f", 0x2a14_0471_f45f_f181, 0);
    golden(&258u16, "0102", 0x0813_0b77_ddef_5807, 1);
    golden(&-2i16, "7ffe", 0x0c60_ab66_7e20_3f04, 21);
    golden(&0xdead_beefu32, "deadbeef", 0xc5a6_ab5e_ffcd_7451, 21);
    golden(&i32::MIN, "00000000", 0x48b2_c926_16fc_193d, 25);
    golden(&42u64, "000000000000002a", 0x2e4f_e982_b689_10ac, 29);
    golden(&-42i64, "7fffffffffffffd6", 0xdb7c_ba26_f0f2_ef8d, 23);
    golden(&1u128, "00000000000000000000000000000001", 0x4152_418f_75dd_93bb, 8);
    golden(&1i128, "80000000000000000000000000000001", 0xd01f_43f0_a567_9af8, 8);
    golden(&String::new(), "", 0x2d06_8005_38d3_94c2, 16);
    golden(&String::from("user-42"), "757365722d3432", 0x50fe_4b21_cf7b_09cd, 9);
    golden(&Text::from("user-42"), "757365722d3432", 0x50fe_4b21_cf7b_09cd, 9);
    golden(&Text::from("Zoë\0"), "5a6fc3ab00", 0x43d2_4450_b135_3a03, 8);
    golden(&"x".repeat(20), &"78".repeat(20), 0xb506_3209_8796_72bf, 6);
    golden(&"x".repeat(200), &"78".repeat(200), 0x50ef_124f_b1e4_de53, 2);
    golden(&"x".repeat(300), &"78".repeat(300), 0xa5d1_b460_7dc8_3554, 22);
    golden(&(String::from("a\0b"), 1u16), "6100ff6200010001", 0x88fc_2f3c_1d31_8e42, 5);
    golden(&(1u8, String::from("a\0b")), "01610062", 0xf4ab_12fe_a046_f581, 2);
    golden(&(String::from("a"), Text::from("b"), true), "61000162000101", 0x9888_6a59_a1ef_8bec, 13);
}
