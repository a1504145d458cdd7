//! Makes any number of records of each.

use std::marker::PhantomData;
use std::sync::Arc;

use headwater_state::Result;

use crate::{Batch, Credit, Message, Operator, Output, Timestamp};

/// A batch is sent on when it has grown to this many rows.
pub(crate) const BATCH_ROWS_MAX: usize = 4096;

/// Makes any number of records of each, at its time. What comes out is not keyed, and leaves in batches of at most
/// 4096 rows however many there are.
///
/// ```
/// use std::sync::Arc;
/// use headwater_operators::{FlatMap, harness::Harness};
///
/// let words = FlatMap::new(Arc::new(|line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>()));
/// let mut harness = Harness::of(move |_| Ok(words.clone()))?;
/// harness.rows(["to be".to_owned(), "".to_owned(), "or not".to_owned()])?;
/// assert_eq!(harness.take(), ["to", "be", "", "or", "not"]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct FlatMap<T, F> {
    f: Arc<F>,
    records: PhantomData<fn(T)>,
}

impl<T, F> FlatMap<T, F> {
    /// Applies `f` to every record and takes what it gives.
    pub fn new(f: Arc<F>) -> Self {
        Self { f, records: PhantomData }
    }
}

impl<T, F> Clone for FlatMap<T, F> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.f))
    }
}

impl<T, U, F, C> Operator<Vec<T>, Vec<U>> for FlatMap<T, F>
where
    F: Fn(T) -> C,
    C: IntoIterator<Item = U>,
{
    fn process(&mut self, batch: Batch<Vec<T>>, out: &mut dyn Output<Vec<U>>) -> Result<()> {
        let origin = batch.origin;
        let mut made = Made { records: Vec::new(), times: Vec::new(), origin, credit: batch.credit };
        for (record, time) in batch.records.into_iter().zip(batch.times) {
            for record in (self.f)(record) {
                made.records.push(record);
                made.times.push(time);
                if made.times.len() >= BATCH_ROWS_MAX {
                    made.send(out)?;
                }
            }
        }
        made.send(out)
    }
}

/// What was made so far and not yet sent.
struct Made<U> {
    records: Vec<U>,
    times: Vec<Timestamp>,
    origin: u32,
    credit: Credit,
}

impl<U> Made<U> {
    fn send(&mut self, out: &mut dyn Output<Vec<U>>) -> Result<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(std::mem::take(&mut self.records), std::mem::take(&mut self.times));
        batch.origin = self.origin;
        batch.credit = self.credit.clone();
        out.send(Message::Batch(batch))
    }
}
