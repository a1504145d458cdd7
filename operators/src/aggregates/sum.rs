//! The sum of a number.

use std::marker::PhantomData;

use super::Number;
use crate::{Aggregate, MergeAggregate, Shared};

/// The sum of the number that a closure takes from each row: `i128` of integers, which is exact; `f64` of floats.
///
/// ```
/// use headwater_operators::{Aggregate, Sum};
/// let total = Sum::of(|cents: &i64| *cents);
/// let rows = vec![i64::MAX, 1];
/// let mut state = total.start(&rows, 0);
/// total.update(&mut state, &rows, 1);
/// assert_eq!(total.output(&state), 9_223_372_036_854_775_808);
/// ```
pub struct Sum<T, F> {
    f: F,
    records: PhantomData<fn(T)>,
}

impl<T, F> Sum<T, F> {
    /// The sum of what `f` takes from each row.
    pub fn of<N: Number>(f: F) -> Self
    where
        F: Fn(&T) -> N,
    {
        Self { f, records: PhantomData }
    }
}

impl<T, N, F> Aggregate<Vec<T>> for Sum<T, F>
where
    T: Send + 'static,
    N: Number,
    F: Fn(&T) -> N + Shared,
{
    type State = N::Sum;
    type Output = N::Sum;

    #[inline]
    fn start(&self, records: &Vec<T>, row: usize) -> N::Sum {
        (self.f)(&records[row]).widen()
    }

    #[inline]
    fn update(&self, state: &mut N::Sum, records: &Vec<T>, row: usize) {
        *state = N::add(*state, (self.f)(&records[row]).widen());
    }

    #[inline]
    fn output(&self, state: &N::Sum) -> N::Sum {
        *state
    }

    fn shape(&self) -> String {
        "sum".into()
    }
}

impl<T, N, F> MergeAggregate<Vec<T>> for Sum<T, F>
where
    T: Send + 'static,
    N: Number,
    F: Fn(&T) -> N + Shared,
{
    fn merge(&self, state: &mut N::Sum, other: N::Sum) {
        *state = N::add(*state, other);
    }
}
