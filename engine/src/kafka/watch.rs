//! What goes on behind a client: its log, its errors, and whether the leaders of the partitions answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use serde::Deserialize;

use super::errors::Reported;
use super::figures::Figures;
use super::told::log;
use crate::clock;

/// How often librdkafka tells how its connections are.
pub(super) const STATISTICS_INTERVAL: Duration = Duration::from_millis(500);
/// A leader that has answered nothing for this long, beyond what it may wait for records, does not answer.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// What was told longer ago than this says nothing of now.
const SAMPLE_MAX: Duration = Duration::from_millis(1500);
/// A leader that is away for so long is worth a line in the log.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// Takes what librdkafka reports. The client calls it whenever a partition of it is polled.
pub(super) struct Watch {
    topic: String,
    /// How many partitions are read.
    partitions: usize,
    silence_max: Duration,
    seen: Mutex<Seen>,
    figures: Arc<Figures>,
}

#[derive(Default)]
struct Seen {
    /// The last error that says anything.
    error: Option<Reported>,
    /// Partitions of which something is known.
    partitions: HashMap<i32, Leader>,
    /// When the last statistics were made.
    sampled: Option<Instant>,
    /// A time by librdkafka's clock, in microseconds, and the same by ours: those of the statistics that came fastest.
    clocks: Option<(i64, Instant)>,
    told_away: bool,
    known_partitions: usize,
}

/// What is known of a partition's leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leader {
    /// Nothing yet, or nothing recent.
    Unknown,
    /// The partition is fetched, and this is when its leader was last heard of.
    HeardAt(Instant),
    SilentSince(Instant),
}

impl Leader {
    fn silence(self, now: Instant) -> Option<Duration> {
        if let Self::SilentSince(since) = self { Some(now.saturating_duration_since(since)) } else { None }
    }
}

impl Seen {
    /// When statistics were made that say `micros` by librdkafka's clock and are taken `now`: they may have waited.
    fn made_at(&mut self, micros: i64, now: Instant) -> Instant {
        let made = self
            .clocks
            .and_then(|(clock, at)| at.checked_add(Duration::from_micros((micros - clock).try_into().ok()?)));
        match made {
            Some(made) if made <= now => made,
            _ => {
                self.clocks = Some((micros, now));
                now
            }
        }
    }
}

impl Watch {
    /// For a topic of which `partitions` are read, by a client whose brokers may wait `fetch_wait` for records.
    pub fn new(topic: &str, partitions: usize, fetch_wait: Duration) -> Self {
        let seen = Seen { known_partitions: partitions, ..Seen::default() };
        let silence_max = SILENCE_MAX + fetch_wait;
        let figures = Arc::new(Figures::new(partitions));
        Self { topic: topic.to_owned(), partitions, silence_max, seen: Mutex::new(seen), figures }
    }

    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Each change is whole by itself.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last error that librdkafka has reported of its connections.
    pub fn last_error(&self) -> Option<Reported> {
        self.seen().error.clone()
    }

    /// How many partitions the topic has, as far as is known.
    pub fn known_partitions(&self) -> usize {
        self.seen().known_partitions
    }

    pub fn leader(&self, partition: i32, now: Instant) -> Leader {
        let seen = self.seen();
        // After a pause of the process, what was told before it is old.
        if seen.sampled.is_none_or(|sampled| now.saturating_duration_since(sampled) > SAMPLE_MAX) {
            return Leader::Unknown;
        }
        seen.partitions.get(&partition).copied().unwrap_or(Leader::Unknown)
    }

    fn take(&self, statistics: &Statistics, now: Instant) {
        self.figures.take(statistics, &self.topic);
        let mut seen = self.seen();
        let sampled = seen.made_at(statistics.ts, now);
        seen.sampled = Some(sampled);
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        // A partition of librdkafka's own has the number -1.
        let partitions = topic.partitions.values().filter(|partition| partition.partition >= 0);
        let mut known = 0;
        for partition in partitions {
            known += 1;
            let leader = statistics.brokers.values().find(|broker| broker.nodeid == partition.broker);
            let idle = leader.filter(|leader| leader.state == "UP").and_then(|leader| leader.idle());
            let heard = idle.filter(|idle| *idle < self.silence_max).and_then(|idle| sampled.checked_sub(idle));
            let before = seen.partitions.get(&partition.partition).copied();
            let leader = match (heard, before) {
                // In any other state the end that is known may be that of before.
                (Some(heard), _) if partition.fetch_state == "active" => Leader::HeardAt(heard),
                // Not opened yet, or nobody asks the leader while there are records to be taken.
                _ if partition.fetch_state == "none" || partition.fetchq_cnt > 0 => Leader::Unknown,
                (_, Some(Leader::SilentSince(since))) => Leader::SilentSince(since),
                _ => Leader::SilentSince(now),
            };
            seen.partitions.insert(partition.partition, leader);
        }
        self.tell(&mut seen, known, now);
    }

