//! One partition of a topic, being read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_operators::Timestamp;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::client::Client;
use super::errors::{is_passing, topic_error};
use super::ffi::{Message, PartitionQueue};
use super::position::Position;
use super::source::check_offset;
use super::watch::Leader;
use crate::format::{Decode, Header, RawRecord};
use crate::source::{BadRecord, Partition, Poll, Polled};
use crate::{Error, Kind, Received, Result, clock};

/// How soon to look again where a fetch is under way.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A transaction that is open for so long is worth a line in the log.
const TRANSACTION_TOLD_AFTER: Duration = Duration::from_secs(60);

pub(super) struct KafkaPartition<F> {
    pub format: F,
    pub queue: PartitionQueue,
    pub client: Arc<Client>,
    pub topic: Arc<str>,
    pub partition: i32,
    pub cursor: Cursor,
    /// How long a leader that is away is waited for.
    pub patience: Duration,
    /// Since when an open transaction keeps records back; told ones have no time.
    pub held_since: Option<Held>,
    /// When the leader was last heard of, where all was read by then.
    pub heard: Option<Instant>,
    /// Told to the source where the topic has more partitions.
    pub has_changed: Arc<AtomicBool>,
}

/// A partition, and of one that has ended its last position only: so its client closes when all have ended, for nobody
/// takes what it reports any more.
pub(super) enum UntilEnd<F> {
    Reading(Box<KafkaPartition<F>>),
    Ended(Position),
}

impl<T, F: Decode<T>> Partition<T> for UntilEnd<F> {
    fn poll(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<Poll> {
        let Self::Reading(partition) = self else { return Ok(Poll::End) };
        let poll = partition.poll(polled, rows_max)?;
        if poll == Poll::End {
            let position = partition.cursor.position.clone();
            *self = Self::Ended(position);
        }
        Ok(poll)
    }

    fn position(&self) -> String {
        match self {
            Self::Reading(partition) => partition.cursor.position.to_string(),
            Self::Ended(position) => position.to_string(),
        }
    }

    fn quiet_until(&self) -> Option<Instant> {
        if let Self::Reading(partition) = self { partition.heard } else { None }
    }
}

pub(super) enum Held {
    Since(Instant),
    Told,
}

/// How far a partition was read, and how far it is to be.
pub(super) struct Cursor {
    position: Position,
    /// Nothing from here on is read.
    end: Option<i64>,
    /// The end of what can be read, when it was last reached.
    reached: Option<i64>,
}

impl Cursor {
    pub fn new(position: Position, end: Option<i64>) -> Self {
        Self { position, end, reached: None }
    }

    /// Whether the record at `offset` is the next one to be read.
    fn admits(&self, offset: i64) -> bool {
        offset >= self.position.offset && self.end.is_none_or(|end| offset < end)
    }

    /// Goes behind the record at `offset`.
    fn pass(&mut self, offset: i64, leader_epoch: Option<i32>) {
        self.position.offset = offset + 1;
        self.position.leader_epoch = leader_epoch;
    }

    /// All before `offset` was read: records, and what is not delivered, such as the markers of transactions.
    fn reach(&mut self, offset: i64) {
        let offset = self.end.map_or(offset, |end| offset.min(end));
        if offset > self.position.offset {
            self.position.offset = offset;
            // The marker may be of a later leader than the record before it.
            self.position.leader_epoch = None;
        }
        self.reached = Some(self.position.offset);
    }

    fn has_ended(&self) -> bool {
        self.end.is_some_and(|end| self.position.offset >= end)
    }

