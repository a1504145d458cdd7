//! Looks at records on their way.

use std::marker::PhantomData;
use std::sync::Arc;

use headwater_state::Result;

use crate::{Batch, Message, Operator, Output};

/// Shows every record to a closure and passes it on unchanged. After a crash records are shown again.
///
/// ```
/// use std::sync::Arc;
/// use headwater_operators::{Counter, Inspect, harness::Harness};
///
/// let seen = Counter::new();
/// let counter = seen.clone();
/// let inspect = Inspect::new(Arc::new(move |_: &u32| counter.add(1)));
/// let mut harness = Harness::of(move |_| Ok(inspect.clone()))?;
/// harness.rows([7, 8])?;
/// assert_eq!((harness.take(), seen.get()), (vec![7, 8], 2));
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct Inspect<T, F> {
    f: Arc<F>,
    records: PhantomData<fn(T)>,
}

impl<T, F> Inspect<T, F> {
    /// Shows every record to `f`.
    pub fn new(f: Arc<F>) -> Self {
        Self { f, records: PhantomData }
    }
}

impl<T, F> Clone for Inspect<T, F> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.f))
    }
}

impl<T, F: Fn(&T)> Operator<Vec<T>, Vec<T>> for Inspect<T, F> {
    fn process(&mut self, batch: Batch<Vec<T>>, out: &mut dyn Output<Vec<T>>) -> Result<()> {
        let f = &*self.f;
        batch.records.iter().for_each(f);
        out.send(Message::Batch(batch))
    }
}
