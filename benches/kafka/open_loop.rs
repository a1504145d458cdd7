//! Transactions by a schedule, whether or not the job keeps up, and when their alerts are read. In a process of its own.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::common::bars::millis_at;
use crate::common::{Alert, line, transaction, user_name};

/// What this is called on the command line; after it come the topics of transactions and of alerts, and the rate.
pub const NAME: &str = "open-loop";

pub const USERS: u64 = 500_000;
const SECONDS: u64 = 25;
/// Latencies count from here on: the job has long begun.
pub const WARM_UP: Duration = Duration::from_secs(5);
/// Each record has a place in this pace.
const TICK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes, reads and prints the percentiles 50, 99 and 99.9 in milliseconds, how many alerts they are of, and the
/// most that a record was written after its time.
pub fn run(cluster: &Cluster, arguments: &[&str]) -> ExitCode {
    let [transactions, alerts, rate] = arguments else { return ExitCode::FAILURE };
    let rate: u64 = rate.parse().unwrap();
    let began = Instant::now() + Duration::from_secs(1);
    // Record n is due at n / rate.
    let due = |n: u64| began + Duration::from_nanos(n * 1_000_000_000 / rate);
    let reader = reader(cluster, alerts);
    let records = SECONDS * rate;
    let expected = eleventh(records);
    let (mut latencies, late) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(cluster, transactions, records, due));
        let mut missing = expected.clone();
        let mut latencies = Vec::new();
        while !missing.is_empty() {
            assert!(Instant::now() < due(records) + PATIENCE, "the run is void: {} alerts do not come", missing.len());
            let Some(message) = reader.poll(Duration::from_millis(100)) else { continue };
            let now = Instant::now();
            let message = message.unwrap();
            let alert: Alert = serde_json::from_slice(message.payload().unwrap()).unwrap();
            let n = missing.remove(alert.user.as_str()).expect("the run is void: an alert too many");
            if due(n) > began + WARM_UP {
                latencies.push(now - due(n));
            }
        }
        (latencies, writer.join().unwrap())
    });
    latencies.sort_unstable();
    let at = |share| millis_at(&latencies, share);
    println!("{} {} {} {} {}", at(0.5), at(0.99), at(0.999), latencies.len(), late.as_secs_f64() * 1e3);
    ExitCode::SUCCESS
}

/// Which record is the eleventh of its user, of those that have so many.
fn eleventh(records: u64) -> HashMap<String, u64> {
    let mut counts = vec![0u8; USERS as usize];
    let mut found = HashMap::new();
    for n in 0..records {
        let user = crate::common::user_number(n, USERS);
        let count = &mut counts[user as usize];
        *count = count.saturating_add(1);
        if *count == 11 {
            found.insert(user_name(user).to_string(), n);
        }
    }
    found
}

/// Writes every record when it is due, or as soon as it can. The most that one was behind.
fn write(cluster: &Cluster, topic: &str, records: u64, due: impl Fn(u64) -> Instant) -> Duration {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.brokers()).set("linger.ms", "5").set("batch.size", "500000");
    config.set("queue.buffering.max.messages", "2000000");
    let producer: BaseProducer = config.create().unwrap();
    let mut behind = Duration::ZERO;
    for n in 0..records {
        let wait = due(n).saturating_duration_since(Instant::now());
        if wait > TICK {
            producer.poll(Duration::ZERO);
            std::thread::sleep(wait);
        }
        behind = behind.max(Instant::now().saturating_duration_since(due(n)));
        let line = line(&transaction(n, USERS), n);
        let mut record = BaseRecord::<(), _>::to(topic).payload(&line);
        while let Err((error, again)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(TICK);
            record = again;
        }
    }
    producer.flush(PATIENCE).unwrap();
    behind
}

/// Reads what is committed.
fn reader(cluster: &Cluster, topic: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.brokers()).set("group.id", "bench-reader");
    config.set("isolation.level", "read_committed").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "10");
    let reader: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    reader.assign(&list).unwrap();
    reader
}