    /// Whether the end of what can be read is where we are.
    fn is_at_end(&self) -> bool {
        self.reached == Some(self.position.offset)
    }
}

impl<F> KafkaPartition<F> {
    fn poll<T>(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<Poll>
    where
        F: Decode<T>,
    {
        self.client.serve()?;
        // One that ends where the topic ended at the start does not mind what comes after.
        if self.cursor.end.is_none() {
            self.client.check_partitions().inspect_err(|_| self.has_changed.store(true, Ordering::Relaxed))?;
        }
        if self.cursor.has_ended() {
            return Ok(Poll::End);
        }
        let found = self.take(polled, rows_max)?;
        self.client.figures().read_to(self.partition, self.cursor.position.offset);
        if found {
            self.held_since = None;
            return Ok(Poll::Records);
        }
        if self.cursor.has_ended() { Ok(Poll::End) } else { self.silence() }
    }

    /// Takes what was fetched. Whether that was a record.
    fn take<T>(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<bool>
    where
        F: Decode<T>,
    {
        let Self { queue, cursor, format, topic, partition, .. } = self;
        let mut found = false;
        let mut stopped = None;
        for message in queue.take(rows_max).iter() {
            let offset = message.offset();
            match message.error() {
                None if cursor.admits(offset) => {
                    found = true;
                    let record = Delivered { message, topic, partition: *partition };
                    polled.bytes += record.value().map_or(0, <[u8]>::len) + record.key().map_or(0, <[u8]>::len);
                    match format.decode_record(&record) {
                        Ok(decoded) => polled.records.push(decoded),
                        Err(error) => polled.bad.push(record.bad(error)?),
                    }
                    cursor.pass(offset, message.leader_epoch());
                }
                // Beyond the end, and so is all that follows.
                None if offset >= cursor.position.offset => cursor.reach(offset),
                None => {}
                Some(Code::PartitionEOF) => cursor.reach(offset),
                Some(code) if is_passing(code) => tracing::debug!("{topic}[{partition}]: {}", message.reason()),
                Some(code) => {
                    stopped = Some((code, message.reason()));
                    break;
                }
            }
        }
        match stopped {
            Some((code, reason)) => Err(self.stopped(code, &reason)),
            None => Ok(found),
        }
    }

    /// The error for a partition that librdkafka fetches no more.
    fn stopped(&self, code: Code, reason: &str) -> Error {
        let (topic, partition, offset) = (&self.topic, self.partition, self.cursor.position.offset);
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation => {
                let watermarks = self.client.confirm().and_then(|()| self.client.watermarks(partition));
                let checked = watermarks.and_then(|watermarks| check_offset(topic, partition, offset, watermarks));
                checked.err().unwrap_or_else(|| {
                    Error::config(format!(
                        "{topic}[{partition}] at offset {offset} is not what was read before: {reason}; records that \
                         were read may be gone, as after an unclean leader election; start over with --fresh"
                    ))
                })
            }
            Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicId
            | Code::TopicAuthorizationFailed => topic_error(code, topic, self.client.brokers()),
            _ => Error::unavailable(format!("{topic}[{partition}] cannot be read at offset {offset}: {reason}")),
        }
    }

    /// Nothing was fetched: whether because there is nothing, or because it does not come.
    fn silence(&mut self) -> Result<Poll> {
        let leader = self.client.leader(self.partition);
        if let Leader::SilentSince(since) = leader
            && clock::now() - since >= self.patience
        {
            return Err(self.client.unreachable(self.patience));
        }
        let Leader::HeardAt(heard) = leader else { return Ok(Poll::Wait(LOOK_AGAIN)) };
        if !self.cursor.is_at_end() {
            return Ok(Poll::Wait(LOOK_AGAIN));
        }
        if self.client.high_watermark(self.partition) == Some(self.cursor.position.offset) {
            self.held_since = None;
            self.heard = Some(heard);
            return Ok(Poll::Quiet);
        }
        self.hold();
        Ok(Poll::Wait(LOOK_AGAIN))
    }

    /// There are records behind the last one that can be read.
    fn hold(&mut self) {
        let now = clock::now();
        match self.held_since {
            None => self.held_since = Some(Held::Since(now)),
            Some(Held::Since(since)) if now - since >= TRANSACTION_TOLD_AFTER => {
                self.held_since = Some(Held::Told);
                tracing::warn!(
                    "{}[{}] is held at offset {} by a transaction that is open since {} s: nothing behind it can be \
                     read until its producer ends it; `kafka-transactions.sh find-hanging` finds one that has none",
                    self.topic,
                    self.partition,
                    self.cursor.position.offset,
                    (now - since).as_secs()
                );
            }
            Some(_) => {}
        }
    }
}

/// A record as a format sees it.
struct Delivered<'a> {
    message: Message<'a>,
    topic: &'a Arc<str>,
    partition: i32,
}

impl Delivered<'_> {
    fn bad(&self, error: Error) -> Result<BadRecord> {
        let place = format!("{}[{}]@{}", self.topic, self.partition, self.offset());
        match error.kind() {
            Kind::Record => {
                let payload = self.value().unwrap_or_default().to_vec();
                let received = Box::new(Received {
                    value: self.value().map(drop),
                    key: self.key().map(<[u8]>::to_vec),
                    headers: self.headers(),
                    timestamp: self.timestamp(),
                    topic: Arc::clone(self.topic),
                    partition: self.partition,
                    offset: self.offset(),
                });
                Ok(BadRecord { received: Some(received), ..BadRecord::new(place, &error, payload) })
            }
            _ => Err(error.within(place)),
        }
    }
}

impl RawRecord for Delivered<'_> {
    fn value(&self) -> Option<&[u8]> {
        self.message.value()
    }

    fn key(&self) -> Option<&[u8]> {
        self.message.key()
    }

    fn headers(&self) -> Vec<Header> {
        let mut headers = Vec::new();
        self.message.headers(|name, value| {
            headers.push(Header { name: name.to_owned(), value: value.map(<[u8]>::to_vec) });
        });
        headers
    }

    fn timestamp(&self) -> Option<Timestamp> {
        self.message.timestamp().map(Timestamp::from_millis)
    }

    fn topic(&self) -> &Arc<str> {
        self.topic
    }

    fn partition(&self) -> i32 {
        self.partition
    }

    fn offset(&self) -> i64 {
        self.message.offset()
    }
}

#[cfg(test)]
mod tests {
    use super::super::position::Identity;
    use super::*;

    fn cursor(offset: i64, end: Option<i64>) -> Cursor {
        let identity = Identity::default();
        Cursor::new(Position { offset, leader_epoch: Some(1), identity }, end)
    }

    #[test]
    fn markers_move_the_position_and_leave_no_epoch() {
        let mut cursor = cursor(5, None);
        assert!(!cursor.is_at_end());
        cursor.pass(7, Some(2));
        assert_eq!((cursor.position.offset, cursor.position.leader_epoch), (8, Some(2)));
        cursor.reach(8);
        assert_eq!((cursor.position.leader_epoch, cursor.is_at_end()), (Some(2), true));
        cursor.reach(10);
        assert_eq!((cursor.position.offset, cursor.position.leader_epoch), (10, None));
        assert!(cursor.is_at_end() && !cursor.admits(9) && cursor.admits(12));
        cursor.pass(12, Some(2));
        assert!(!cursor.is_at_end());
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let mut cursor = cursor(5, Some(9));
        assert!(cursor.admits(8) && !cursor.admits(9) && !cursor.has_ended());
        // The first record behind the end tells that all before it is read.
        cursor.reach(20);
        assert_eq!((cursor.position.offset, cursor.has_ended()), (9, true));
    }
}
