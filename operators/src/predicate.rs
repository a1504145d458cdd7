//! Which rows of a batch something holds for.

use headwater_state::Result;

use crate::Records;

/// Selects rows. A closure `Fn(&T) -> bool` is one for a `Vec<T>`, and a closure `Fn(&RecordBatch) ->
/// Result<BooleanArray>` for columns.
#[diagnostic::on_unimplemented(
    message = "this closure does not select records of `{R}`",
    note = "it takes a record by reference and returns a `bool`; it may be called by several threads at once, so it changes nothing that it captures"
)]
pub trait Predicate<R: Records> {
    /// Appends the rows it holds for, in ascending order.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn select(&self, records: &R, rows: &mut Vec<u32>) -> Result<()>;
}

#[diagnostic::do_not_recommend]
impl<T, F> Predicate<Vec<T>> for F
where
    T: Send + 'static,
    F: Fn(&T) -> bool,
{
    fn select(&self, records: &Vec<T>, rows: &mut Vec<u32>) -> Result<()> {
        rows.reserve(records.len());
        for (row, record) in (0..).zip(records) {
            if self(record) {
                rows.push(row);
            }
        }
        Ok(())
    }
}
