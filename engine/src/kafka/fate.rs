//! What became of the last commit, told by what stands in the changelog's shards where its end may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_state::{Block, Shard};

use super::asking::Committed;
use super::marker::{BLOCK, MARKER, Marker, Token};
use super::tails::Stored;
use super::written::Outputs;

/// The end of a shard's log, from the last marker on that the group knows.
#[derive(Default)]
pub(super) struct Tail {
    /// What is before this has ended, one way or the other.
    pub stable: i64,
    pub records: Vec<Stored>,
    /// Offsets of what is committed.
    pub seen: BTreeSet<i64>,
}

/// What stands at the ends of the shards.
pub(super) struct Tails<'a> {
    /// As the group has it, by shard; what is pending there left out.
    pub committed: &'a Committed,
    /// A transaction on the group's offsets is open.
    pub group_is_open: bool,
    /// The transactional id that copies are made with.
    pub copies: &'a str,
    pub shards: BTreeMap<u16, Tail>,
}

/// What is to be done about the commit that the group does not know of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// There is none, or it is aborted, or never came so far that it could be committed.
    Undone,
    /// A part of it is committed, and so all of it is.
    Done(Token),
    /// All of its records are there, and no shard tells.
    Whole(Token),
    Unclear(String),
}

/// What is to be done about a shard.
#[derive(Debug)]
pub(super) enum Part {
    /// Everything that is to stay has ended.
    Ended,
    /// A copy is there, committed.
    Copied,
    /// Blocks, and the marker.
    Open(Vec<Vec<u8>>),
    /// The same, which an abort has taken along, though other parts are committed.
    Lost(Vec<Vec<u8>>),
    /// Something is missing, or it is somebody else's.
    Unclear,
}

/// A marker, and where it stands.
struct Found<'a> {
    shard: u16,
    offset: i64,
    marker: Marker,
    tail: &'a Tail,
}

impl Found<'_> {
    fn is_seen(&self) -> bool {
        self.tail.seen.contains(&self.offset)
    }

    fn is_aborted(&self) -> bool {
        self.offset < self.tail.stable && !self.is_seen()
    }
}

