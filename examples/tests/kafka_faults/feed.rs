//! What the job is given, without an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use headwater::prelude::Random;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::chain::Given;
use super::job::INPUTS;

pub const KEYS: u64 = 150;

/// Records from a seed, at about 300 a second with pauses in which keys fall silent.
pub struct Feed {
    fed: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Feed {
    /// Goes on from a number, by a producer that neither loses nor doubles.
    pub fn start(mut config: ClientConfig, seed: u64, from: u64) -> Self {
        config.set("enable.idempotence", "true").set("message.timeout.ms", "600000").set("linger.ms", "1");
        // A broker that is back gets records at once: how long the job takes is measured, not how long this does.
        config.set("reconnect.backoff.max.ms", "200");
        let producer: BaseProducer = config.create().unwrap();
        let (fed, ended) = (Arc::new(AtomicU64::new(from)), Arc::new(AtomicBool::new(false)));
        let (number, is_over) = (Arc::clone(&fed), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            let mut random = Random::new(seed, from);
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..random.below(13) {
                    send(&producer, &mut random, number.fetch_add(1, Ordering::Relaxed));
                }
                producer.poll(Duration::ZERO);
                let is_pause = random.below(400) == 0;
                thread::sleep(Duration::from_millis(if is_pause { 1_000 + random.below(2_000) } else { 20 }));
            }
            producer.flush(Duration::from_secs(60)).unwrap();
        });
        Self { fed, ended, thread }
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

fn send(producer: &BaseProducer, random: &mut Random, id: u64) {
    // Some keys come often, some are silent most of the time.
    let below = *random.pick(&[5, 30, KEYS]);
    let given = Given { key: format!("k{}", random.below(below)), id };
    let (topic, partitions) = *random.pick(&INPUTS);
    let payload = serde_json::to_string(&given).unwrap();
    let partition = random.below(partitions as u64) as i32;
    let record = BaseRecord::to(topic).partition(partition).key(&given.key).payload(&payload);
    producer.send(record).map_err(|(error, _)| error).unwrap();
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
