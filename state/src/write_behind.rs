//! Committed blocks on their way from the log into the tables, and the way back after a crash.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::{BlockLog, Bulk, Commit, Epoch, Error, Kind, ReplayLog, Result, Store};

/// Bytes of blocks that [`recover`] merges at once.
const RECOVER_SLICE_BYTES: usize = 64 * 1024 * 1024;

/// How far the tables may lag behind the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteBehindOptions {
    /// Bytes of committed blocks at which they are written to the tables. Twice as many make a commit wait.
    pub lag_bytes: usize,
}

impl Default for WriteBehindOptions {
    fn default() -> Self {
        Self { lag_bytes: 64 * 1024 * 1024 }
    }
}

/// Appends commits to a log and writes them to the tables later, many at once, on a thread of its own.
///
/// It reads no clock: whoever owns one calls [`flush_through`](Self::flush_through) when an epoch has waited long
/// enough. Dropping it ends the thread after the bulk at hand; what is not in the tables yet stays in the log.
#[derive(Debug)]
pub struct WriteBehind {
    shared: Arc<Shared>,
    /// Held over append and retention, so that both see the same order.
    appending: Mutex<()>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Arc<dyn Store>,
    log: Arc<dyn BlockLog>,
    lag_bytes: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Commits that the tables have not reached, oldest first, without their markers.
    retained: VecDeque<Commit>,
    retained_bytes: usize,
    /// What is retained is written down through this epoch without waiting for more.
    flush_through: Epoch,
    closing: bool,
    stopped: Option<Stopped>,
}

/// Why the thread has ended: the error itself until somebody has taken it, then what it said.
struct Stopped {
    error: Option<Error>,
    kind: Kind,
    message: String,
}

