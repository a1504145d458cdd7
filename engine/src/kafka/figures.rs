//! What is known of a topic while it is read, for those who watch the job.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::watch::Statistics;
use crate::source::Measure;

/// Offsets and connections of one client. Whoever reads a partition sets how far it is; librdkafka's statistics, twice
/// a second, set the rest.
pub(super) struct Figures {
    /// By partition the offset that is read next; -1 before it is opened.
    positions: Vec<AtomicI64>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// By partition the end of what can be read, which an open transaction holds back.
    stable_ends: BTreeMap<i32, i64>,
    brokers: BTreeMap<i32, Broker>,
    received: Received,
}

/// A broker of the cluster.
#[derive(Clone, Copy, Default)]
struct Broker {
    is_up: bool,
    /// The mean time that it took to answer, lately.
    round_trip_micros: Option<i64>,
}

/// Since the client was opened.
#[derive(Clone, Copy, Default)]
struct Received {
    messages: u64,
    bytes: u64,
}

impl Figures {
    /// For a topic of which `partitions` are read.
    pub fn new(partitions: usize) -> Self {
        Self { positions: (0..partitions).map(|_| AtomicI64::new(-1)).collect(), seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // It is replaced as a whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition was read up to this offset.
    pub fn read_to(&self, partition: i32, offset: i64) {
        let position = usize::try_from(partition).ok().and_then(|partition| self.positions.get(partition));
        if let Some(position) = position {
            position.store(offset, Ordering::Relaxed);
        }
    }

    /// Takes what concerns `topic`.
    pub fn take(&self, statistics: &Statistics, topic: &str) {
        let received = Received { messages: statistics.rxmsgs, bytes: statistics.rxmsg_bytes };
        let mut last = self.seen();
        let mut seen = Seen { received, ..Seen::default() };
        for partition in statistics.topics.get(topic).into_iter().flat_map(|topic| topic.partitions.values()) {
            // Below 0 where no fetch has told it yet.
            if partition.partition >= 0 && partition.ls_offset >= 0 {
                seen.stable_ends.insert(partition.partition, partition.ls_offset);
            }
        }
        // Addresses of which it is not known yet whose they are have no number, and a coordinator is a broker as well.
        let of_cluster = |broker: &&super::watch::Broker| broker.nodeid >= 0 && broker.source != "logical";
        for broker in statistics.brokers.values().filter(of_cluster) {
            let before = last.brokers.get(&broker.nodeid).and_then(|broker| broker.round_trip_micros);
            let round_trip_micros = if broker.rtt.cnt > 0 { Some(broker.rtt.avg) } else { before };
            seen.brokers.insert(broker.nodeid, Broker { is_up: broker.state == "UP", round_trip_micros });
        }
        *last = seen;
    }

    /// How many offsets are between what was read of a partition and what can be, where both are known.
    fn lag(&self, partition: i32, end: i64) -> Option<i64> {
        let position = self.positions.get(usize::try_from(partition).ok()?)?.load(Ordering::Relaxed);
        // The end may have been told before the records that were read since.
        (position >= 0).then(|| (end - position).max(0))
    }

    pub fn measures(&self) -> Vec<Measure> {
        let seen = self.seen();
        let mut measures = Vec::new();
        for (partition, end) in &seen.stable_ends {
            let Some(lag) = self.lag(*partition, *end) else { continue };
            measures.push(Measure {
                name: "kafka_lag_records",
                help: "Offsets that can be read of a partition, up to its last stable offset, and are not read yet",
                grows: false,
                labels: vec![("partition", partition.to_string())],
                value: lag as f64,
            });
        }
        for (id, broker) in &seen.brokers {
            let of = |name, help, value| {
                let labels = vec![("broker", id.to_string())];
                Measure { name, help, grows: false, labels, value }
            };
            let up = f64::from(u8::from(broker.is_up));
            measures.push(of("kafka_broker_up", "Whether there is a connection to the broker", up));
            if let Some(micros) = broker.round_trip_micros {
                let help = "Mean time in which the broker answered lately, with its wait for records";
                measures.push(of("kafka_broker_rtt_seconds", help, micros as f64 / 1e6));
            }
        }
        let total = |name, help, value| Measure { name, help, grows: true, labels: Vec::new(), value };
        let Received { messages, bytes } = seen.received;
        measures.push(total("kafka_received_messages", "Messages that brokers have sent", messages as f64));
        measures.push(total("kafka_received_bytes", "Bytes of messages that brokers have sent", bytes as f64));
        measures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(figures: &Figures) -> Vec<(String, f64)> {
        let name = |measure: &Measure| {
            let labels = measure.labels.iter().map(|(name, value)| format!(" {name}={value}"));
            format!("{}{}", measure.name, labels.collect::<String>())
        };
        figures.measures().iter().map(|measure| (name(measure), measure.value)).collect()
    }

    #[test]
    fn lag_is_what_can_be_read_and_is_not() {
        let text = r#"{
            "rxmsgs": 12, "rxmsg_bytes": 340,
            "brokers": {
                "a:1/bootstrap": {"nodeid": -1, "state": "UP", "rxidle": 0, "source": "configured"},
                "a:1/1": {"nodeid": 1, "state": "UP", "rxidle": 0, "source": "learned", "rtt": {"avg": 1500, "cnt": 3}},
                "a:2/2": {"nodeid": 2, "state": "DOWN", "rxidle": 0, "source": "learned", "rtt": {"avg": 0, "cnt": 0}},
                "GroupCoordinator": {"nodeid": 2, "state": "UP", "rxidle": 0, "source": "logical"}
            },
            "topics": {"orders": {"partitions": {
                "0": {"partition": 0, "broker": 1, "fetch_state": "active", "ls_offset": 10},
                "1": {"partition": 1, "broker": 1, "fetch_state": "active", "ls_offset": 10},
                "2": {"partition": 2, "broker": 1, "fetch_state": "active", "ls_offset": -1001},
                "-1": {"partition": -1, "broker": -1, "fetch_state": "none"}
            }}}
        }"#;
        let figures = Figures::new(3);
        figures.take(&serde_json::from_str(text).expect("statistics"), "orders");
        figures.read_to(0, 7);
        figures.read_to(2, 5);
        let expected = [
            ("kafka_lag_records partition=0", 3.0),
            ("kafka_broker_up broker=1", 1.0),
            ("kafka_broker_rtt_seconds broker=1", 0.0015),
            ("kafka_broker_up broker=2", 0.0),
            ("kafka_received_messages", 12.0),
            ("kafka_received_bytes", 340.0),
        ];
        assert_eq!(shown(&figures), expected.map(|(name, value)| (name.to_owned(), value)));
        // The end is as it was half a second ago.
        figures.read_to(0, 12);
        assert_eq!(shown(&figures)[0].1, 0.0);
    }
}
