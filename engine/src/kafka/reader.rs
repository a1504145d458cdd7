//! Reads a changelog: the blocks of all shards, put together to commits again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_state::{Block, Commit, Epoch, Shard};

use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::Client;
use super::ffi::PartitionQueue;
use super::marker::{self, BLOCK, MARKER, Marker, Token};
use super::position::Position;
use crate::{Error, Result, clock};

/// How many records are taken of a partition at once.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(2);
/// A changelog that gives nothing for so long cannot be read.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Where a shard's log was read up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LastMarker {
    pub offset: i64,
    pub token: Option<Token>,
}

/// Reads every partition from an offset up to an end, commit by commit.
///
/// Partitions are read in step: one that is ahead of the oldest commit that is not whole yet waits, so that no more is
/// held than one commit and what librdkafka has fetched.
pub(super) struct Reader {
    client: Client,
    queues: Vec<PartitionQueue>,
    shards: Vec<ShardLog>,
    pub gathered: Gathered,
    /// The log's first commits may have been deleted in part.
    from_start: bool,
    /// The tables that are read into were empty.
    into_empty: bool,
    /// Given already, or older than what is asked for.
    reached: u64,
    /// The newest record that was read, of a commit that was reached before.
    old_record: Option<(u64, Vec<u8>)>,
}

/// What the records of all shards say together.
#[derive(Default)]
pub(super) struct Gathered {
    topic: String,
    pending: BTreeMap<u64, Pending>,
    pub bytes_read: u64,
    pub manifest: Option<String>,
    pub job: Option<String>,
    /// Of the log since its last rotation began, by the newest marker.
    pub log_bytes: (u64, u64),
    /// The first commit that the log must hold, by the newest marker.
    pub since: (u64, u64),
}

