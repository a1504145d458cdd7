//! Puts the records of a changelog's partitions together to commits again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use headwater_state::{Block, Commit, Epoch, Shard};

use super::marker::{BLOCK, MARKER, Marker, Token};
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
    /// Given already, or older than what is asked for.
    reached: u64,
    /// The id of the job whose log it is.
    pub job: Option<String>,
    /// Bytes of the log since its last rotation began, by the newest marker.
    log_bytes: (u64, u64),
    /// The newest record of a commit that was reached before.
    old_record: Option<(u64, Vec<u8>)>,
}

/// How far a shard's log was read, and what no marker has ended yet.
struct ShardLog {
    /// The epoch of the last marker.
    at: u64,
    blocks: Vec<Block>,
    last: LastMarker,
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
        let log = || ShardLog { at: 0, blocks: Vec::new(), last: LastMarker::default() };
        Self {
            topic: topic.to_owned(),
            shards: std::iter::repeat_with(log).take(shards).collect(),
            pending: BTreeMap::new(),
            from_start,
            reached: reached.0,
            job: None,
            log_bytes: (0, 0),
            old_record: None,
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
                let blocks = match checked {
                    Err(_) if is_first => Vec::new(),
                    checked => checked.map(|()| blocks)?,
                };
                log.at = marker.token.epoch;
                log.last = LastMarker { offset, token: Some(marker.token.clone()) };
                self.gather(shard, marker, blocks)?;
            }
            _ => return Err(Error::corrupt(format!("{place} is nothing of a changelog"))),
        }
        Ok(())
    }

    /// Puts a shard's part to those of the same commit.
    fn gather(&mut self, shard: u16, marker: Marker, blocks: Vec<Block>) -> Result<()> {
        let epoch = marker.token.epoch;
        if self.job.get_or_insert_with(|| marker.job.clone()) != &marker.job {
            return Err(Error::config(format!(
                "{}[{shard}] is of another job with the same name (id {}) than the state here: give this job another name, \
                 or a new --state to go on with that one",
                self.topic, marker.job
            )));
        }
        self.log_bytes = self.log_bytes.max((epoch, marker.log_bytes));
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
            let Some((epoch, Pending { commit: Some(mut commit), .. })) = self.pending.pop_first() else { break };
            if epoch > self.reached {
                self.reached = epoch;
                // Stable, so that each shard's blocks stay in their order.
                commit.blocks.sort_by_key(|block| block.shard);
                return Ok(Some(commit));
            }
            if !commit.marker.is_empty() {
                self.old_record = Some((epoch, commit.marker));
            }
        }
        Ok(None)
    }

    /// Whether each shard of the oldest commit has told its part, or never will, because it was deleted.
    fn is_oldest_whole(&self) -> Result<bool> {
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
            if !self.from_start && epoch > self.reached {
                return Err(Error::corrupt(format!("{}[{shard}] lacks commit {epoch}", self.topic)));
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
