//! Puts the records of a changelog's partitions together to commits again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use headwater_state::{Block, Commit, Epoch, Shard};

use super::marker::{self, BLOCK, MARKER, Marker, Token};
use crate::{Error, Result};

/// Where a shard's log was read up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LastMarker {
    pub offset: i64,
    pub token: Option<Token>,
}

/// The commits of a changelog, as far as their parts have come.
pub(super) struct Assembly {
    topic: String,
    shards: Vec<ShardLog>,
    pending: BTreeMap<u64, Pending>,
    /// The log's first commits may have been deleted in part.
    from_start: bool,
    /// What shards are read up to is where they end, and not only where they ended when they were asked, one after the other.
    ends_are_last: bool,
    /// Given already, or older than what is asked for.
    reached: u64,
    /// The id of the job whose log it is.
    pub job: Option<String>,
    /// Bytes of the log since its last rotation began, by the newest marker.
    log_bytes: (u64, u64),
    /// The newest record of a commit that was reached before.
    old_record: Option<(u64, Vec<u8>)>,
    /// The tables that are read into were empty.
    into_empty: bool,
    /// The first commit that the log must hold, by the newest marker.
    since: (u64, u64),
    /// How many shards markers speak of.
    listed: usize,
    /// What the state is, by the newest marker that says so.
    pub manifest: Option<String>,
}

/// How far a shard's log was read, and what no marker has ended yet.
struct ShardLog {
    /// The epoch of the last marker.
    at: u64,
    blocks: Vec<Block>,
    last: LastMarker,
    /// The epoch of the first marker that was read.
    first: Option<u64>,
    /// There is no more.
    is_done: bool,
}

#[derive(Default)]
struct Pending {
    commit: Option<Commit>,
    shards: Vec<u16>,
    marked: Vec<u16>,
}

/// Where a record stands.
struct Place<'a> {
    topic: &'a str,
    shard: u16,
    offset: i64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.shard, self.offset)
    }
}

impl Assembly {
    /// Of a log that is read from its start, or else from the last markers of a commit; commits after `reached` are
    /// wanted.
    pub fn new(topic: &str, shards: usize, from_start: bool, reached: Epoch) -> Self {
        let log = || ShardLog { at: 0, blocks: Vec::new(), last: LastMarker::default(), first: None, is_done: false };
        Self {
            topic: topic.to_owned(),
            shards: std::iter::repeat_with(log).take(shards).collect(),
            pending: BTreeMap::new(),
            from_start,
            ends_are_last: false,
            reached: reached.0,
            job: None,
            log_bytes: (0, 0),
            old_record: None,
            into_empty: reached.0 == 0,
            since: (0, 0),
            listed: 0,
            manifest: None,
        }
    }

    /// Whether a shard is ahead of the oldest commit that is not whole: reading it can wait.
    pub fn is_ahead(&self, shard: usize) -> bool {
        self.pending.first_key_value().is_some_and(|(oldest, _)| self.shards[shard].at > *oldest)
    }

    /// The last marker of each shard; without a token where there was none.
    pub fn last(&self) -> Vec<LastMarker> {
        self.shards.iter().map(|shard| shard.last.clone()).collect()
    }

    /// Nothing of a commit is left that was not given.
    pub fn is_whole(&self) -> bool {
        self.pending.is_empty()
    }

    /// That nothing is left, where everything was read.
    ///
    /// # Errors
    /// `Corrupt` with what is missing.
    pub fn check_whole(&self) -> Result<()> {
        let Some((oldest, _)) = self.pending.first_key_value() else { return Ok(()) };
        let missing = if *oldest > self.reached + 1 { self.reached + 1 } else { *oldest };
        Err(Error::corrupt(format!(
            "{} lacks commit {missing}, or a part of it: somebody else has deleted records; bring the topic's data back, or \
             start over with --fresh",
            self.topic
        )))
    }

    /// Learns whether what shards are read up to is where they end.
    pub fn ends_are_last(&mut self, are_last: bool) {
        self.ends_are_last = are_last;
    }

