//! Reads what stands at the end of partitions, committed or not.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::time::Duration;

use headwater_operators::Timestamp;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::asking::Asker;
use super::errors::topic_error;
use super::fate::{Tail, Tails};
use super::ffi::high_watermark;
use super::healing::Open;
use super::session::Session;
use crate::format::Header;
use crate::sink::Outgoing;
use crate::{Error, Result, clock};

/// Nothing more comes where nothing has come for so long.
const READ_MAX: Duration = Duration::from_secs(30);

/// A record as it stands in a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    pub timestamp: Option<Timestamp>,
}

impl Stored {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            let header = |of: rdkafka::message::Header<'_, &[u8]>| Header {
                name: of.key.to_owned(),
                value: of.value.map(<[u8]>::to_vec),
            };
            headers.iter().map(header).collect()
        });
        Self {
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            timestamp: message.timestamp().to_millis().map(Timestamp::from_millis),
        }
    }

    /// The same, for a topic.
    pub fn outgoing<'a>(&'a self, topic: &'a str) -> Outgoing<'a> {
        let (key, value) = (self.key.as_deref(), self.value.as_deref());
        Outgoing { topic, key, value, headers: &self.headers, timestamp: self.timestamp }
    }
}

impl Session {
    /// Reads the changelog where it may lack an end: each shard from the last marker on that the group knows. What is not
    /// committed `is_included`, or left out.
    ///
    /// # Errors
    /// As [`read_tails`](Self::read_tails).
    pub(super) fn tails<'a>(&self, open: &Open<'a>, copies: &'a str, is_included: bool) -> Result<Tails<'a>> {
        let topic = self.state_topic();
        let lows = self.offsets(self.anybody()?, Offset::Beginning)?;
        let stable = self.offsets(self.stable()?, Offset::End)?;
        let ends = self.offsets(self.anybody()?, Offset::End)?;
        let mut places = BTreeMap::new();
        for (at, committed) in open.committed.iter().enumerate() {
            // The offset is that behind the marker.
            if let (Some((_, behind)), Ok(shard)) = (committed, i32::try_from(at)) {
                places.insert(shard, ((behind - 1).min(stable[at]).max(lows[at]), ends[at]));
            }
        }
        let mut seen = self.read_tails(self.stable()?, &topic, &places, usize::MAX)?;
        let all =
            if is_included { self.read_tails(self.anybody()?, &topic, &places, usize::MAX)? } else { seen.clone() };
        let mut shards = BTreeMap::new();
        for (partition, records) in all {
            let seen = seen.remove(&partition).into_iter().flatten().map(|record| record.offset).collect();
            if let Ok(shard) = u16::try_from(partition) {
                shards.insert(shard, Tail { stable: stable[usize::from(shard)], records, seen });
            }
        }
        let mut tails = Tails { committed: open.committed, group_is_open: open.group, copies, shards };
        let lost = tails.lost();
        let place = |(shard, from): (&u16, &i64)| {
            let at = usize::from(*shard);
            (i32::from(*shard), ((*from).max(lows[at]), ends[at]))
        };
        let places: BTreeMap<i32, (i64, i64)> = lost.iter().map(place).collect();
        for (partition, records) in self.read_tails(self.anybody()?, &topic, &places, usize::MAX)? {
            if let Some(tail) = u16::try_from(partition).ok().and_then(|shard| tails.shards.get_mut(&shard)) {
                tail.records = records;
            }
        }
        Ok(tails)
    }

    /// Reads partitions of a topic, each from an offset to another, or `most` records of it, as far as `asker` sees them. A
    /// leader that has not heard of that offset is not believed.
    ///
    /// # Errors
    /// `Unavailable` where they are not read in time; `Config` where the client may not read them.
    pub(super) fn read_tails(
        &self,
        asker: &Asker,
        topic: &str,
        places: &BTreeMap<i32, (i64, i64)>,
        most: usize,
    ) -> Result<BTreeMap<i32, Vec<Stored>>> {
        if places.is_empty() {
            return Ok(BTreeMap::new());
        }
        let failed = |what: String| Error::unavailable(format!("Kafka does not give the end of {topic}: {what}"));
        let name = CString::new(topic).map_err(|_| Error::bug("a topic's name has a zero in it"))?;
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (partition, (from, _)) in places {
            list.add_partition_offset(topic, *partition, Offset::Offset(*from))
                .map_err(|error| Error::bug("an offset is out of range").caused_by(error))?;
        }
        let mut tails: BTreeMap<i32, Vec<Stored>> = places.keys().map(|partition| (*partition, Vec::new())).collect();
        let mut left: BTreeSet<i32> = places.keys().copied().collect();
        asker.assign(&list).map_err(|error| Error::bug("librdkafka does not assign").caused_by(error))?;
        let mut deadline = clock::now() + READ_MAX;
        let mut fault = None;
        while !left.is_empty() && fault.is_none() && clock::now() < deadline {
            match asker.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let until = places.get(&message.partition()).map_or(0, |(_, until)| *until);
                    let tail = tails.entry(message.partition()).or_default();
                    if tail.len() < most && message.offset() < until {
                        tail.push(Stored::of(&message));
                        deadline = clock::now() + READ_MAX;
                    }
                    if tail.len() == most || message.offset() + 1 >= until {
                        left.remove(&message.partition());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    let until = places.get(&partition).map_or(0, |(_, until)| *until);
                    if high_watermark(asker, &name, partition).is_some_and(|end| end >= until) {
                        left.remove(&partition);
                    }
                }
                Some(Err(error)) => fault = Some(error).filter(is_final),
                None => {}
            }
        }
        asker.unassign().map_err(|error| Error::bug("librdkafka does not unassign").caused_by(error))?;
        match fault {
            Some(error) if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) => {
                Err(topic_error(Code::TopicAuthorizationFailed, topic, self.kafka.brokers()))
            }
            Some(error) => Err(failed(error.to_string())),
            None if left.is_empty() => Ok(tails),
            None => Err(failed(format!("partitions {left:?}"))),
        }
    }
}

/// What does not pass.
fn is_final(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::AutoOffsetReset | Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition))
}
