//! What crosses an edge: batches of records, and control in band with them.

use std::any::Any;
use std::sync::Arc;

use headwater_state::Epoch;

use crate::{Batch, Timestamp};

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

impl<R> Message<R> {
    /// The same message to a receiver of other records; `None` for a batch, which goes to one receiver only.
    pub fn control<S>(&self) -> Option<Message<S>> {
        Some(match self {
            Self::Batch(_) => return None,
            Self::Watermark(watermark) => Message::Watermark(*watermark),
            Self::Idle => Message::Idle,
            Self::Origin(origin, activity) => Message::Origin(origin.clone(), *activity),
            Self::Tick(now) => Message::Tick(*now),
            Self::Barrier(epoch) => Message::Barrier(*epoch),
            Self::End => Message::End,
        })
    }
}

/// A source partition, by a number that is its own within the run and a name that is its own for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What [`Batch::origin`] says.
    pub id: u32,
    /// Such as `transactions/0`.
    pub name: Arc<str>,
}

impl Origin {
    /// The id of what comes from no source partition, and so moves no watermark: what is put back by hand.
    pub const NOWHERE: u32 = u32::MAX;
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
