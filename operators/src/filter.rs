//! Keeps the rows that a predicate holds for.

use std::marker::PhantomData;
use std::sync::Arc;

use headwater_state::Result;

use crate::{Batch, Counter, Message, Operator, Output, Predicate, Records};

/// Keeps the rows that a predicate holds for, with their times and the hashes of their keys; counts the others.
///
/// ```
/// use std::sync::Arc;
/// use headwater_operators::{Counter, Filter, harness::Harness};
///
/// let dropped = Counter::new();
/// let filter = Filter::new(Arc::new(|n: &u32| n % 2 == 0)).counted(dropped.clone());
/// let mut harness = Harness::of(move |_| Ok(filter.clone()))?;
/// harness.rows([1, 2, 3, 4])?;
/// assert_eq!(harness.take(), [2, 4]);
/// assert_eq!(dropped.get(), 2);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct Filter<R, P> {
    predicate: Arc<P>,
    dropped: Counter,
    rows: Vec<u32>,
    records: PhantomData<fn(R)>,
}

impl<R: Records, P: Predicate<R>> Filter<R, P> {
    /// A filter by `predicate`.
    pub fn new(predicate: Arc<P>) -> Self {
        Self { predicate, dropped: Counter::new(), rows: Vec::new(), records: PhantomData }
    }

    /// Counts the rows that are left out in `dropped`.
    #[must_use]
    pub fn counted(mut self, dropped: Counter) -> Self {
        self.dropped = dropped;
        self
    }
}

impl<R, P> Clone for Filter<R, P> {
    fn clone(&self) -> Self {
        Self {
            predicate: Arc::clone(&self.predicate),
            dropped: self.dropped.clone(),
            rows: Vec::new(),
            records: PhantomData,
        }
    }
}

impl<R: Records, P: Predicate<R>> Operator<R, R> for Filter<R, P> {
    fn process(&mut self, batch: Batch<R>, out: &mut dyn Output<R>) -> Result<()> {
        self.rows.clear();
        self.predicate.select(&batch.records, &mut self.rows)?;
        self.dropped.add((batch.len() - self.rows.len()) as u64);
        if self.rows.is_empty() { Ok(()) } else { out.send(Message::Batch(batch.take(&self.rows)?)) }
    }
}
