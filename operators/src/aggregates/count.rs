//! How many rows.

use crate::{Aggregate, MergeAggregate, Records};

/// How many rows there are: a `u64`.
///
/// ```
/// use headwater_operators::{Aggregate, Count};
/// let rows = vec!["a", "b"];
/// let mut state = Count.start(&rows, 0);
/// Count.update(&mut state, &rows, 1);
/// assert_eq!(<Count as Aggregate<Vec<&str>>>::output(&Count, &state), 2);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<R: Records> Aggregate<R> for Count {
    type State = u64;
    type Output = u64;

    #[inline]
    fn start(&self, _: &R, _: usize) -> u64 {
        1
    }

    #[inline]
    fn update(&self, state: &mut u64, _: &R, _: usize) {
        *state += 1;
    }

    #[inline]
    fn output(&self, state: &u64) -> u64 {
        *state
    }

    fn shape(&self) -> String {
        "count".into()
    }
}

impl<R: Records> MergeAggregate<R> for Count {
    fn merge(&self, state: &mut u64, other: u64) {
        *state += other;
    }
}
