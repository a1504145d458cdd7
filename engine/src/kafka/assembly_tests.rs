use headwater_state::Namespace;
use headwater_state::block::{BlockWriter, Change};

use super::super::marker::{VERSION, digest, raw};
use super::*;
use crate::Kind;

fn block(shard: u16, epoch: u64) -> Block {
    let mut writer = BlockWriter::new(Shard(shard), Epoch(epoch));
    writer.section("counts", Namespace::NONE);
    writer.push(Change::Put(b"key", b"value"));
    writer.finish().remove(0)
}

fn marker(epoch: u64, shard: u16, shards: &[u16], blocks: &[Block], job: &str) -> Vec<u8> {
    let token = Token { epoch, attempt: "a".to_owned(), owner: "job/one".to_owned() };
    let record = (shards.first() == Some(&shard)).then(|| raw(br#"{"of":1}"#).unwrap());
    let (v, job, shards) = (VERSION, job.to_owned(), shards.to_vec());
    let (blocks, digest) = (blocks.len() as u32, digest(blocks));
    Marker { v, job, token, blocks, digest, shards, log_bytes: 10 * epoch, record, since: 1, manifest: None }
        .write()
        .unwrap()
}

/// A shard's part of a commit: one block and the marker.
fn part(assembly: &mut Assembly, epoch: u64, shard: u16, shards: &[u16], offset: i64) -> Result<()> {
    let block = block(shard, epoch);
    assembly.take(shard, offset, &[&[BLOCK], &*block.bytes].concat())?;
    assembly.take(shard, offset + 1, &marker(epoch, shard, shards, &[block], "job"))
}

#[test]
fn a_commit_is_given_when_all_of_its_parts_have_come() {
    let mut assembly = Assembly::new("job.state", 3, true, Epoch(0));
    assembly.ends(1, true);
    part(&mut assembly, 1, 2, &[0, 2], 0).unwrap();
    part(&mut assembly, 2, 2, &[2], 2).unwrap();
    assert_eq!(assembly.next().unwrap(), None);
    assert!(assembly.is_ahead(2) && !assembly.is_ahead(0) && !assembly.is_whole());
    part(&mut assembly, 1, 0, &[0, 2], 0).unwrap();
    let first = assembly.next().unwrap().unwrap();
    assert_eq!((first.epoch, first.marker.as_slice()), (Epoch(1), &br#"{"of":1}"#[..]));
    assert_eq!(first.blocks.iter().map(|block| block.shard.0).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(assembly.next().unwrap().unwrap().epoch, Epoch(2));
    assert!(assembly.is_whole() && assembly.next().unwrap().is_none());
    assert_eq!(assembly.log_bytes(), 20);
    assert_eq!(assembly.last().iter().map(|last| last.offset).collect::<Vec<_>>(), [1, 0, 3]);
}

#[test]
fn what_was_deleted_at_the_start_is_not_waited_for() {
    let mut assembly = Assembly::new("job.state", 2, true, Epoch(0));
    part(&mut assembly, 4, 0, &[0, 1], 10).unwrap();
    assert_eq!(assembly.next().unwrap(), None);
    // Shard 1 begins with the next commit.
    part(&mut assembly, 5, 1, &[0, 1], 20).unwrap();
    assert_eq!(assembly.next().unwrap().unwrap().epoch, Epoch(4));
    assert_eq!(assembly.next().unwrap(), None);
    part(&mut assembly, 5, 0, &[0, 1], 12).unwrap();
    assert_eq!(assembly.next().unwrap().unwrap().blocks.len(), 2);
}

#[test]
fn what_is_missing_behind_the_start_is_told() {
    let mut assembly = Assembly::new("job.state", 2, false, Epoch(3));
    part(&mut assembly, 3, 0, &[0, 1], 10).unwrap();
    part(&mut assembly, 3, 1, &[0, 1], 20).unwrap();
    assert_eq!(assembly.next().unwrap(), None, "reached before");
    assert!(assembly.record_of(3).is_some());
    part(&mut assembly, 4, 0, &[0, 1], 12).unwrap();
    part(&mut assembly, 5, 1, &[1], 22).unwrap();
    let error = assembly.next().unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Corrupt, "job.state[1] lacks commit 4"));
}

#[test]
fn the_newest_record_is_known_whatever_shard_it_is_in() {
    let mut assembly = Assembly::new("job.state", 2, false, Epoch(5));
    part(&mut assembly, 5, 0, &[0], 10).unwrap();
    assert_eq!(assembly.next().unwrap(), None);
    // The other shard is read after it.
    part(&mut assembly, 3, 1, &[0, 1], 20).unwrap();
    part(&mut assembly, 4, 1, &[1], 22).unwrap();
    assert_eq!(assembly.next().unwrap(), None);
    assert!(assembly.is_whole() && assembly.record_of(5).is_some());
}

#[test]
fn a_damaged_part_is_told_with_its_place() {
    let mut assembly = Assembly::new("job.state", 1, true, Epoch(0));
    part(&mut assembly, 1, 0, &[0], 0).unwrap();
    let lonely = marker(2, 0, &[0], &[block(0, 2)], "job");
    let error = assembly.take(0, 2, &lonely).unwrap_err();
    assert!(error.to_string().contains("job.state[0]@2 ends commit 2 with 1 blocks"), "{error}");
    let error = assembly.take(0, 3, b"what?").unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().starts_with("job.state[0]@3 is nothing that a job writes"), "{error}");
    let error = assembly.take(0, 4, &marker(2, 0, &[0], &[], "another")).unwrap_err();
    assert!(error.kind() == Kind::Config && error.to_string().contains("another job with the same name"), "{error}");
}

#[test]
fn a_gap_is_only_where_the_log_begins() {
    assert_eq!(follows(0, 1, None, true), Ok(()));
    assert_eq!(follows(7, 8, None, false), Ok(()));
    assert_eq!(follows(7, 9, None, false), Err(Gap::Missing));
    // Shard 0 begins at commit 5, shard 1 at 9; commits 6 and 8 were of shard 1 alone.
    for (reached, epoch) in [(0, 5), (5, 7), (7, 9), (9, 10)] {
        assert_eq!(follows(reached, epoch, Some(9), true), Ok(()));
    }
    assert_eq!(follows(9, 11, Some(9), true), Err(Gap::Missing));
    assert_eq!(follows(3, 4, Some(9), false), Err(Gap::Shortened), "one shard's part of it may be gone");
    assert_eq!(follows(3, 5, Some(9), false), Err(Gap::Shortened), "the tables may hold what was deleted since");
}
