//! The one abstraction over rows and columns.

use headwater_state::Result;

/// Many records of one kind: a `Vec<T>` for typed closures, an Arrow `RecordBatch` for columns.
///
/// Operators that do not look into a record are written once against this.
pub trait Records: Sized + Send + 'static {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// About how many bytes they take, for admission.
    fn memory_bytes(&self) -> usize;

    /// The named rows, which are in ascending order and without duplicates.
    ///
    /// # Errors
    /// `Bug` where a row does not exist.
    fn take(self, rows: &[u32]) -> Result<Self>;

    /// Cuts: the rows from `at` on are returned, those before stay.
    ///
    /// # Errors
    /// `Bug` where there are fewer rows.
    fn split_off(&mut self, at: usize) -> Result<Self>;

    /// Divides the rows: row `i` goes to part `part_of[i]`, keeping its order there.
    ///
    /// # Errors
    /// `Bug` where `part_of` is not one entry per row, each less than `parts`.
    fn divide(self, part_of: &[u16], parts: usize) -> Result<Vec<Self>>;
}

impl<T: Send + 'static> Records for Vec<T> {
    fn rows(&self) -> usize {
        self.len()
    }

    fn memory_bytes(&self) -> usize {
        self.len() * size_of::<T>()
    }

    fn take(self, rows: &[u32]) -> Result<Self> {
        let mut wanted = rows.iter().copied().peekable();
        let mut row = 0;
        let mut kept = self;
        kept.retain(|_| {
            let keep = wanted.next_if_eq(&row).is_some();
            row += 1;
            keep
        });
        Ok(kept)
    }

    fn split_off(&mut self, at: usize) -> Result<Self> {
        Ok(Vec::split_off(self, at))
    }

    fn divide(self, part_of: &[u16], parts: usize) -> Result<Vec<Self>> {
        let expected = self.len() / parts.max(1) + 16;
        let mut divided: Vec<Self> = (0..parts).map(|_| Vec::with_capacity(expected)).collect();
        for (record, &part) in self.into_iter().zip(part_of) {
            divided[usize::from(part)].push(record);
        }
        Ok(divided)
    }
}
