//! What an outbox shows to those who watch the job.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use headwater_operators::{OutboxCounts, Timestamp};

use crate::clock;
use crate::source::Measure;

/// The figures of the last commit.
#[derive(Default)]
pub(super) struct Figures {
    pending: AtomicU64,
    lanes_down: AtomicU64,
    /// Since when the oldest item waits, in microseconds; 0 where none does.
    oldest: AtomicI64,
    delivered: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    suppressed: AtomicU64,
}

impl Figures {
    /// Takes what an outbox is like now.
    pub fn set(&self, pending: usize, lanes_down: usize, oldest: Option<Timestamp>, counts: OutboxCounts) {
        self.pending.store(pending as u64, Relaxed);
        self.lanes_down.store(lanes_down as u64, Relaxed);
        self.oldest.store(oldest.map_or(0, Timestamp::as_micros), Relaxed);
        self.delivered.store(counts.delivered, Relaxed);
        self.retried.store(counts.retried, Relaxed);
        self.dead.store(counts.dead, Relaxed);
        self.suppressed.store(counts.suppressed, Relaxed);
    }

    pub fn measures(&self) -> Vec<Measure> {
        let measure = |name, help, grows, value| Measure { name, help, grows, labels: Vec::new(), value };
        let count = |counter: &AtomicU64| counter.load(Relaxed) as f64;
        let age = match self.oldest.load(Relaxed) {
            0 => 0.0,
            oldest => clock::wall().as_micros().saturating_sub(oldest).max(0) as f64 / 1e6,
        };
        vec![
            measure("outbox_pending_items", "Items that wait to be delivered", false, count(&self.pending)),
            measure("outbox_oldest_seconds", "How long the oldest item has waited", false, age),
            measure("outbox_lanes_down", "Lanes on which nobody answers", false, count(&self.lanes_down)),
            measure("outbox_delivered_items", "Items that were delivered", true, count(&self.delivered)),
            measure(
                "outbox_retried_attempts",
                "Attempts that failed and were followed by others",
                true,
                count(&self.retried),
            ),
            measure("outbox_dead_items", "Items that went to the dead letters", true, count(&self.dead)),
            measure(
                "outbox_suppressed_items",
                "Items left out in a run that delivers nothing",
                true,
                count(&self.suppressed),
            ),
        ]
    }
}
