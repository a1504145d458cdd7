//! What is committed while it is committed: whether the job goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::chain::{Cause, Link};
use super::job::LINKS;

/// A reader of the links that are committed.
pub struct Monitor {
    seen: Arc<Seen>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// One more than the greatest number of a record that has a link.
    newest: AtomicU64,
    records: AtomicU64,
    timers: AtomicU64,
}

impl Monitor {
    pub fn start(mut config: ClientConfig) -> Self {
        config.set("isolation.level", "read_committed").set("group.id", "monitor").set("enable.auto.commit", "false");
        config.set("reconnect.backoff.max.ms", "200").set("socket.timeout.ms", "5000");
        let consumer: BaseConsumer = config.set("auto.offset.reset", "earliest").create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..LINKS.1 {
            all.add_partition_offset(LINKS.0, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        let (seen, ended) = (Arc::<Seen>::default(), Arc::new(AtomicBool::new(false)));
        let (sees, is_over) = (Arc::clone(&seen), Arc::clone(&ended));
        let thread = thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                // A broker that is away is an error that passes.
                if let Some(Ok(record)) = consumer.poll(Duration::from_millis(100)) {
                    sees.note(record.payload().unwrap_or_default());
                }
            }
        });
        Self { seen, ended, thread: Some(thread) }
    }

    /// One more than the greatest number of a record that has a link.
    pub fn newest(&self) -> u64 {
        self.seen.newest.load(Ordering::Relaxed)
    }

    /// How many links of records there are.
    pub fn records(&self) -> u64 {
        self.seen.records.load(Ordering::Relaxed)
    }

    pub fn timers(&self) -> u64 {
        self.seen.timers.load(Ordering::Relaxed)
    }
}

impl Seen {
    fn note(&self, payload: &[u8]) {
        // What cannot be read is the checker's to tell.
        match serde_json::from_slice::<Link>(payload).map(|link| link.cause) {
            Ok(Cause::Input(_, id)) => {
                self.newest.fetch_max(id + 1, Ordering::Relaxed);
                self.records.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Cause::Timer(_)) => {
                self.timers.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