    fn tell(&self, seen: &mut Seen, known: usize, now: Instant) {
        let read = self.partitions;
        seen.known_partitions = seen.known_partitions.max(known);
        let is_read = |partition: i32| usize::try_from(partition).is_ok_and(|partition| partition < read);
        let of_ours = seen.partitions.iter().filter(|(partition, _)| is_read(**partition));
        let away: Vec<Duration> = of_ours.filter_map(|(_, leader)| leader.silence(now)).collect();
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
        log(level as i32, facility, message);
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
#[derive(Default, Deserialize)]
pub(super) struct Statistics {
    /// Microseconds of a clock that only goes on.
    #[serde(default)]
    ts: i64,
    #[serde(default)]
    pub brokers: HashMap<String, Broker>,
    #[serde(default)]
    pub topics: HashMap<String, Topic>,
    /// Messages received, and their bytes.
    #[serde(default)]
    pub rxmsgs: u64,
    #[serde(default)]
    pub rxmsg_bytes: u64,
}

#[derive(Default, Deserialize)]
pub(super) struct Broker {
    pub nodeid: i32,
    pub state: String,
    /// Microseconds since it answered anything; -1 where it never did.
    rxidle: i64,
    /// How it is known; `logical` is one that stands for another.
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub rtt: RoundTrips,
}

/// In microseconds, since the statistics before.
#[derive(Default, Deserialize)]
pub(super) struct RoundTrips {
    pub avg: i64,
    pub cnt: i64,
}

impl Broker {
    fn idle(&self) -> Option<Duration> {
        self.rxidle.try_into().ok().map(Duration::from_micros)
    }
}

#[derive(Deserialize)]
pub(super) struct Topic {
    pub partitions: HashMap<String, Partition>,
}

#[derive(Default, Deserialize)]
pub(super) struct Partition {
    pub partition: i32,
    /// Of the leader; -1 where there is none.
    broker: i32,
    fetch_state: String,
    /// How many messages wait to be taken.
    #[serde(default)]
    fetchq_cnt: i64,
    /// The last stable offset that a fetch told; below 0 before.
    #[serde(default = "unknown")]
    pub ls_offset: i64,
}

fn unknown() -> i64 {
    -1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(state: &str, rxidle: i64, fetch_state: &str, fetchq_cnt: i64) -> Statistics {
        let broker = Broker { nodeid: 1, state: state.to_owned(), rxidle, ..Broker::default() };
        let partition = |partition| {
            let fetch_state = fetch_state.to_owned();
            Partition { partition, broker: 1, fetch_state, fetchq_cnt, ..Partition::default() }
        };
        let partitions = (-1..2).map(|id| (id.to_string(), partition(id))).collect();
        Statistics {
            ts: 0,
            brokers: HashMap::from([("a".to_owned(), broker)]),
            topics: HashMap::from([("orders".to_owned(), Topic { partitions })]),
            ..Statistics::default()
        }
    }

    #[test]
    fn a_leader_answers_while_it_is_up_and_was_heard_of() {
        let watch = Watch::new("orders", 2, Duration::from_millis(500));
        let now = clock::now();
        let take = |state: &str, rxidle, fetch_state: &str, waiting, later| {
            let now = now + Duration::from_secs(later);
            watch.take(
                &Statistics { ts: 1_000_000 * later as i64, ..statistics(state, rxidle, fetch_state, waiting) },
                now,
            );
            watch.leader(1, now)
        };
        assert_eq!(watch.leader(0, now), Leader::Unknown);
        assert_eq!(take("UP", 400_000, "active", 0, 0), Leader::HeardAt(now - Duration::from_millis(400)));
        assert_eq!(take("UP", 1_600_000, "active", 0, 1), Leader::SilentSince(now + Duration::from_secs(1)));
        assert_eq!(
            take("DOWN", 0, "active", 0, 2),
            Leader::SilentSince(now + Duration::from_secs(1)),
            "the first time"
        );
        assert_eq!(take("UP", 0, "active", 0, 3), Leader::HeardAt(now + Duration::from_secs(3)));
        assert_eq!(take("UP", 0, "validate-epoch-wait", 0, 4), Leader::SilentSince(now + Duration::from_secs(4)));
        assert_eq!(take("UP", 9_000_000, "active", 7, 5), Leader::Unknown, "it is not asked while records wait");
    }

    #[test]
    fn what_was_told_before_a_pause_is_not_believed_after_it() {
        let watch = Watch::new("orders", 2, Duration::from_millis(500));
        let start = clock::now();
        let at = |millis| start + Duration::from_millis(millis);
        watch.take(&statistics("UP", 0, "active", 0), start);
        assert_eq!(watch.leader(0, at(1500)), Leader::HeardAt(start));
        assert_eq!(watch.leader(0, at(1501)), Leader::Unknown);
        // Made before the pause, and taken after it.
        watch.take(&Statistics { ts: 500_000, ..statistics("UP", 0, "active", 0) }, at(60_000));
        assert_eq!(watch.leader(0, at(60_000)), Leader::Unknown);
        watch.take(&Statistics { ts: 60_100_000, ..statistics("UP", 0, "active", 0) }, at(60_100));
        assert_eq!(watch.leader(0, at(60_100)), Leader::HeardAt(at(60_100)));
    }

    #[test]
    fn the_error_that_is_kept_says_something() {
        let watch = Watch::new("orders", 1, Duration::ZERO);
        watch.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), "connection refused");
        watch.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(watch.last_error().map(|error| error.reason), Some("connection refused".to_owned()));
    }
}
