//! What the job is given, without an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use headwater::prelude::Random;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::chain::Given;
use super::job::INPUTS;

pub const KEYS: u64 = 150;

/// Records from a seed, at about 300 a second, and at 25 for some seconds now and then, with pauses in which keys fall silent.
pub struct Feed {
    fed: Arc<AtomicU64>,
    /// Of each input.
    partitions: Arc<[AtomicI32; 2]>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Feed {
    /// Goes on from a number, by a producer that neither loses nor doubles.
    pub fn start(mut config: ClientConfig, seed: u64, from: u64) -> Self {
        config.set("enable.idempotence", "true").set("message.timeout.ms", "600000").set("linger.ms", "1");
        // A broker that is back gets records at once: how long the job takes is measured, not how long this does.
        config.set("reconnect.backoff.max.ms", "200").set("socket.timeout.ms", "5000");
        config.set("topic.metadata.refresh.interval.ms", "1000");
        let producer: BaseProducer = config.create().unwrap();
        let (fed, ended) = (Arc::new(AtomicU64::new(from)), Arc::new(AtomicBool::new(false)));
        let partitions = Arc::new(INPUTS.map(|(_, partitions)| AtomicI32::new(partitions)));
        let (number, is_over, spread) = (Arc::clone(&fed), Arc::clone(&ended), Arc::clone(&partitions));
        let thread = thread::spawn(move || {
            let mut random = Random::new(seed, from);
            let mut is_quiet = false;
            while !is_over.load(Ordering::Relaxed) {
                // Commits that change a few shards come between those that change most.
                is_quiet ^= random.below(if is_quiet { 150 } else { 400 }) == 0;
                for _ in 0..random.below(if is_quiet { 2 } else { 13 }) {
                    send(&producer, &mut random, number.fetch_add(1, Ordering::Relaxed), &spread);
                }
                // Each takes one report, and there is up to one for each record.
                for _ in 0..13 {
                    producer.poll(Duration::ZERO);
                }
                let is_pause = random.below(400) == 0;
                thread::sleep(Duration::from_millis(if is_pause { 1_000 + random.below(2_000) } else { 20 }));
            }
            producer.flush(Duration::from_secs(60)).unwrap();
        });
        Self { fed, partitions, ended, thread }
    }

    /// Goes on into one more partition of an input; how many it has now.
    pub fn spread(&self, input: usize) -> i32 {
        self.partitions[input].fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of the next record.
    pub fn next(&self) -> u64 {
        self.fed.load(Ordering::Relaxed)
    }

    /// Stops, and says how many there were.
    pub fn stop(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.fed.load(Ordering::Relaxed)
    }
}

fn send(producer: &BaseProducer, random: &mut Random, id: u64, partitions: &[AtomicI32; 2]) {
    // Some keys come often, some are silent most of the time.
    let below = *random.pick(&[5, 30, KEYS]);
    let given = Given { key: format!("k{}", random.below(below)), id };
    let input = random.below(INPUTS.len() as u64) as usize;
    let payload = serde_json::to_string(&given).unwrap();
    let partition = random.below(partitions[input].load(Ordering::Relaxed) as u64) as i32;
    let mut record = BaseRecord::to(INPUTS[input].0).partition(partition).key(&given.key).payload(&payload);
    while let Err((error, refused)) = producer.send(record) {
        record = match error {
            // It has not heard of the new one yet.
            KafkaError::MessageProduction(RDKafkaErrorCode::UnknownPartition) => refused.partition(0),
            KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(10));
                refused
            }
            error => panic!("{error}"),
        };
    }
}

/// One record for each key that there was.
pub fn feed_each(config: &ClientConfig, from: u64) -> u64 {
    let producer: BaseProducer = config.create().unwrap();
    for key in 0..KEYS {
        let given = Given { key: format!("k{key}"), id: from + key };
        let payload = serde_json::to_string(&given).unwrap();
        let record = BaseRecord::to(INPUTS[0].0).partition(0).key(&given.key).payload(&payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    from + KEYS
}
