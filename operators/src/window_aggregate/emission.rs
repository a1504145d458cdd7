//! Results on their way out.

use headwater_state::Result;

use crate::{Batch, Credit, Message, Output, Pane, PaneKind, Timestamp, Window};

/// A batch of results is sent when it has grown to this many rows.
const ROWS_MAX: usize = 1024;

/// Results that were not sent yet.
pub(crate) struct Emission<K, V> {
    panes: Vec<Pane<K, V>>,
    times: Vec<Timestamp>,
}

impl<K, V> Emission<K, V> {
    pub fn new() -> Self {
        Self { panes: Vec::new(), times: Vec::new() }
    }

    /// Adds a result. Its row's time is the last moment of the window.
    pub fn push(&mut self, key: K, window: Window, value: V, kind: PaneKind) {
        self.times.push(Timestamp::from_micros(window.end.as_micros().saturating_sub(1)));
        self.panes.push(Pane { key, window, value, kind });
    }

    /// Sends a full batch.
    #[inline]
    pub fn flush_full(&mut self, out: &mut dyn Output<Vec<Pane<K, V>>>, credit: &Credit) -> Result<()> {
        if self.times.len() < ROWS_MAX { Ok(()) } else { self.flush(out, credit) }
    }

    /// Sends what there is.
    pub fn flush(&mut self, out: &mut dyn Output<Vec<Pane<K, V>>>, credit: &Credit) -> Result<()> {
        if self.times.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(std::mem::take(&mut self.panes), std::mem::take(&mut self.times));
        batch.credit = credit.clone();
        out.send(Message::Batch(batch))
    }
}
