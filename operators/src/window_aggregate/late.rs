//! Where late rows go.

use headwater_state::Result;

use crate::{Batch, Late, Message, Output, SideOutput, Timestamp, Window};

/// Takes the rows of a batch that came after their windows were gone.
pub trait LateOutput<R> {
    /// Takes them, with the window that each missed and the watermark that it missed it by.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn send_late(&mut self, rows: Batch<R>, missed: &[(Window, Timestamp)]) -> Result<()>;
}

/// Late rows as [`Late`] records: what typed pipelines see.
pub struct LateRows<T>(pub SideOutput<Vec<Late<T>>>);

impl<T> LateOutput<Vec<T>> for LateRows<T> {
    fn send_late(&mut self, rows: Batch<Vec<T>>, missed: &[(Window, Timestamp)]) -> Result<()> {
        let Batch { records, times, hashes: _, origin, credit } = rows;
        let records = records.into_iter().zip(&times).zip(missed);
        let records = records.map(|((record, &time), &(window, watermark))| Late { record, time, window, watermark });
        let records = records.collect();
        self.0.send(Message::Batch(Batch { records, times, hashes: Vec::new(), origin, credit }))
    }
}

/// Late rows as they came.
pub struct LateRecords<R>(pub SideOutput<R>);

impl<R> LateOutput<R> for LateRecords<R> {
    fn send_late(&mut self, rows: Batch<R>, _: &[(Window, Timestamp)]) -> Result<()> {
        self.0.send(Message::Batch(rows))
    }
}
