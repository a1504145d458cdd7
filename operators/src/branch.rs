//! Divides one stream in two.

use std::sync::Arc;

use headwater_state::Result;

use crate::{Message, Output, Predicate, Progress, Records};

/// Sends the rows that a predicate holds for one way and the others another way; control goes both.
///
/// ```
/// use std::sync::Arc;
/// use headwater_operators::{Batch, Branch, Message, Output, Timestamp, harness::collector};
///
/// let ((even, evens), (odd, odds)) = (collector(), collector());
/// let mut branch = Branch::new(Arc::new(|n: &u32| n % 2 == 0), Box::new(even), Box::new(odd));
/// branch.send(Message::Batch(Batch::new(vec![1, 2, 3], vec![Timestamp::MIN; 3])))?;
/// assert_eq!((evens.take(), odds.take()), (vec![2], vec![1, 3]));
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct Branch<R, P> {
    predicate: Arc<P>,
    holds: Box<dyn Output<R>>,
    otherwise: Box<dyn Output<R>>,
    rows: Vec<u32>,
}

impl<R: Records, P: Predicate<R>> Branch<R, P> {
    /// Rows that `predicate` holds for go to `holds`, the others to `otherwise`.
    pub fn new(predicate: Arc<P>, holds: Box<dyn Output<R>>, otherwise: Box<dyn Output<R>>) -> Self {
        Self { predicate, holds, otherwise, rows: Vec::new() }
    }
}

impl<R: Records, P: Predicate<R>> Output<R> for Branch<R, P> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        let batch = match message {
            Message::Batch(batch) => batch,
            control => {
                let copy = control.control();
                self.holds.send(control)?;
                return copy.map_or(Ok(()), |copy| self.otherwise.send(copy));
            }
        };
        self.rows.clear();
        self.predicate.select(&batch.records, &mut self.rows)?;
        if self.rows.is_empty() {
            return self.otherwise.send(Message::Batch(batch));
        }
        if self.rows.len() == batch.len() {
            return self.holds.send(Message::Batch(batch));
        }
        let mut part_of = vec![1; batch.len()];
        for &row in &self.rows {
            part_of[row as usize] = 0;
        }
        let outputs = [&mut self.holds, &mut self.otherwise];
        for (part, output) in batch.divide(&part_of, 2)?.into_iter().zip(outputs) {
            output.send(Message::Batch(part))?;
        }
        Ok(())
    }

    fn work(&mut self) -> Result<Progress> {
        match (self.holds.work()?, self.otherwise.work()?) {
            (Progress::Done, Progress::Done) => Ok(Progress::Done),
            _ => Ok(Progress::Pending),
        }
    }
}
