//! Records with what every operator may need of them.

use headwater_state::{Error, Result};

use crate::{Credit, Records, Timestamp};

/// Records with what every operator may need of them, one entry per row.
#[derive(Clone, Debug)]
pub struct Batch<R> {
    /// The records themselves.
    pub records: R,
    /// Event time per row. [`Timestamp::MIN`] before event time is assigned.
    pub times: Vec<Timestamp>,
    /// The key's hash per row; empty before the stream is keyed.
    pub hashes: Vec<u64>,
    /// The [`Origin::id`](crate::Origin::id) that all rows came from; meaningless after an exchange.
    pub origin: u32,
    /// Held until everything derived from the source's batch is finished.
    pub credit: Credit,
}

impl<R> Batch<R> {
    /// A batch that holds no credit and is not keyed.
    pub fn new(records: R, times: Vec<Timestamp>) -> Self {
        Self { records, times, hashes: Vec::new(), origin: 0, credit: Credit::default() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The same rows with other records.
    pub fn with_records<S>(self, records: S) -> Batch<S> {
        Batch { records, times: self.times, hashes: self.hashes, origin: self.origin, credit: self.credit }
    }
}

impl<R: Records> Batch<R> {
    /// The named rows, which are in ascending order and without duplicates.
    ///
    /// # Errors
    /// `Bug` where a row does not exist.
    pub fn take(self, rows: &[u32]) -> Result<Self> {
        if rows.len() == self.len() {
            return Ok(self);
        }
        Ok(Self {
            times: gather(&self.times, rows)?,
            hashes: if self.hashes.is_empty() { Vec::new() } else { gather(&self.hashes, rows)? },
            records: self.records.take(rows)?,
            origin: self.origin,
            credit: self.credit,
        })
    }

    /// Cuts: the rows from `at` on are returned, those before stay. Both hold the credit.
    ///
    /// # Errors
    /// `Bug` where there are fewer rows.
    pub fn split_off(&mut self, at: usize) -> Result<Self> {
        if at > self.len() {
            return Err(no_row(at as u32, self.len()));
        }
        Ok(Self {
            records: self.records.split_off(at)?,
            times: self.times.split_off(at),
            hashes: if self.hashes.is_empty() { Vec::new() } else { self.hashes.split_off(at) },
            origin: self.origin,
            credit: self.credit.clone(),
        })
    }

    /// Divides the rows: row `i` goes to part `part_of[i]`, keeping its order there. Each part holds the credit.
    ///
    /// # Errors
    /// `Bug` where `part_of` is not one entry per row, each less than `parts`.
    pub fn divide(self, part_of: &[u16], parts: usize) -> Result<Vec<Self>> {
        let times = self.times.divide(part_of, parts)?;
        let hashes =
            if self.hashes.is_empty() { vec![Vec::new(); parts] } else { self.hashes.divide(part_of, parts)? };
        let records = self.records.divide(part_of, parts)?;
        let parts = records.into_iter().zip(times).zip(hashes);
        Ok(parts
            .map(|((records, times), hashes)| Self {
                records,
                times,
                hashes,
                origin: self.origin,
                credit: self.credit.clone(),
            })
            .collect())
    }
}

fn gather<T: Copy>(from: &[T], rows: &[u32]) -> Result<Vec<T>> {
    rows.iter().map(|&row| from.get(row as usize).copied().ok_or_else(|| no_row(row, from.len()))).collect()
}

pub(crate) fn no_row(row: u32, rows: usize) -> Error {
    Error::bug(format!("row {row} was asked of a batch of {rows}"))
}
