//! Records that are there from the beginning.

use std::sync::Arc;

use super::{Partition, Poll, Polled, Source, counted};
use crate::{Error, Result};

/// Reads records that are held in memory, and then ends.
///
/// ```
/// use headwater::source::{Poll, Polled, Records, Source};
/// let numbers = Records::new(vec![1, 2, 3]);
/// let mut polled = Polled::default();
/// let mut partition = numbers.open("0", None)?;
/// assert_eq!(partition.poll(&mut polled, 2)?, Poll::Records);
/// assert_eq!(polled.records, [1, 2]);
///
/// let mut rest = Polled::default();
/// numbers.open("0", Some(&partition.position()))?.poll(&mut rest, 2)?;
/// assert_eq!(rest.records, [3]);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Records<T> {
    partitions: Arc<[Arc<[T]>]>,
}

impl<T> Records<T> {
    /// One partition with these records.
    pub fn new(records: Vec<T>) -> Self {
        Self::partitions(vec![records])
    }

    /// A partition for each list of records.
    pub fn partitions(partitions: Vec<Vec<T>>) -> Self {
        Self { partitions: partitions.into_iter().map(Arc::from).collect() }
    }
}

impl<T: Clone + Send + Sync + 'static> Source<T> for Records<T> {
    fn describe(&self) -> String {
        let records: usize = self.partitions.iter().map(|records| records.len()).sum();
        format!("{records} records in memory")
    }

    fn partitions(&self) -> Result<Vec<String>> {
        Ok((0..self.partitions.len()).map(|partition| partition.to_string()).collect())
    }

    fn open(&self, partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<T>>> {
        let records = partition.parse().ok().and_then(|index: usize| self.partitions.get(index));
        let records = records.ok_or_else(|| Error::bug(format!("no partition {partition} of records in memory")))?;
        let next = counted(position)?;
        if next > records.len() {
            let had = records.len();
            return Err(Error::config(format!(
                "input in memory has {had} records, and {next} were read: give all of them, or start over with --fresh"
            )));
        }
        Ok(Box::new(Given { records: Arc::clone(records), next }))
    }
}

struct Given<T> {
    records: Arc<[T]>,
    next: usize,
}

impl<T: Clone> Partition<T> for Given<T> {
    fn poll(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<Poll> {
        let rows = &self.records[self.next..];
        if rows.is_empty() {
            return Ok(Poll::End);
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
