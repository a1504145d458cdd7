//! What crosses an edge: batches of records, and control in band with them.

use std::any::Any;
use std::sync::Arc;

use headwater_state::Epoch;

use crate::Timestamp;

/// What crosses an edge. Control is made by sources and `Merge`, forwarded by [`Chain`](crate::Chain), and seen by an
/// operator only as a call.
#[derive(Clone, Debug)]
pub enum Message<R> {
    /// Records.
    Batch(Batch<R>),
    /// No record before this time is expected any more; those that still come are late.
    Watermark(Timestamp),
    /// Nothing comes for now, and nothing is waiting: this input holds no watermark back.
    Idle,
    /// A source partition came to life, fell idle or ended. Ends at the operator that makes watermarks.
    Origin(Origin, Activity),
    /// The wall clock, committed with the epoch. Operators know no other.
    Tick(Timestamp),
    /// The epoch ends here.
    Barrier(Epoch),
    /// Nothing comes any more, ever.
    End,
}

/// A source partition, by a number that is its own within the run and a name that is its own for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What [`Batch::origin`] says.
    pub id: u32,
    /// Such as `transactions/0`.
    pub name: Arc<str>,
}

/// Whether a source partition has records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It has, or may have at any moment.
    Active,
    /// Everything in it was read and it has been quiet for a while.
    Idle,
    /// It never will again.
    Ended,
}

/// Records with what every operator may need of them, one entry per row.
#[derive(Clone, Debug)]
pub struct Batch<R> {
    /// The records themselves.
    pub records: R,
    /// Event time per row. [`Timestamp::MIN`] before event time is assigned.
    pub times: Vec<Timestamp>,
    /// The key's hash per row; empty before the stream is keyed.
    pub hashes: Vec<u64>,
    /// The [`Origin::id`] that all rows came from; meaningless after an exchange.
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

/// A share of what the engine has admitted, given back when the last clone is dropped.
#[derive(Clone, Default)]
pub struct Credit(Option<Arc<dyn Any + Send + Sync>>);

impl Credit {
    /// Holds `guard` until the last clone of this is dropped.
    pub fn holding(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(guard)))
    }
}

impl std::fmt::Debug for Credit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Credit(held)" } else { "Credit(none)" })
    }
}
