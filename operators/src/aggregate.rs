//! What is made of the rows of a pane.

use headwater_state::Value;

use crate::Records;

/// Makes one value of the rows of a pane. A pane exists because of a row, so there is no empty aggregate.
///
/// [`Count`](crate::Count), [`Sum`](crate::Sum), [`Min`](crate::Min), [`Max`](crate::Max), [`Avg`](crate::Avg),
/// [`Fold`](crate::Fold), and tuples of up to four.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not aggregate `{R}`",
    label = "not an aggregate of these records",
    note = "use `Count`, `Sum::of(|row: &T| …)`, `Min`, `Max`, `Avg`, `Fold::new(init, update)`, or a tuple of up to four; what a `Fold` keeps must be a state value"
)]
pub trait Aggregate<R: Records>: Send + Sync + 'static {
    /// What is kept while rows come.
    type State: Value;

    /// What is made of it.
    type Output: Send + 'static;

    /// The state after the first row.
    fn start(&self, records: &R, row: usize) -> Self::State;

    /// Adds one more row.
    fn update(&self, state: &mut Self::State, records: &R, row: usize);

    /// The value so far.
    fn output(&self, state: &Self::State) -> Self::Output;

    /// Shows the value so far, for those that need not keep it.
    fn look<T>(&self, state: &Self::State, look: impl FnOnce(&Self::Output) -> T) -> T {
        look(&self.output(state))
    }

    /// What the stored state depends on: `sum`. Another shape is another table.
    fn shape(&self) -> String;
}

/// An aggregate whose states can be put together: what windows that merge or share slices need.
pub trait MergeAggregate<R: Records>: Aggregate<R> {
    /// Adds what `other` has seen.
    fn merge(&self, state: &mut Self::State, other: Self::State);
}
