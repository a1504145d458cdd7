//! What is done about records that nobody will end.

use super::super::marker::{VERSION, digest};
use super::*;

const WRITER: &str = "j/a";

fn token(attempt: &str) -> Token {
    Token { epoch: 7, attempt: attempt.to_owned(), owner: WRITER.to_owned() }
}

fn block(number: u8) -> Vec<u8> {
    vec![BLOCK, 0, 0, 0, 0, number]
}

fn marker(attempt: &str, blocks: &[Vec<u8>]) -> Vec<u8> {
    let blocks: Vec<Block> =
        blocks.iter().map(|bytes| Block { shard: Shard(3), bytes: Arc::from(&bytes[1..]) }).collect();
    let marker = Marker {
        v: VERSION,
        job: "1".to_owned(),
        token: token(attempt),
        blocks: blocks.len() as u32,
        digest: digest(&blocks),
        shards: vec![3],
        log_bytes: 0,
        since: 1,
        record: None,
        manifest: None,
    };
    marker.write().unwrap()
}

/// Judges records of these writers from offset 10 on, the last of which is the marker that the group names.
fn judged(writer: &str, records: &[(&str, Vec<u8>)]) -> &'static str {
    let end = 10 + records.len() as i64;
    let of = Hanging { shard: 3, writer: writer.to_owned(), from: 10, committed: None };
    let open =
        |(offset, (key, value)): (i64, &(&str, Vec<u8>))| Open { offset, key: (*key).into(), value: value.clone() };
    match verdict(&of, &token("one"), end, (10..).zip(records).map(open).collect()) {
        Verdict::Abort => "abort",
        Verdict::Copy(part) => {
            assert_eq!(part.records, records.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>());
            "copy"
        }
        Verdict::Unclear => "unclear",
    }
}

#[test]
fn a_whole_part_of_a_commit_is_copied() {
    let blocks = [block(1), block(2)];
    let [one, two] = blocks.clone();
    assert_eq!(judged(WRITER, &[(WRITER, one.clone()), (WRITER, two), (WRITER, marker("one", &blocks))]), "copy");
    assert_eq!(judged(WRITER, &[(WRITER, marker("one", &[]))]), "copy");
    // One that was made already.
    let copy = [(WRITER, one.clone()), (WRITER, marker("one", &blocks[..1])), ("j/a/copies", one.clone())];
    let copy = [&copy[..], &[("j/a/copies", marker("one", &blocks[..1]))]].concat();
    assert_eq!(judged(WRITER, &copy), "abort");
    assert_eq!(judged("j/a/copies", &copy[2..]), "unclear");
}

#[test]
fn what_is_not_clear_is_left_alone() {
    let blocks = [block(1)];
    let (block, other) = (block(1), block(2));
    let whole = marker("one", &blocks);
    assert_eq!(judged(WRITER, &[]), "unclear");
    assert_eq!(judged(WRITER, &[(WRITER, block.clone())]), "unclear", "no marker");
    assert_eq!(judged(WRITER, &[(WRITER, block.clone()), (WRITER, marker("two", &blocks))]), "unclear", "another one");
    assert_eq!(judged(WRITER, &[(WRITER, whole.clone())]), "unclear", "no block");
    assert_eq!(judged(WRITER, &[("j/b", block.clone()), (WRITER, whole.clone())]), "unclear", "another writer's");
    assert_eq!(judged(WRITER, &[(WRITER, block.clone()), ("j/b", whole.clone())]), "unclear", "another writer's");
    // An attempt that was aborted hangs before it.
    let before = [(WRITER, other.clone()), (WRITER, marker("zero", &[other])), (WRITER, block), (WRITER, whole)];
    assert_eq!(judged(WRITER, &before), "unclear");
}
