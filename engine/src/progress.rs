//! How far a run is: what the live view, progress lines, metrics and the closing summary show.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use headwater_operators::Timestamp;

use crate::clock;

mod phase;
mod work;

pub use phase::Phase;
use work::Ledger;
pub(crate) use work::Step;
pub use work::{Times, Work};

/// Counters that workers raise as they go, the picture that each commit leaves, and what the run is at.
#[derive(Debug, Default)]
pub struct Progress {
    records_in: AtomicU64,
    /// Records that earlier runs had read.
    before: OnceLock<u64>,
    committed: Mutex<Committed>,
    /// The picture that this process began with.
    first: OnceLock<Committed>,
    ledger: Mutex<Ledger>,
    phase: Mutex<Phase>,
    /// When the run loop last looked around.
    looked: Mutex<Option<Instant>>,
    /// Bytes that are committed and not yet in the tables.
    behind_bytes: AtomicU64,
    /// Records that were read back, and those that there were.
    restored: Mutex<(u64, u64)>,
    http: Mutex<Option<SocketAddr>>,
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
    /// Dead letters that were neither redriven nor dropped, as far as the job was told, over all runs.
    pub dead_letters: u64,
    /// Since when the oldest of them waits.
    pub dead_letters_since: Option<Timestamp>,
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
    /// Bytes of state that the epoch changed.
    pub changed_bytes: u64,
    /// Values of tables that the epoch changed.
    pub changed_rows: u64,
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
        lock(&self.ledger).reopen();
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
        self.first.get_or_init(|| committed.clone());
        *lock(&self.committed) = committed;
    }

    /// The picture after the last commit.
    pub fn committed(&self) -> Committed {
        lock(&self.committed).clone()
    }

    /// Counts a commit.
    pub(crate) fn count(&self, step: Step) {
        lock(&self.ledger).add(step);
    }

    /// What this process has done so far.
    pub fn work(&self) -> Work {
        let mut work = lock(&self.ledger).work.clone();
        let now = self.committed();
        let Some(first) = self.first.get() else { return work };
        work.bad = now.bad.saturating_sub(first.bad);
        work.late = now.late.saturating_sub(first.late);
        for (topic, written) in now.records_out {
            let before = first.records_out.iter().find(|(other, _)| *other == topic).map_or(0, |(_, before)| *before);
            work.records_out.insert(topic, written.saturating_sub(before));
        }
        work
    }

    /// What the run is at.
    pub fn phase(&self) -> Phase {
        lock(&self.phase).clone()
    }

    /// Says what the run is at.
    pub fn enter(&self, phase: Phase) {
        // A loop that has just begun has not been silent since the one before.
        self.look_around();
        *lock(&self.phase) = phase;
    }

    /// Says that state is being read back, and how far that is, in records.
    pub fn restoring(&self, done: u64, total: u64) {
        *lock(&self.restored) = (done, total);
        self.enter(Phase::Restoring { done, total });
    }

    /// How many records of state were read back, and how many there were, when that was done last.
    pub fn restored(&self) -> (u64, u64) {
        *lock(&self.restored)
    }

    /// The run goes back to the last commit, for this reason.
    pub(crate) fn restart(&self, reason: &crate::Error) {
        lock(&self.ledger).work.restarts += 1;
        self.enter(Phase::Waiting(reason.to_string()));
    }

    /// The run loop is alive.
    pub(crate) fn look_around(&self) {
        *lock(&self.looked) = Some(clock::now());
    }

    /// How long ago the run loop last looked around, while it runs. It does so many times a second.
    pub fn silence(&self) -> Option<Duration> {
        let looked = lock(&self.looked).filter(|_| *lock(&self.phase) == Phase::Running);
        looked.map(|looked| clock::now().saturating_duration_since(looked))
    }

    /// Sets how many bytes of commits the tables do not have yet.
    pub(crate) fn set_behind_bytes(&self, bytes: u64) {
        self.behind_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that are committed to the log, and not yet in the tables.
    pub fn behind_bytes(&self) -> u64 {
        self.behind_bytes.load(Ordering::Relaxed)
    }

    /// Where the run answers HTTP, once it does: of use where the port was 0.
    pub fn http_address(&self) -> Option<SocketAddr> {
        *lock(&self.http)
    }

    /// Says where the run answers HTTP.
    #[cfg(feature = "http")]
    pub(crate) fn set_http_address(&self, address: Option<SocketAddr>) {
        *lock(&self.http) = address;
    }
}

/// A panic elsewhere leaves what is locked whole: each change of it is one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