impl WriteBehind {
    /// Starts the thread over a store and a log that [`recover`] has brought level.
    ///
    /// # Errors
    /// `Bug` where they are not level, `Unavailable` where no thread can be started.
    pub fn start(store: Arc<dyn Store>, log: Arc<dyn BlockLog>, options: WriteBehindOptions) -> Result<Self> {
        let last = log.last()?.map_or(Epoch(0), |(epoch, _)| epoch);
        if store.durable() != last {
            return Err(Error::bug(format!(
                "tables are at commit {} and the log at {last}: recover first",
                store.durable()
            )));
        }
        let shared = Arc::new(Shared {
            store,
            log,
            lag_bytes: options.lag_bytes,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let on_thread = shared.clone();
        let thread = std::thread::Builder::new()
            .name("write-behind".into())
            .spawn(move || on_thread.run())
            .map_err(|error| Error::unavailable("start the write-behind thread").caused_by(error))?;
        Ok(Self { shared, appending: Mutex::new(()), thread: Some(thread) })
    }

    /// Makes `commit` durable in the log, and keeps its blocks until the tables have them. Waits first while twice
    /// `lag_bytes` are kept.
    ///
    /// # Errors
    /// As [`BlockLog::append`]; or what stopped the thread.
    pub fn commit(&self, mut commit: Commit) -> Result<()> {
        let _appending = self.appending.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = bytes_of(&commit);
        let mut queue = self.shared.queue();
        while queue.stopped.is_none() && queue.retained_bytes >= self.shared.lag_bytes.saturating_mul(2) {
            queue = self.shared.wait(queue);
        }
        queue.check()?;
        drop(queue);
        self.shared.log.append(&commit)?;
        commit.marker = Vec::new();
        let mut queue = self.shared.queue();
        queue.retained.push_back(commit);
        queue.retained_bytes += bytes;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Has everything through `epoch` written to the tables soon.
    pub fn flush_through(&self, epoch: Epoch) {
        let mut queue = self.shared.queue();
        queue.flush_through = queue.flush_through.max(epoch);
        self.shared.changed.notify_all();
    }

    /// Has everything committed so far written to the tables soon.
    pub fn request_flush(&self) {
        let newest = self.shared.queue().newest();
        self.flush_through(newest);
    }

    /// Has everything committed so far written to the tables, and waits for it.
    ///
    /// # Errors
    /// What stopped the thread.
    pub fn flush_and_wait(&self) -> Result<()> {
        let newest = self.shared.queue().newest();
        self.flush_through(newest);
        let mut queue = self.shared.queue();
        while queue.stopped.is_none() && queue.oldest().is_some_and(|oldest| oldest <= newest) {
            queue = self.shared.wait(queue);
        }
        queue.check()
    }

    /// The epoch that the tables are known to have reached.
    pub fn durable(&self) -> Epoch {
        self.shared.store.durable()
    }

    /// Bytes of blocks that the tables do not have yet.
    pub fn retained_bytes(&self) -> usize {
        self.shared.queue().retained_bytes
    }

    /// The oldest epoch that the tables do not have yet.
    pub fn oldest_retained(&self) -> Option<Epoch> {
        self.shared.queue().oldest()
    }

    /// Ends the thread after the bulk at hand.
    ///
    /// # Errors
    /// What stopped the thread before.
    pub fn close(mut self) -> Result<()> {
        self.join();
        self.shared.queue().check()
    }

    fn join(&mut self) {
        self.shared.queue().closing = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic on the thread is in the queue already, as what stopped it.
            drop(thread.join());
        }
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        self.join();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("retained_bytes", &self.queue().retained_bytes).finish_non_exhaustive()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut ended = Ended { shared: self, error: Some(Error::bug("the write-behind thread panicked")) };
        ended.error = self.write().err();
    }

    /// Writes bulks until it is told to close.
    fn write(&self) -> Result<()> {
        while let Some(commits) = self.next_slice() {
            let bulk = Bulk::merge(&commits)?;
            self.store.apply(&bulk)?;
            self.log.trim(bulk.epoch)?;
            let mut queue = self.queue();
            queue.forget(commits.len());
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits until commits are due, and gives the oldest, about `lag_bytes` of them. `None` once it is closing.
    fn next_slice(&self) -> Option<Vec<Commit>> {
        let mut queue = self.queue();
        while !queue.closing && !queue.is_due(self.lag_bytes) {
            queue = self.wait(queue);
        }
        if queue.closing {
            return None;
        }
        let mut bytes = 0;
        let slice = queue.retained.iter().take_while(|commit| {
            let first = bytes == 0;
            bytes += bytes_of(commit).max(1);
            first || bytes <= self.lag_bytes
        });
        Some(slice.cloned().collect())
    }
}

/// Tells waiting callers that the thread has ended, also when it panics.
struct Ended<'a> {
    shared: &'a Shared,
    error: Option<Error>,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let Some(error) = self.error.take() else { return };
        let (kind, message) = (error.kind(), error.to_string());
        self.shared.queue().stopped = Some(Stopped { error: Some(error), kind, message });
        self.shared.changed.notify_all();
    }
}

impl Queue {
    fn oldest(&self) -> Option<Epoch> {
        self.retained.front().map(|commit| commit.epoch)
    }

    fn newest(&self) -> Epoch {
        self.retained.back().map_or(Epoch(0), |commit| commit.epoch)
    }

    fn is_due(&self, lag_bytes: usize) -> bool {
        let oldest = self.oldest();
        oldest.is_some_and(|oldest| self.retained_bytes >= lag_bytes || oldest <= self.flush_through)
    }

    fn forget(&mut self, commits: usize) {
        self.retained_bytes -= self.retained.drain(..commits).map(|commit| bytes_of(&commit)).sum::<usize>();
    }

    /// The error that stopped the thread, the first time as it was.
    fn check(&mut self) -> Result<()> {
        let Some(stopped) = &mut self.stopped else { return Ok(()) };
        Err(match stopped.error.take() {
            Some(error) => error.within("write tables"),
            None => Error::new(stopped.kind, format!("write tables: stopped earlier: {}", stopped.message)),
        })
    }
}

fn bytes_of(commit: &Commit) -> usize {
    commit.blocks.iter().map(|block| block.bytes.len()).sum()
}

/// Brings the tables of `store` level with `log`, then trims it. Gives the last commit's epoch and marker, or `None`
/// where nothing was ever committed.
///
/// It is the one way to recover; tables in memory start empty above it.
///
/// # Errors
/// `Corrupt` where the log ends before the tables or lacks a commit; what the log and the store report.
pub fn recover(store: &dyn Store, log: &dyn ReplayLog) -> Result<Option<(Epoch, Vec<u8>)>> {
    recover_in_slices(store, log, RECOVER_SLICE_BYTES)
}

/// Does what [`recover`] does, about `slice_bytes` of blocks at once.
///
/// # Errors
/// As [`recover`].
pub fn recover_in_slices(
    store: &dyn Store,
    log: &dyn ReplayLog,
    slice_bytes: usize,
) -> Result<Option<(Epoch, Vec<u8>)>> {
    let last = log.last()?;
    let end = last.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch);
    let start = store.durable();
    if start > end {
        return Err(Error::corrupt(format!(
            "tables are at commit {start} but the log ends at commit {end}: commits are lost; \
             restore the state directory from a copy, or start afresh without it"
        )));
    }
    let mut slice: Vec<Commit> = Vec::new();
    let (mut reached, mut bytes) = (start, 0);
    log.read(start, &mut |mut commit| {
        if commit.epoch != reached.next() {
            return Err(missing(reached.next()));
        }
        reached = commit.epoch;
        bytes += bytes_of(&commit);
        commit.marker = Vec::new();
        slice.push(commit);
        if bytes >= slice_bytes {
            store.apply(&Bulk::merge(&slice)?)?;
            (slice, bytes) = (Vec::new(), 0);
        }
        Ok(())
    })?;
    if reached != end {
        return Err(missing(reached.next()));
    }
    if !slice.is_empty() {
        store.apply(&Bulk::merge(&slice)?)?;
    }
    log.trim(end)?;
    Ok(last)
}

fn missing(epoch: Epoch) -> Error {
    Error::corrupt(format!(
        "log lacks commit {epoch}: restore the state directory from a copy, or start afresh without it"
    ))
}