    /// Learns that nothing more comes of a shard, or that more does.
    pub fn ends(&mut self, shard: usize, is_done: bool) {
        self.shards[shard].is_done = is_done;
    }

    /// The first commit that the log must hold.
    pub fn since(&self) -> Option<u64> {
        Some(self.since).filter(|(newest, _)| *newest > 0).map(|(_, since)| since)
    }

    /// The commit from which on the log has all shards.
    fn begin(&self) -> u64 {
        self.shards.iter().filter_map(|shard| shard.first).max().unwrap_or_default()
    }

    /// Whether a commit may come next. One that is missing before it may still come, as may all that shards have not been
    /// read for.
    fn may_follow(&self, epoch: u64) -> Result<bool> {
        match follows(self.reached, epoch, self.from_start.then(|| self.begin()), self.into_empty) {
            Ok(()) if epoch == self.reached + 1 => Ok(true),
            Ok(()) => Ok(self.shards.iter().all(|shard| shard.at >= epoch || shard.is_done && self.ends_are_last)),
            Err(Gap::Missing) => Ok(false),
            // Tables that are made anew from what is left have it all.
            Err(Gap::Shortened) => Err(Error::unavailable(format!("{} was shortened before it was read", self.topic))),
        }
    }

    /// That a log which was read from its start has all that its newest marker counts on.
    ///
    /// # Errors
    /// `Corrupt` where it has not.
    pub fn check_beginning(&self) -> Result<()> {
        let (newest, since) = self.since;
        // Partitions that were added since are told by the manifest.
        let is_whole = self.shards.iter().take(self.listed).all(|shard| shard.first.is_some());
        if !self.from_start || newest == 0 || is_whole && self.begin() <= since {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{} begins with commit {}, and what was committed from {since} on is needed: somebody else has deleted records; \
             bring the topic's data back, start where a state directory is up to date, or start over with --fresh",
            self.topic,
            self.begin()
        )))
    }

    /// Bytes of the log since its last rotation began.
    pub fn log_bytes(&self) -> u64 {
        self.log_bytes.1
    }

    /// The record of a commit that had been reached before.
    pub fn record_of(&mut self, epoch: u64) -> Option<Vec<u8>> {
        self.old_record.take().filter(|(of, _)| *of == epoch).map(|(_, record)| record)
    }

    /// Takes a record of a shard's partition.
    ///
    /// # Errors
    /// `Corrupt` where it is not of a changelog, or blocks are missing; `Config` where it is another job's.
    pub fn take(&mut self, shard: u16, offset: i64, value: &[u8]) -> Result<()> {
        let place = Place { topic: &self.topic, shard, offset };
        let log = &mut self.shards[usize::from(shard)];
        match value.split_first() {
            Some((&BLOCK, bytes)) => log.blocks.push(Block { shard: Shard(shard), bytes: Arc::from(bytes) }),
            Some((&MARKER, _)) => {
                let marker = Marker::read(value, &place.to_string())?;
                let blocks = std::mem::take(&mut log.blocks);
                // What stands before the first marker was read before, or deleted in part.
                let is_first = log.last.token.is_none();
                let checked = marker.check(&blocks, &place.to_string());
                let is_cut = checked.is_err() && is_first;
                let blocks = if is_cut { Vec::new() } else { checked.map(|()| blocks)? };
                log.at = marker.token.epoch;
                // Where blocks of the first commit are missing, the shard is whole from the next one on.
                log.first.get_or_insert(marker.token.epoch + u64::from(is_cut));
                log.last = LastMarker { offset, token: Some(marker.token.clone()) };
                self.gather(shard, marker, blocks)?;
            }
            _ => return Err(marker::stranger(&place.to_string())),
        }
        Ok(())
    }

    /// Puts a shard's part to those of the same commit.
    fn gather(&mut self, shard: u16, marker: Marker, blocks: Vec<Block>) -> Result<()> {
        let epoch = marker.token.epoch;
        if self.job.get_or_insert_with(|| marker.job.clone()) != &marker.job {
            return Err(Error::config(format!(
                "{}[{shard}] is of another job with the same name (id {}) than the state here: give this job another name, \
                 a new --state to go on with that one, or, if it was started over with --fresh, start this again",
                self.topic, marker.job
            )));
        }
        self.log_bytes = self.log_bytes.max((epoch, marker.log_bytes));
        self.since = self.since.max((epoch, marker.since));
        self.listed = marker.shards.iter().map(|shard| usize::from(*shard) + 1).max().unwrap_or(0).max(self.listed);
        if let Some(manifest) = &marker.manifest {
            self.manifest = Some(manifest.get().to_owned());
        }
        let pending = self.pending.entry(epoch).or_default();
        let empty = || Commit { epoch: Epoch(epoch), blocks: Vec::new(), marker: Vec::new() };
        let commit = pending.commit.get_or_insert_with(empty);
        commit.blocks.extend(blocks);
        if let Some(record) = &marker.record {
            commit.marker = record.get().as_bytes().to_vec();
        }
        pending.shards = marker.shards;
        pending.marked.push(shard);
        Ok(())
    }

    /// The next commit after those that were reached, with its record as its marker, if all of it has come.
    ///
    /// # Errors
    /// `Corrupt` where a part of it is missing.
    pub fn next(&mut self) -> Result<Option<Commit>> {
        while self.is_oldest_whole()? {
            let epoch = self.pending.first_key_value().map(|(epoch, _)| *epoch).unwrap_or_default();
            if epoch > self.reached && !self.may_follow(epoch)? {
                break;
            }
            let Some((_, Pending { commit: Some(mut commit), .. })) = self.pending.pop_first() else { break };
            if epoch > self.reached {
                self.reached = epoch;
                // Stable, so that each shard's blocks stay in their order.
                commit.blocks.sort_by_key(|block| block.shard);
                return Ok(Some(commit));
            }
            // Shards are read one after the other, so that older ones may come later.
            let is_newer = self.old_record.as_ref().is_none_or(|(of, _)| *of < epoch);
            if is_newer && !commit.marker.is_empty() {
                self.old_record = Some((epoch, commit.marker));
            }
        }
        Ok(None)
    }

    /// Whether each shard of the oldest commit has told its part, or never will, because it was deleted.
    fn is_oldest_whole(&self) -> Result<bool> {
        // Where the log was deleted in part, the shard that begins last says from where on it is whole.
        if self.from_start && self.shards.iter().any(|shard| shard.first.is_none() && !shard.is_done) {
            return Ok(false);
        }
        let Some((&epoch, pending)) = self.pending.first_key_value() else { return Ok(false) };
        for shard in pending.shards.iter().filter(|shard| !pending.marked.contains(shard)) {
            let Some(log) = self.shards.get(usize::from(*shard)) else {
                return Err(Error::corrupt(format!(
                    "{} has no partition {shard}, which commit {epoch} names",
                    self.topic
                )));
            };
            if log.at <= epoch {
                return Ok(false);
            }
            // What stands before the first whole commit of a shard may have been deleted.
            let is_deleted = self.from_start && log.first.is_none_or(|first| first > epoch);
            if !is_deleted && epoch > self.reached {
                return Err(Error::corrupt(format!("{}[{shard}] lacks commit {epoch}", self.topic)));
            }
        }
        Ok(true)
    }
}

/// Why a commit does not follow what was read.
#[derive(Debug, PartialEq, Eq)]
enum Gap {
    /// What is missing was deleted, and written again by a later rotation.
    Shortened,
    Missing,
}

/// Whether `epoch` may come after `reached`. Of a log that is read from its start, shards were deleted up to different
/// commits, the last of them `begin`.
fn follows(reached: u64, epoch: u64, begin: Option<u64>, into_empty: bool) -> Result<(), Gap> {
    match begin {
        // Of tables that hold something, the deletes in what was deleted would be missed.
        Some(begin) if epoch < begin && !into_empty => Err(Gap::Shortened),
        _ if epoch == reached + 1 => Ok(()),
        Some(begin) if epoch <= begin && into_empty => Ok(()),
        Some(begin) if epoch <= begin => Err(Gap::Shortened),
        _ => Err(Gap::Missing),
    }
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
