//! What operators count for the people who watch them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows: rows filtered, rows that came late. Clones count together, over all workers.
///
/// It is not part of the state: rows of an aborted epoch stay counted.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// A counter at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts `rows` more.
    pub fn add(&self, rows: u64) {
        if rows > 0 {
            self.0.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
