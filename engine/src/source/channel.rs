//! An input that a test feeds while the job runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Partition, Poll, Polled, Source, counted};
use crate::{Error, Result};

/// A live input in memory, and the end that feeds it.
///
/// It keeps all that was sent, so that a job can go back to any position: it is for tests.
///
/// ```
/// use headwater::source::{Poll, Polled, Source, channel};
/// let (feed, source) = channel();
/// let mut partition = source.open("0", None)?;
/// let mut polled = Polled::default();
/// assert_eq!(partition.poll(&mut polled, 10)?, Poll::Quiet);
/// feed.send([1, 2]);
/// feed.close();
/// assert_eq!(partition.poll(&mut polled, 10)?, Poll::Records);
/// assert_eq!(partition.poll(&mut polled, 10)?, Poll::End);
/// assert_eq!(polled.records, [1, 2]);
/// # Ok::<(), headwater::Error>(())
/// ```
pub fn channel<T>() -> (Feed<T>, ChannelSource<T>) {
    let sent = Arc::new(Mutex::new(Sent { records: Vec::new(), closed: false }));
    (Feed { sent: Arc::clone(&sent) }, ChannelSource { sent })
}

/// The end of a [`channel`] that records are put into.
#[derive(Clone, Debug)]
pub struct Feed<T> {
    sent: Arc<Mutex<Sent<T>>>,
}

impl<T> Feed<T> {
    /// Adds records.
    ///
    /// # Panics
    /// Where the feed was closed.
    pub fn send(&self, records: impl IntoIterator<Item = T>) {
        let mut sent = lock(&self.sent);
        assert!(!sent.closed, "nothing is sent after the feed was closed");
        sent.records.extend(records);
    }

    /// Ends the input after what was sent.
    pub fn close(&self) {
        lock(&self.sent).closed = true;
    }
}

/// The end of a [`channel`] that a job reads. A clone reads the same records.
#[derive(Clone, Debug)]
pub struct ChannelSource<T> {
    sent: Arc<Mutex<Sent<T>>>,
}

#[derive(Debug)]
struct Sent<T> {
    records: Vec<T>,
    closed: bool,
}

fn lock<T>(sent: &Mutex<Sent<T>>) -> MutexGuard<'_, Sent<T>> {
    // Each change is whole by itself, so a panic elsewhere leaves nothing half done.
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Clone + Send + 'static> Source<T> for ChannelSource<T> {
    fn describe(&self) -> String {
        "channel".to_owned()
    }

    fn partitions(&self) -> Result<Vec<String>> {
        Ok(vec!["0".to_owned()])
    }

    fn open(&self, _partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<T>>> {
        let next = counted(position)?;
        let had = lock(&self.sent).records.len();
        if next > had {
            return Err(Error::config(format!(
                "channel was sent {had} records, and {next} were read: send them again first, or start over with --fresh"
            )));
        }
        Ok(Box::new(Received { sent: Arc::clone(&self.sent), next }))
    }
}

struct Received<T> {
    sent: Arc<Mutex<Sent<T>>>,
    next: usize,
}

impl<T: Clone> Partition<T> for Received<T> {
    fn poll(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<Poll> {
        let sent = lock(&self.sent);
        let rows = &sent.records[self.next..];
        if rows.is_empty() {
            return Ok(if sent.closed { Poll::End } else { Poll::Quiet });
        }
        let rows = &rows[..rows.len().min(rows_max)];
        polled.records.extend_from_slice(rows);
        polled.bytes += size_of_val(rows);
        self.next += rows.len();
        Ok(Poll::Records)
    }

    fn position(&self) -> String {
        self.next.to_string()
    }
}