impl Tails<'_> {
    /// The newest epoch that the group knows.
    pub fn newest(&self) -> Option<&Token> {
        self.committed.iter().flatten().map(|(token, _)| token).max_by_key(|token| token.epoch)
    }

    fn markers(&self) -> impl Iterator<Item = Found<'_>> {
        self.shards.iter().flat_map(move |(shard, tail)| {
            tail.records.iter().filter(move |record| self.counts(*shard, tail, record)).filter_map(|record| {
                let marker = marker_of(record)?;
                Some(Found { shard: *shard, offset: record.offset, marker, tail })
            })
        })
    }

    /// A copy does where it is committed: others say nothing of what they are copies of.
    fn counts(&self, shard: u16, tail: &Tail, record: &Stored) -> bool {
        !self.is_copy(record) || tail.seen.contains(&record.offset) || self.behind(shard) == Some(record.offset + 1)
    }

    fn is_copy(&self, record: &Stored) -> bool {
        record.key.as_deref() == Some(self.copies.as_bytes())
    }

    /// The offset that the group has.
    fn behind(&self, shard: u16) -> Option<i64> {
        self.committed.get(usize::from(shard))?.as_ref().map(|(_, behind)| *behind)
    }

    /// Who has made attempts at a commit that the group does not know of.
    pub fn owners(&self) -> BTreeSet<String> {
        let known = self.newest().map_or(0, |token| token.epoch);
        let newer = self.markers().filter(|found| found.marker.token.epoch > known);
        newer.map(|found| found.marker.token.owner).collect()
    }

    /// What became of the commit after the newest that the group knows.
    pub fn fate(&self) -> Fate {
        let known = self.newest().map_or(0, |token| token.epoch);
        let mut attempts: BTreeMap<String, Vec<Found<'_>>> = BTreeMap::new();
        for found in self.markers().filter(|found| found.marker.token.epoch > known) {
            attempts.entry(found.marker.token.to_string()).or_default().push(found);
        }
        // What is seen is committed; an abort of the next transaction may have taken other parts along, whose end was lost.
        attempts.retain(|_, found| found.iter().any(Found::is_seen) || !found.iter().any(Found::is_aborted));
        let is_seen = attempts.values().flatten().any(Found::is_seen);
        let mut attempts = attempts.into_values();
        let parts = match (attempts.next(), attempts.next()) {
            (None, _) => return Fate::Undone,
            (Some(parts), None) => parts,
            (Some(_), Some(_)) if is_seen || self.group_is_open => {
                return Fate::Unclear("two attempts at a commit, of which neither has ended".to_owned());
            }
            (Some(_), Some(_)) => return Fate::Undone,
        };
        let token = parts[0].marker.token.clone();
        let is_there = |shard: &u16| parts.iter().any(|found| found.shard == *shard);
        let is_whole = parts[0].marker.shards.iter().all(is_there)
            && parts.iter().all(|found| !matches!(self.part(found.shard, &token), Part::Unclear));
        match (is_seen, is_whole) {
            (true, true) => Fate::Done(token),
            (true, false) => Fate::Unclear(format!("a part of commit {} that is missing", token.epoch)),
            // Its offsets were never there, or are not any more.
            (false, true) if !self.group_is_open => Fate::Undone,
            (false, true) => Fate::Whole(token),
            // It is asked for when all of it is there.
            (false, false) => Fate::Undone,
        }
    }

    /// What is to be done about a shard of which this is the last that is committed.
    pub fn part(&self, shard: u16, token: &Token) -> Part {
        let Some(tail) = self.shards.get(&shard) else { return Part::Ended };
        let marker = |record: &Stored| {
            marker_of(record).filter(|marker| marker.token == *token && self.counts(shard, tail, record))
        };
        let Some(at) = tail.records.iter().rposition(|record| marker(record).is_some()) else { return Part::Unclear };
        let last = &tail.records[at];
        let (Some(marker), Some(value)) = (marker(last), &last.value) else { return Part::Unclear };
        if tail.seen.contains(&last.offset) {
            return Part::Ended;
        }
        let (is_open, is_copy) = (last.offset >= tail.stable, self.is_copy(last));
        if is_open && is_copy {
            return Part::Copied;
        }
        // Of an earlier commit, which would go with it.
        let is_earlier = |record: &Stored| {
            record.offset >= tail.stable && marker_of(record).is_some_and(|marker| marker.token.epoch < token.epoch)
        };
        if tail.records[..at].iter().any(is_earlier) {
            return Part::Unclear;
        }
        let writer = last.key.as_deref().unwrap_or_default();
        let Some(first) = at.checked_sub(marker.blocks as usize) else { return Part::Unclear };
        let block = |record: &Stored| {
            let bytes = record.value.as_ref()?.strip_prefix(&[BLOCK])?;
            (record.key == last.key).then(|| Block { shard: Shard(shard), bytes: Arc::from(bytes) })
        };
        let blocks: Option<Vec<Block>> = tail.records[first..at].iter().map(block).collect();
        let is_whole = blocks.is_some_and(|blocks| marker.check(&blocks, "a shard").is_ok());
        if writer != token.owner.as_bytes() && !is_copy || !is_whole {
            return Part::Unclear;
        }
        let blocks = tail.records[first..at].iter().filter_map(|record| record.value.clone());
        let records = blocks.chain([value.clone()]).collect();
        if is_open { Part::Open(records) } else { Part::Lost(records) }
    }

    /// Whether a shard lacks what the group says is its last commit.
    pub fn is_lost(&self, shard: u16, behind: i64) -> bool {
        let Some(tail) = self.shards.get(&shard) else { return false };
        let is_there = tail.records.iter().any(|record| record.offset == behind - 1);
        is_there && behind <= tail.stable && !tail.seen.contains(&(behind - 1))
    }

    /// Whether everything is there that the group knows, and nothing else.
    pub fn is_whole(&self) -> bool {
        let is_there = |(shard, known): (u16, &Option<(Token, i64)>)| {
            let Some((_, behind)) = known else { return true };
            self.shards.get(&shard).is_some_and(|tail| tail.seen.contains(&(behind - 1)))
        };
        (0u16..).zip(self.committed).all(is_there) && self.owners().is_empty()
    }

    /// Where the blocks begin, by shard, of what is lost.
    pub fn lost(&self) -> BTreeMap<u16, i64> {
        let known = (0u16..).zip(self.committed).filter_map(|(shard, known)| Some((shard, known.as_ref()?.1)));
        let blocks = |(shard, behind): (u16, i64)| {
            let marker =
                self.shards[&shard].records.iter().find(|record| record.offset == behind - 1).and_then(marker_of)?;
            Some((shard, behind - 1 - i64::from(marker.blocks)))
        };
        known.filter(|(shard, behind)| self.is_lost(*shard, *behind)).filter_map(blocks).collect()
    }

    /// Where the records of a commit are, and those of commits before it: apart, and together. `None` where it does not say.
    pub fn outputs(&self, token: &Token) -> Option<(Outputs, Outputs)> {
        let mut markers = self.markers().map(|found| found.marker).filter(|marker| marker.token == *token);
        let (own, earlier) = markers.find_map(|marker| Some((marker.outputs?, marker.earlier)))?;
        let mut all = earlier.unwrap_or_default();
        all.follow(own.clone());
        Some((own, all))
    }

    /// In which shards a commit is, and the offset of its marker there.
    pub fn places(&self, token: &Token) -> BTreeMap<u16, i64> {
        let markers = self.markers().filter(|found| found.marker.token == *token);
        markers.map(|found| (found.shard, found.offset)).collect()
    }
}

fn marker_of(record: &Stored) -> Option<Marker> {
    let value = record.value.as_ref().filter(|value| value.first() == Some(&MARKER))?;
    Marker::read(value, "a shard").ok()
}

#[cfg(test)]
#[path = "fate_tests.rs"]
mod tests;
