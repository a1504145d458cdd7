//! How far a run is: what the live view, progress lines and the closing summary show.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use headwater_operators::Timestamp;

/// Counters that workers raise as they go, and the picture that each commit leaves.
#[derive(Debug, Default)]
pub struct Progress {
    records_in: AtomicU64,
    /// Records that earlier runs had read.
    before: OnceLock<u64>,
    committed: Mutex<Committed>,
}

/// The picture after a commit.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Its epoch.
    pub epoch: u64,
    /// Records read, over all runs of the job.
    pub records_in: u64,
    /// Records written to sinks, by topic, over all runs.
    pub records_out: Vec<(String, u64)>,
    /// Bad records, over all runs.
    pub bad: u64,
    /// Late records, over all runs.
    pub late: u64,
    /// Event time of the slowest watermark of the job, if one is known.
    pub watermark: Option<Timestamp>,
    /// Which source partition holds that watermark back.
    pub held_back_by: Option<String>,
    /// Windows that are open, over all operators.
    pub open_windows: u64,
    /// Bytes of state in memory.
    pub state_bytes: u64,
    /// How long the last commit took.
    pub commit_time: Duration,
    /// The last few records written, newest last: topic and text.
    pub recent: Vec<(String, String)>,
    /// The job has read all its inputs to the end.
    pub ended: bool,
}

impl Progress {
    /// Goes back to a commit, by whose time all runs had read `records_in`: what was read since will be read again.
    pub(crate) fn go_back(&self, records_in: u64) {
        let before = *self.before.get_or_init(|| records_in);
        self.records_in.store(records_in.saturating_sub(before), Ordering::Relaxed);
    }

    /// Raises the count of records read in this run.
    pub fn add_records_in(&self, count: u64) {
        self.records_in.fetch_add(count, Ordering::Relaxed);
    }

    /// Records read in this run, committed or not.
    pub fn records_in(&self) -> u64 {
        self.records_in.load(Ordering::Relaxed)
    }

    /// Replaces the picture.
    pub fn commit(&self, committed: Committed) {
        *self.lock() = committed;
    }

    /// The picture after the last commit.
    pub fn committed(&self) -> Committed {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Committed> {
        // A panic elsewhere leaves the picture whole: it is replaced in one assignment.
        self.committed.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
