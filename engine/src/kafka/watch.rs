//! What goes on behind a client: its log, its errors, and whether the leaders of the partitions answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;

use super::errors::Reported;
use crate::clock;

/// How often librdkafka tells how its connections are.
pub(super) const STATISTICS_INTERVAL: Duration = Duration::from_millis(500);
/// A leader that has answered nothing for this long, beyond what it may wait for records, does not answer.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// A leader that is away for so long is worth a line in the log.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// Takes what librdkafka reports. The client calls it whenever a partition of it is polled.
pub(super) struct Watch {
    topic: String,
    /// How many partitions are read.
    partitions: usize,
    silence_max: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// The last error that says anything.
    error: Option<Reported>,
    /// Partitions of which something is known: since when their leader does not answer.
    partitions: HashMap<i32, Option<Instant>>,
    told_away: bool,
    told_partitions: usize,
}

/// What is known of a partition's leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leader {
    /// Nothing yet.
    Unknown,
    Answers,
    SilentSince(Instant),
}

impl Watch {
    /// For a topic of which `partitions` are read, by a client whose brokers may wait `fetch_wait` for records.
    pub fn new(topic: &str, partitions: usize, fetch_wait: Duration) -> Self {
        let seen = Seen { told_partitions: partitions, ..Seen::default() };
        Self { topic: topic.to_owned(), partitions, silence_max: SILENCE_MAX + fetch_wait, seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each change is whole by itself.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last error that librdkafka has reported of its connections.
    pub fn last_error(&self) -> Option<Reported> {
        self.seen().error.clone()
    }

    pub fn leader(&self, partition: i32) -> Leader {
        match self.seen().partitions.get(&partition) {
            None => Leader::Unknown,
            Some(None) => Leader::Answers,
            Some(Some(since)) => Leader::SilentSince(*since),
        }
    }

    fn take(&self, statistics: &Statistics, now: Instant) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        let mut seen = self.seen();
        // A partition of librdkafka's own has the number -1.
        let partitions = topic.partitions.values().filter(|partition| partition.partition >= 0);
        let mut known = 0;
        for partition in partitions {
            known += 1;
            let answers = statistics.brokers.values().any(|broker| {
                broker.nodeid == partition.broker
                    && broker.state == "UP"
                    && u128::from(broker.rxidle.max(0).unsigned_abs()) < self.silence_max.as_micros()
            });
            let since = seen.partitions.get(&partition.partition).copied().flatten();
            seen.partitions.insert(partition.partition, (!answers).then(|| since.unwrap_or(now)));
        }
        self.tell(&mut seen, known, now);
    }

    fn tell(&self, seen: &mut Seen, known: usize, now: Instant) {
        let read = self.partitions;
        if known > seen.told_partitions {
            seen.told_partitions = known;
            tracing::warn!(
                "Kafka topic {} has {known} partitions now, and {read} are read: start the job again to read the others",
                self.topic
            );
        }
        let is_read = |partition: i32| usize::try_from(partition).is_ok_and(|partition| partition < read);
        let of_ours = seen.partitions.iter().filter(|(partition, _)| is_read(**partition));
        let away: Vec<Duration> = of_ours.filter_map(|(_, since)| since.map(|since| now - since)).collect();
        if !seen.told_away && away.iter().any(|away| *away >= TOLD_AFTER) {
            seen.told_away = true;
            let cause = seen.error.as_ref().map(|error| error.reason.as_str()).unwrap_or("no answer");
            tracing::warn!(
                "waiting for Kafka: {} of {read} partitions of {} cannot be read: {cause}",
                away.len(),
                self.topic
            );
        } else if seen.told_away && away.is_empty() {
            seen.told_away = false;
            tracing::info!("Kafka answers again: all partitions of {} are read", self.topic);
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!("librdkafka: {facility}: {message}");
            }
            // What matters of these comes as an error or in the statistics, too.
            _ => tracing::debug!("librdkafka: {facility}: {message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        tracing::debug!("Kafka: {reason}");
        // That all brokers are away says less than why the last one is; and no group is needed to read.
        if !matches!(code, RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::GroupAuthorizationFailed) {
            self.seen().error = Some(Reported::new(code, reason));
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice::<Statistics>(statistics) {
            Ok(statistics) => self.take(&statistics, clock::now()),
            Err(error) => tracing::debug!(%error, "librdkafka's statistics cannot be read"),
        }
    }
}

impl ConsumerContext for Watch {}

/// The part of librdkafka's statistics that is needed.
#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    brokers: HashMap<String, Broker>,
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Broker {
    nodeid: i32,
    state: String,
    /// Microseconds since it answered anything.
    rxidle: i64,
}

#[derive(Deserialize)]
struct Topic {
    partitions: HashMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    partition: i32,
    /// Of the leader; -1 where there is none.
    broker: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(state: &str, rxidle: i64, partitions: i32) -> Statistics {
        let broker = Broker { nodeid: 1, state: state.to_owned(), rxidle };
        let partitions = (-1..partitions).map(|id| (id.to_string(), Partition { partition: id, broker: 1 })).collect();
        Statistics {
            brokers: HashMap::from([("a".to_owned(), broker)]),
            topics: HashMap::from([("orders".to_owned(), Topic { partitions })]),
        }
    }

    #[test]
    fn a_leader_answers_while_it_is_up_and_was_heard_of() {
        let watch = Watch::new("orders", 2, Duration::from_millis(500));
        let now = clock::now();
        assert_eq!(watch.leader(0), Leader::Unknown);
        watch.take(&statistics("UP", 400_000, 2), now);
        assert_eq!(watch.leader(0), Leader::Answers);
        watch.take(&statistics("UP", 3_600_000, 2), now);
        assert_eq!(watch.leader(1), Leader::SilentSince(now));
        watch.take(&statistics("DOWN", 0, 2), now + Duration::from_secs(1));
        assert_eq!(watch.leader(1), Leader::SilentSince(now), "since the first time");
        watch.take(&statistics("UP", 0, 2), now);
        assert_eq!(watch.leader(1), Leader::Answers);
    }

    #[test]
    fn the_error_that_is_kept_says_something() {
        let watch = Watch::new("orders", 1, Duration::ZERO);
        watch.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), "connection refused");
        watch.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(watch.last_error().map(|error| error.reason), Some("connection refused".to_owned()));
    }
}
