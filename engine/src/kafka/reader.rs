//! Reads a changelog from offset to offset, commit by commit.

use std::time::Duration;

use headwater_state::{Commit, Epoch};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::assembly::{Assembly, LastMarker};
use super::client::Client;
use super::ffi::PartitionQueue;
use super::position::Position;
use crate::{Error, Result, clock};

/// How many records are taken of a partition at once.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(2);
/// A changelog that gives nothing for so long cannot be read.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Reads every partition from an offset up to an end.
///
/// Partitions are read in step: one that is ahead of the oldest commit that is not whole yet waits, so that no more is
/// held than one commit and what librdkafka has fetched.
pub(super) struct Reader {
    // Dropped before their client.
    partitions: Vec<Reading>,
    client: Client,
    topic: String,
    pub assembly: Assembly,
    pub bytes: u64,
}

struct Reading {
    queue: PartitionQueue,
    start: i64,
    end: i64,
    /// Everything before it was taken.
    next: i64,
}

impl Reader {
    /// Reads from `starts`, which are the offsets of markers or the log's beginning, commits after `reached`.
    ///
    /// # Errors
    /// As [`Client::fetch`].
    pub fn new(client: Client, topic: &str, starts: &[i64], from_start: bool, reached: Epoch) -> Result<Self> {
        let mut partitions = Vec::with_capacity(starts.len());
        for (number, start) in (0i32..).zip(starts) {
            let position = Position { offset: *start, leader_epoch: None, identity: client.identity().clone() };
            let queue = client.fetch(number, &position)?;
            partitions.push(Reading { queue, start: *start, end: *start, next: *start });
        }
        let assembly = Assembly::new(topic, starts.len(), from_start, reached);
        Ok(Self { partitions, client, topic: topic.to_owned(), assembly, bytes: 0 })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Closes the connection beside what goes on: it may take half a second, which is too long for who takes over.
    pub fn close_aside(self) {
        let Self { partitions, client, .. } = self;
        drop(partitions);
        // Where there is no thread, it is closed at once.
        drop(std::thread::Builder::new().name("closing".into()).spawn(move || drop(client)));
    }

    /// Reads on up to these ends, which nothing is behind.
    pub fn read_to_last(&mut self, ends: &[i64]) {
        self.assembly.ends_are_last(true);
        self.read_to(ends);
    }

    /// Reads on up to these ends.
    pub fn read_to(&mut self, ends: &[i64]) {
        for (partition, end) in self.partitions.iter_mut().zip(ends) {
            partition.end = *end;
        }
        for (at, partition) in self.partitions.iter().enumerate() {
            self.assembly.ends(at, partition.is_done());
        }
    }

    /// How many offsets were passed, and how many there are up to the ends.
    pub fn progress(&self) -> (u64, u64) {
        let passed = |of: &Reading, to: i64| u64::try_from(to.min(of.end) - of.start).unwrap_or(0);
        let done = self.partitions.iter().map(|of| passed(of, of.next)).sum();
        (done, self.partitions.iter().map(|of| passed(of, of.end)).sum())
    }

    /// The last marker of each shard that was read.
    pub fn last(&self) -> Vec<LastMarker> {
        self.assembly.last()
    }

    /// The next commit, with its record as its marker; `None` at the end, or when it is enough.
    ///
    /// # Errors
    /// `Corrupt` where something is missing or strange, `Unavailable` where the broker gives nothing.
    pub fn next(&mut self, enough: &dyn Fn() -> bool) -> Result<Option<Commit>> {
        let mut quiet_since = clock::now();
        loop {
            if let Some(commit) = self.assembly.next()? {
                return Ok(Some(commit));
            }
            if self.partitions.iter().all(Reading::is_done) {
                return self.assembly.check_beginning().map(|()| None);
            }
            // The ends were asked for one after the other: a part of the oldest commit may be behind its partition's.
            if (0..).zip(&self.partitions).all(|(at, of)| of.is_done() || self.assembly.is_ahead(at)) {
                return Ok(None);
            }
            if enough() {
                return Ok(None);
            }
            if self.take()? {
                quiet_since = clock::now();
                continue;
            }
            self.client.serve()?;
            if clock::now() - quiet_since > SILENCE_MAX {
                return Err(self.client.unreachable(SILENCE_MAX));
            }
            clock::wait(PAUSE, || false);
        }
    }

    /// Takes a batch of each partition that is not ahead. Whether there was anything.
    fn take(&mut self) -> Result<bool> {
        let mut any = false;
        for (number, partition) in (0u16..).zip(&mut self.partitions) {
            if partition.is_done() || self.assembly.is_ahead(usize::from(number)) {
                continue;
            }
            for message in partition.queue.take(BATCH).iter() {
                any = true;
                let offset = message.offset();
                match message.error() {
                    Some(Code::PartitionEOF) => partition.next = partition.next.max(offset),
                    // It was trimmed meanwhile: opening anew begins where it begins now.
                    Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                        let (topic, reason) = (&self.topic, message.reason());
                        return Err(Error::unavailable(format!(
                            "{topic}[{number}] was cut while it was read: {reason}"
                        )));
                    }
                    Some(_) => {}
                    None => {
                        let value = message.value().unwrap_or_default();
                        self.bytes += value.len() as u64;
                        self.assembly.take(number, offset, value)?;
                        partition.next = offset + 1;
                    }
                }
            }
        }
        for (at, partition) in self.partitions.iter().enumerate() {
            self.assembly.ends(at, partition.is_done());
        }
        Ok(any)
    }
}

impl Reading {
    fn is_done(&self) -> bool {
        self.next >= self.end
    }
}
