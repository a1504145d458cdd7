use headwater_state::Namespace;
use headwater_state::block::{BlockWriter, Change};

use super::super::marker::{VERSION, digest, raw};
use super::*;
use crate::Kind;
use crate::source::Random;

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
    Marker {
        v,
        job,
        token,
        blocks,
        digest,
        shards,
        log_bytes: 10 * epoch,
        record,
        outputs: None,
        earlier: None,
        since: 1,
        manifest: None,
    }
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

#[test]
fn a_commit_of_a_shard_that_is_not_read_yet_is_waited_for() {
    let mut assembly = Assembly::new("job.state", 2, true, Epoch(0));
    part(&mut assembly, 1, 0, &[0, 1], 0).unwrap();
    part(&mut assembly, 1, 1, &[0, 1], 0).unwrap();
    part(&mut assembly, 3, 0, &[0], 2).unwrap();
    assert_eq!(assembly.next().unwrap().unwrap().epoch, Epoch(1));
    assert_eq!(assembly.next().unwrap(), None);
    part(&mut assembly, 2, 1, &[1], 2).unwrap();
    let next = |assembly: &mut Assembly| assembly.next().unwrap().map(|commit| commit.epoch);
    assert_eq!([next(&mut assembly), next(&mut assembly)], [Some(Epoch(2)), Some(Epoch(3))]);
    part(&mut assembly, 5, 0, &[0], 4).unwrap();
    (0..2).for_each(|shard| assembly.ends(shard, true));
    assert_eq!(next(&mut assembly), None);
    assert!(assembly.check_whole().unwrap_err().to_string().contains("job.state lacks commit 4"));
}

/// Logs of commits to any shards, deleted in part, or read from a checkpoint on, in any order.
#[test]
fn whatever_is_read_first_every_commit_is_given_in_order() {
    for seed in 0..3000 {
        let mut random = Random::new(seed, 0);
        let log = Log::new(&mut random);
        let from_start = random.below(2) == 0;
        let (expected, given) =
            if from_start { log.after_trim(&mut random) } else { log.after_checkpoint(&mut random) };
        assert_eq!(given, expected, "seed {seed}, from the start: {from_start}");
    }
}

/// Epochs, each with the shards whose blocks are there.
type Given = Vec<(u64, Vec<u16>)>;

struct Log {
    shards: u16,
    /// By epoch, from 1 on: the shards of the commit.
    commits: Vec<Vec<u16>>,
    /// The last commit that has all shards.
    full: u64,
}

impl Log {
    fn new(random: &mut Random) -> Self {
        let shards = 1 + random.below(4) as u16;
        let all = || (0..shards).collect::<Vec<_>>();
        let number = 2 + random.below(40);
        let full = 1 + random.below(number);
        let mut commit = |epoch| match epoch {
            1 => all(),
            _ if epoch == full => all(),
            _ => {
                let mut some = all();
                some.retain(|_| random.below(3) == 0);
                if some.is_empty() { vec![random.below(u64::from(shards)) as u16] } else { some }
            }
        };
        Self { shards, commits: (1..=number).map(&mut commit).collect(), full }
    }

    /// A shard's epochs.
    fn of(&self, shard: u16) -> Vec<u64> {
        (1..).zip(&self.commits).filter(|(_, shards)| shards.contains(&shard)).map(|(epoch, _)| epoch).collect()
    }

    /// What was before the full commit is deleted, up to any record of each shard.
    fn after_trim(&self, random: &mut Random) -> (Given, Given) {
        let mut expected = std::collections::BTreeMap::<u64, Vec<u16>>::new();
        let mut records = Vec::new();
        for shard in 0..self.shards {
            let epochs = self.of(shard);
            let before = epochs.iter().filter(|epoch| **epoch < self.full).count() as u64;
            let deleted = random.below(2 * before + 1) as usize;
            let parts = epochs.iter().flat_map(|epoch| [(*epoch, true), (*epoch, false)]);
            let left: Vec<(u64, bool)> = parts.skip(deleted).collect();
            for (epoch, is_block) in &left {
                let shards = expected.entry(*epoch).or_default();
                shards.extend(is_block.then_some(shard));
            }
            records.push(left);
        }
        let assembly = Assembly::new("job.state", usize::from(self.shards), true, Epoch(0));
        (expected.into_iter().collect(), self.read(assembly, records, random))
    }

    /// The tables have some of it: each shard is read from its last marker of then.
    fn after_checkpoint(&self, random: &mut Random) -> (Given, Given) {
        let reached = 1 + random.below(self.commits.len() as u64);
        let mut records = Vec::new();
        for shard in 0..self.shards {
            let parts = self.of(shard).into_iter().flat_map(|epoch| [(epoch, true), (epoch, false)]);
            let parts: Vec<(u64, bool)> = parts.collect();
            let marker = parts.iter().rposition(|(epoch, is_block)| *epoch <= reached && !is_block).unwrap();
            records.push(parts[marker..].to_vec());
        }
        let expected = (reached + 1..).zip(&self.commits[reached as usize..]);
        let assembly = Assembly::new("job.state", usize::from(self.shards), false, Epoch(reached));
        (expected.map(|(epoch, shards)| (epoch, shards.clone())).collect(), self.read(assembly, records, random))
    }

    /// Takes the records of the shards in any order, a batch of one after the other; often a shard seems to have ended.
    fn read(&self, mut assembly: Assembly, records: Vec<Vec<(u64, bool)>>, random: &mut Random) -> Given {
        let mut given = Vec::new();
        let mut next = vec![0; records.len()];
        loop {
            let left: Vec<usize> = (0..records.len()).filter(|shard| next[*shard] < records[*shard].len()).collect();
            let open: Vec<usize> = left.iter().copied().filter(|shard| !assembly.is_ahead(*shard)).collect();
            assembly.ends_are_last(left.is_empty());
            (0..records.len()).for_each(|shard| assembly.ends(shard, !left.contains(&shard) || random.below(8) == 0));
            while let Some(commit) = assembly.next().unwrap() {
                given.push((commit.epoch.0, commit.blocks.iter().map(|block| block.shard.0).collect()));
            }
            if left.is_empty() {
                assembly.check_whole().unwrap();
                return given;
            }
            if open.is_empty() {
                continue;
            }
            let shard = open[random.below(open.len() as u64) as usize];
            for _ in 0..=random.below(20) {
                let Some((epoch, is_block)) = records[shard].get(next[shard]) else { break };
                let (number, block) = (shard as u16, block(shard as u16, *epoch));
                let value = if *is_block {
                    [&[BLOCK], &*block.bytes].concat()
                } else {
                    marker(*epoch, number, &self.commits[*epoch as usize - 1], &[block], "job")
                };
                assembly.take(number, next[shard] as i64, &value).unwrap();
                next[shard] += 1;
            }
        }
    }
}
