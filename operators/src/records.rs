//! The one abstraction over rows and columns.

use headwater_state::{Error, Result};

use crate::batch::no_row;

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
        match wanted.next() {
            None => Ok(kept),
            Some(missing) => Err(no_row(missing, row as usize)),
        }
    }

    fn split_off(&mut self, at: usize) -> Result<Self> {
        if at > self.len() {
            return Err(no_row(at as u32, self.len()));
        }
        Ok(Vec::split_off(self, at))
    }

    fn divide(self, part_of: &[u16], parts: usize) -> Result<Vec<Self>> {
        check_parts(part_of, self.len(), parts)?;
        let mut sizes = vec![0; parts];
        for &part in part_of {
            sizes[usize::from(part)] += 1;
        }
        let mut divided: Vec<Self> = sizes.into_iter().map(Vec::with_capacity).collect();
        for (record, &part) in self.into_iter().zip(part_of) {
            divided[usize::from(part)].push(record);
        }
        Ok(divided)
    }
}

/// Whether `part_of` divides `rows` rows into `parts` parts.
pub(crate) fn check_parts(part_of: &[u16], rows: usize, parts: usize) -> Result<()> {
    if part_of.len() != rows || part_of.iter().any(|&part| usize::from(part) >= parts) {
        return Err(Error::bug(format!("{} places do not divide {rows} rows into {parts} parts", part_of.len())));
    }
    Ok(())
}