struct ShardLog {
    start: i64,
    end: i64,
    /// Everything before it was taken.
    next: i64,
    /// The epoch of the first marker that was read.
    first: Option<u64>,
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

impl Reader {
    /// Reads from `starts`, which are the offsets of markers or the log's beginning, commits after `reached`.
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub fn new(client: Client, topic: &str, starts: &[i64], from_start: bool, reached: Epoch) -> Result<Self> {
        let (mut queues, mut shards) = (Vec::with_capacity(starts.len()), Vec::with_capacity(starts.len()));
        for (number, start) in (0i32..).zip(starts) {
            let position = Position { offset: *start, leader_epoch: None, identity: client.identity().clone() };
            queues.push(client.fetch(number, &position)?);
            shards.push(ShardLog {
                start: *start,
                end: *start,
                next: *start,
                first: None,
                at: 0,
                blocks: Vec::new(),
                last: LastMarker::default(),
            });
        }
        Ok(Self {
            client,
            queues,
            shards,
            gathered: Gathered { topic: topic.to_owned(), ..Gathered::default() },
            from_start,
            into_empty: reached.0 == 0,
            reached: reached.0,
            old_record: None,
        })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads on up to these ends.
    pub fn read_to(&mut self, ends: &[i64]) {
        for (shard, end) in self.shards.iter_mut().zip(ends) {
            shard.end = *end;
        }
    }

    /// How many offsets were passed, and how many there are up to the ends.
    pub fn progress(&self) -> (u64, u64) {
        let passed = |shard: &ShardLog, to: i64| u64::try_from(to.min(shard.end) - shard.start).unwrap_or(0);
        let sum = |to: &dyn Fn(&ShardLog) -> i64| self.shards.iter().map(|shard| passed(shard, to(shard))).sum();
        (sum(&|shard| shard.next), sum(&|shard| shard.end))
    }

    /// The last marker of each shard that was read; without a token where there was none.
    pub fn last(&self) -> Vec<LastMarker> {
        self.shards.iter().map(|shard| shard.last.clone()).collect()
    }

    /// The next commit that is whole, with its record as its marker; `None` at the end.
    ///
    /// # Errors
    /// `Corrupt` where something is missing or strange, `Unavailable` where the broker gives nothing.
    pub fn next(&mut self, stopping: &dyn Fn() -> bool) -> Result<Option<Commit>> {
        let mut quiet_since = clock::now();
        loop {
            if let Some(commit) = self.take_whole()? {
                if commit.epoch.0 > self.reached {
                    self.check_follows(commit.epoch.0)?;
                    self.reached = commit.epoch.0;
                    return Ok(Some(commit));
                }
                if !commit.marker.is_empty() {
                    self.old_record = Some((commit.epoch.0, commit.marker));
                }
                continue;
            }
            if self.shards.iter().all(ShardLog::is_done) {
                return self.check_beginning().map(|()| None);
            }
            if self.take()? {
                quiet_since = clock::now();
                continue;
            }
            self.client.serve()?;
            if stopping() {
                return Ok(None);
            }
            if clock::now() - quiet_since > SILENCE_MAX {
                return Err(self.client.unreachable(SILENCE_MAX));
            }
            clock::wait(PAUSE, || false);
        }
    }

    /// The commit from which on the log has all shards.
    fn begin(&self) -> u64 {
        self.shards.iter().filter_map(|shard| shard.first).max().unwrap_or_default()
    }

    /// That no commit is missing before this one.
    fn check_follows(&self, epoch: u64) -> Result<()> {
        follows(self.reached, epoch, self.from_start.then(|| self.begin()), self.into_empty).map_err(|gap| match gap {
            // Tables that are made anew from what is left have it all.
            Gap::Shortened => Error::unavailable(format!("{} was shortened before it was read", self.gathered.topic)),
            Gap::Missing => Error::corrupt(format!(
                "{} lacks commit {}; bring the topic's data back, or start over with --fresh",
                self.gathered.topic,
                self.reached + 1
            )),
        })
    }

    /// That a log which is read from its start has all that its newest marker counts on.
    fn check_beginning(&self) -> Result<()> {
        let (newest, since) = self.gathered.since;
        if !self.from_start || newest == 0 || self.begin() <= since {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{} begins with commit {}, and what was committed from {since} on is needed: somebody else has deleted records; \
             bring the topic's data back, start where a state directory is up to date, or start over with --fresh",
            self.gathered.topic,
            self.begin()
        )))
    }

    /// The record of a commit that the tables had reached before.
    pub fn record_of(&mut self, epoch: u64) -> Option<Vec<u8>> {
        self.old_record.take().filter(|(of, _)| *of == epoch).map(|(_, record)| record)
    }

    /// Whether the commits that were read are whole: nothing of another one is left.
    pub fn is_whole(&self) -> bool {
        self.gathered.pending.is_empty()
    }

    /// Takes a batch of each partition that is not ahead. Whether there was anything.
    fn take(&mut self) -> Result<bool> {
        let oldest = self.gathered.pending.first_key_value().map_or(u64::MAX, |(epoch, _)| *epoch);
        let mut any = false;
        for ((number, shard), queue) in (0u16..).zip(&mut self.shards).zip(&mut self.queues) {
            if shard.is_done() || shard.at > oldest {
                continue;
            }
            for message in queue.take(BATCH).iter() {
                any = true;
                match message.error() {
                    Some(Code::PartitionEOF) => shard.next = shard.next.max(message.offset()),
                    Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                        // As by the active instance, while this one stands by: what is left is enough.
                        return Err(Error::unavailable(format!(
                            "{}[{number}] was shortened while it was read: {}",
                            self.gathered.topic,
                            message.reason()
                        )));
                    }
                    Some(_) => {}
                    None => {
                        let value = message.value().unwrap_or_default();
                        self.gathered.take(number, shard, message.offset(), value)?;
                    }
                }
            }
        }
        Ok(any)
    }

    /// The oldest commit, if each of its shards has told its part, or never will: what was deleted.
    fn take_whole(&mut self) -> Result<Option<Commit>> {
        let Some((&epoch, pending)) = self.gathered.pending.first_key_value() else { return Ok(None) };
        // Where the log was deleted in part, the shard that begins last says from where on it is whole.
        if self.from_start && self.shards.iter().any(|shard| shard.first.is_none() && !shard.is_done()) {
            return Ok(None);
        }
        for shard in &pending.shards {
            if pending.marked.contains(shard) {
                continue;
            }
            let Some(log) = self.shards.get(usize::from(*shard)) else {
                return Err(Error::corrupt(format!(
                    "{} has no partition {shard}, which commit {epoch} names",
                    self.gathered.topic
                )));
            };
            let is_past = log.at > epoch;
            if !is_past {
                return Ok(None);
            }
            if !self.from_start && epoch > self.reached {
                return Err(Error::corrupt(format!("{}[{shard}] lacks commit {epoch}", self.gathered.topic)));
            }
        }
        let pending = self.gathered.pending.pop_first().and_then(|(_, pending)| pending.commit);
        Ok(pending.map(|mut commit| {
            commit.blocks.sort_by_key(|block| block.shard);
            commit
        }))
    }
}

