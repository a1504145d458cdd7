//! Makes another record of each.

use std::marker::PhantomData;
use std::sync::Arc;

use headwater_state::Result;

use crate::{Batch, Message, Operator, Output};

/// Makes another record of each, at the same time. What comes out is no longer keyed: the key was of the old record.
///
/// ```
/// use std::sync::Arc;
/// use headwater_operators::{Map, harness::Harness};
///
/// let map = Map::new(Arc::new(|n: u32| format!("number {n}")));
/// let mut harness = Harness::of(move |_| Ok(map.clone()))?;
/// harness.rows([1, 2])?;
/// assert_eq!(harness.take(), ["number 1", "number 2"]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct Map<T, F> {
    f: Arc<F>,
    records: PhantomData<fn(T)>,
}

impl<T, F> Map<T, F> {
    /// Applies `f` to every record.
    pub fn new(f: Arc<F>) -> Self {
        Self { f, records: PhantomData }
    }
}

impl<T, F> Clone for Map<T, F> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.f))
    }
}

impl<T, U, F> Operator<Vec<T>, Vec<U>> for Map<T, F>
where
    F: Fn(T) -> U,
{
    fn process(&mut self, batch: Batch<Vec<T>>, out: &mut dyn Output<Vec<U>>) -> Result<()> {
        let Batch { records, times, hashes: _, origin, credit } = batch;
        let f = &*self.f;
        let records = records.into_iter().map(f).collect();
        out.send(Message::Batch(Batch { records, times, hashes: Vec::new(), origin, credit }))
    }
}
