//! Records kept in memory for whoever holds the handle.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Chunk, Sink, SinkCommitter, SinkWriter};
use crate::{Error, Result};

/// A sink in memory, and the handle to read from it what was committed. Clones are handles to the same.
///
/// ```
/// use headwater::sink::{Captured, Chunk, Sink};
/// let numbers = Captured::<u64>::new();
/// let mut committer = numbers.open(None)?;
/// let mut chunk = Chunk::default();
/// numbers.writer().write(vec![1, 2], &mut chunk)?;
/// committer.append(chunk)?;
/// committer.prepare()?;
/// assert!(numbers.records().is_empty());
/// committer.committed()?;
/// assert_eq!(numbers.records(), [1, 2]);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug)]
pub struct Captured<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    kept: Mutex<Kept<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Kept<T> {
    /// Committed, and not yet taken.
    records: Vec<T>,
    /// How many were committed over all runs of the job.
    committed: u64,
    /// Of the running epoch.
    pending: Vec<T>,
}

impl<T> Clone for Captured<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Default for Captured<T> {
    fn default() -> Self {
        let kept = Kept { records: Vec::new(), committed: 0, pending: Vec::new() };
        Self { shared: Arc::new(Shared { kept: Mutex::new(kept), changed: Condvar::new() }) }
    }
}

impl<T> Captured<T> {
    /// With nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records that were committed and not taken.
    pub fn records(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.shared.lock().records.clone()
    }

    /// Takes the records that were committed.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.shared.lock().records)
    }

    /// How many records were committed and not taken.
    pub fn len(&self) -> usize {
        self.shared.lock().records.len()
    }

    /// Whether there is no such record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there are at least `count` of them, but not longer than `at_most`. Whether there are.
    #[must_use]
    pub fn wait_for(&self, count: usize, at_most: Duration) -> bool {
        let kept = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(kept, at_most, |kept| kept.records.len() < count);
        waited.unwrap_or_else(PoisonError::into_inner).0.records.len() >= count
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        // Each change is whole by itself, so a panic elsewhere leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what is pending visible.
    fn publish(&self) {
        let kept = &mut *self.lock();
        kept.committed += kept.pending.len() as u64;
        kept.records.append(&mut kept.pending);
        self.changed.notify_all();
    }
}

impl<T: Send + 'static> Sink<T> for Captured<T> {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn writer(&self) -> Box<dyn SinkWriter<T>> {
        Box::new(TypedWriter)
    }

    fn open(&self, committed: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        let count = match committed {
            None => 0,
            Some(text) => text.parse().map_err(|_| super::another("records in memory", text))?,
        };
        let kept = self.shared.lock();
        let prepared = kept.committed + kept.pending.len() as u64;
        drop(kept);
        // The epoch committed, and the job stopped before it said so.
        if committed.is_some() && count == prepared {
            self.shared.publish();
        }
        let mut kept = self.shared.lock();
        kept.pending.clear();
        kept.committed = count;
        drop(kept);
        Ok(Box::new(Publisher { shared: Arc::clone(&self.shared) }))
    }
}

/// Passes records on as they are.
pub(crate) struct TypedWriter;

impl<T: Send + 'static> SinkWriter<T> for TypedWriter {
    fn write(&mut self, mut records: Vec<T>, chunk: &mut Chunk) -> Result<()> {
        chunk.records += records.len();
        match &mut chunk.typed {
            None => chunk.typed = Some(Box::new(records)),
            Some(any) => any.downcast_mut::<Vec<T>>().ok_or_else(other_records::<T>)?.append(&mut records),
        }
        Ok(())
    }
}

struct Publisher<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send + 'static> SinkCommitter for Publisher<T> {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        if let Some(any) = chunk.typed {
            let mut records = any.downcast::<Vec<T>>().map_err(|_| other_records::<T>())?;
            self.shared.lock().pending.append(&mut records);
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<String> {
        let kept = self.shared.lock();
        Ok((kept.committed + kept.pending.len() as u64).to_string())
    }

    fn committed(&mut self) -> Result<()> {
        self.shared.publish();
        Ok(())
    }
}

/// The error for a chunk that another sink has made.
pub(crate) fn other_records<T>() -> Error {
    Error::bug(format!("chunk of records that are not {}", std::any::type_name::<T>()))
}