impl Gathered {
    /// Takes a record of a shard.
    fn take(&mut self, number: u16, shard: &mut ShardLog, offset: i64, value: &[u8]) -> Result<()> {
        let place = format!("{}[{number}]@{offset}", self.topic);
        self.bytes_read += value.len() as u64;
        shard.next = offset + 1;
        match value.split_first() {
            Some((&BLOCK, bytes)) => {
                shard.blocks.push(Block { shard: Shard(number), bytes: Arc::from(bytes) });
                Ok(())
            }
            Some((&MARKER, _)) => {
                let marker = Marker::read(value, &place)?;
                let blocks = shard.end(&marker, offset, &place)?;
                self.take_marker(number, marker, blocks, &place)
            }
            _ => Err(marker::stranger(&place)),
        }
    }

    fn take_marker(&mut self, number: u16, marker: Marker, blocks: Vec<Block>, place: &str) -> Result<()> {
        let epoch = marker.token.epoch;
        if self.job.get_or_insert_with(|| marker.job.clone()) != &marker.job {
            return Err(Error::config(format!(
                "{place} is of another job with the same name (id {}) than the state here: give this job another name, or a \
                 new --state to go on with that one",
                marker.job
            )));
        }
        self.log_bytes = self.log_bytes.max((epoch, marker.log_bytes));
        self.since = self.since.max((epoch, marker.since));
        if let Some(manifest) = &marker.manifest {
            self.manifest = Some(manifest.get().to_owned());
        }
        let pending = self.pending.entry(epoch).or_default();
        let commit = pending.commit.get_or_insert_with(|| marker::commit(epoch));
        commit.blocks.extend(blocks);
        if let Some(record) = &marker.record {
            commit.marker = record.get().as_bytes().to_vec();
        }
        pending.shards = marker.shards;
        pending.marked.push(number);
        Ok(())
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
        _ if epoch == reached + 1 => Ok(()),
        Some(begin) if epoch <= begin && into_empty => Ok(()),
        Some(begin) if epoch <= begin => Err(Gap::Shortened),
        _ => Err(Gap::Missing),
    }
}

impl ShardLog {
    /// Ends a commit's part with its marker, and gives its blocks.
    fn end(&mut self, marker: &Marker, offset: i64, place: &str) -> Result<Vec<Block>> {
        let blocks = std::mem::take(&mut self.blocks);
        // What stands before the first marker may have been deleted in part, or was read before.
        if self.first.is_some() {
            marker.check(&blocks, place)?;
        }
        self.at = marker.token.epoch;
        self.first.get_or_insert(marker.token.epoch);
        self.last = LastMarker { offset, token: Some(marker.token.clone()) };
        Ok(blocks)
    }

    fn is_done(&self) -> bool {
        self.next >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(follows(3, 5, Some(9), false), Err(Gap::Shortened), "the tables may hold what was deleted since");
    }
}
