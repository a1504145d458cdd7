//! The mean of a number.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::Number;
use crate::{Aggregate, MergeAggregate, Shared};

/// The mean of the number that a closure takes from each row, an `f64`. Integers are summed exactly first.
///
/// ```
/// use headwater_operators::{Aggregate, Avg};
/// let mean = Avg::of(|ms: &u32| *ms);
/// let rows = vec![1, 2];
/// let mut state = mean.start(&rows, 0);
/// mean.update(&mut state, &rows, 1);
/// assert_eq!(mean.output(&state), 1.5);
/// ```
pub struct Avg<T, F> {
    f: F,
    records: PhantomData<fn(T)>,
}

/// What [`Avg`] keeps.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AvgState<S> {
    sum: S,
    count: u64,
}

impl<T, F> Avg<T, F> {
    /// The mean of what `f` takes from each row.
    pub fn of<N: Number>(f: F) -> Self
    where
        F: Fn(&T) -> N,
    {
        Self { f, records: PhantomData }
    }
}

impl<T, N, F> Aggregate<Vec<T>> for Avg<T, F>
where
    T: Send + 'static,
    N: Number,
    F: Fn(&T) -> N + Shared,
{
    type State = AvgState<N::Sum>;
    type Output = f64;

    #[inline]
    fn start(&self, records: &Vec<T>, row: usize) -> Self::State {
        AvgState { sum: (self.f)(&records[row]).widen(), count: 1 }
    }

    #[inline]
    fn update(&self, state: &mut Self::State, records: &Vec<T>, row: usize) {
        state.sum = N::add(state.sum, (self.f)(&records[row]).widen());
        state.count += 1;
    }

    #[inline]
    fn output(&self, state: &Self::State) -> f64 {
        N::approximate(state.sum) / state.count as f64
    }

    fn shape(&self) -> String {
        "avg".into()
    }
}

impl<T, N, F> MergeAggregate<Vec<T>> for Avg<T, F>
where
    T: Send + 'static,
    N: Number,
    F: Fn(&T) -> N + Shared,
{
    fn merge(&self, state: &mut Self::State, other: Self::State) {
        state.sum = N::add(state.sum, other.sum);
        state.count += other.count;
    }
}
