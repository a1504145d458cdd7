//! The row loops: one per trigger.

use headwater_state::{Lookup, Namespace, Result, SlotId};

use super::pane_state::{Flags, PaneState};
use super::{Open, Panes};
use crate::{Aggregate, Assigned, Batch, Keying, Output, PaneKind, Records, Timestamp, Trigger, When};

/// What a row did to its pane.
#[derive(PartialEq, Eq)]
enum Did {
    Made,
    Changed,
}

impl<R, G, A, T> Open<R, G, A, T>
where
    R: Records,
    G: Keying<R>,
    A: Aggregate<R>,
    T: Trigger<A::Output>,
{
    /// Updates the panes of the assigned rows, and emits what their trigger says.
    pub(super) fn rows(&mut self, batch: &Batch<R>, out: &mut dyn Output<Panes<R, G, A>>) -> Result<()> {
        let keys = self.keying.keys(&batch.records)?;
        let hashes = &batch.hashes;
        let lookups = self.assigned.iter().map(|assigned| lookup(assigned, hashes));
        self.panes.locate(lookups, &keys, &mut self.slots)?;
        drop(keys);
        // Taken for the loop, so that it may borrow the rest.
        let (assigned, slots) = (std::mem::take(&mut self.assigned), std::mem::take(&mut self.slots));
        let rows = assigned.iter().copied().zip(slots.iter().copied());
        match T::WHEN {
            When::Close => self.rows_on_close(rows, batch, out)?,
            When::Update => self.rows_on_update(rows, batch, out)?,
            When::Once => self.rows_once(rows, batch, out)?,
            When::Early => {
                let listed = self.rows_early(rows, batch, out)?;
                if let Some(early) = &mut self.early {
                    let keys = self.keying.keys(&batch.records)?;
                    early.list(listed.iter().map(|assigned| lookup(assigned, hashes)), &keys)?;
                }
            }
        }
        (self.assigned, self.slots) = (assigned, slots);
        Ok(())
    }

    fn rows_on_close(
        &mut self,
        rows: impl Iterator<Item = (Assigned, SlotId)>,
        batch: &Batch<R>,
        out: &mut dyn Output<Panes<R, G, A>>,
    ) -> Result<()> {
        for (assigned, slot) in rows {
            if assigned.end <= self.progress.watermark(batch.hashes[assigned.row as usize]) {
                self.correct(assigned, slot, batch)?;
                self.emission.flush_full(out, &batch.credit)?;
            } else {
                self.update(assigned, slot, batch, 0);
            }
        }
        Ok(())
    }

    fn rows_on_update(
        &mut self,
        rows: impl Iterator<Item = (Assigned, SlotId)>,
        batch: &Batch<R>,
        out: &mut dyn Output<Panes<R, G, A>>,
    ) -> Result<()> {
        for (assigned, slot) in rows {
            if assigned.end <= self.progress.watermark(batch.hashes[assigned.row as usize]) {
                self.correct(assigned, slot, batch)?;
                self.emission.flush_full(out, &batch.credit)?;
                continue;
            }
            if !self.panes.value(slot).is_some_and(|pane| pane.flags.has(Flags::TOUCHED)) {
                self.touched.push((slot, assigned.end));
            }
            self.update(assigned, slot, batch, Flags::TOUCHED);
        }
        let mut touched = std::mem::take(&mut self.touched);
        for (slot, end) in touched.drain(..) {
            if let Some(pane) = self.panes.change(slot) {
                pane.flags.clear(Flags::TOUCHED);
            }
            self.emit(slot, end, PaneKind::Early);
            self.emission.flush_full(out, &batch.credit)?;
        }
        self.touched = touched;
        Ok(())
    }

    fn rows_once(
        &mut self,
        rows: impl Iterator<Item = (Assigned, SlotId)>,
        batch: &Batch<R>,
        out: &mut dyn Output<Panes<R, G, A>>,
    ) -> Result<()> {
        for (assigned, slot) in rows {
            // What has fired says nothing more, so it need not be counted any further.
            if self.panes.value(slot).is_some_and(|pane| pane.flags.has(Flags::EMITTED)) {
                continue;
            }
            self.update(assigned, slot, batch, 0);
            let Self { panes, aggregate, trigger, .. } = self;
            let holds = |pane: &PaneState<A::State>| aggregate.look(&pane.state, |value| trigger.holds(value));
            if panes.value(slot).is_some_and(holds) {
                self.emit_result(slot, assigned.end, PaneKind::OnTime);
                self.emission.flush_full(out, &batch.credit)?;
            }
        }
        Ok(())
    }

    /// Returns the rows whose panes are to be listed for early results.
    fn rows_early(
        &mut self,
        rows: impl Iterator<Item = (Assigned, SlotId)>,
        batch: &Batch<R>,
        out: &mut dyn Output<Panes<R, G, A>>,
    ) -> Result<Vec<Assigned>> {
        let mut listed = Vec::new();
        for (assigned, slot) in rows {
            if assigned.end <= self.progress.watermark(batch.hashes[assigned.row as usize]) {
                self.correct(assigned, slot, batch)?;
                self.emission.flush_full(out, &batch.credit)?;
                continue;
            }
            if !self.panes.value(slot).is_some_and(|pane| pane.flags.has(Flags::LISTED)) {
                listed.push(assigned);
            }
            self.update(assigned, slot, batch, Flags::LISTED);
        }
        Ok(listed)
    }

    /// Adds a row to its pane, which has `flags` afterwards.
    #[inline]
    fn update(&mut self, assigned: Assigned, slot: SlotId, batch: &Batch<R>, flags: u8) -> Did {
        let row = assigned.row as usize;
        match self.panes.change(slot) {
            Some(pane) => {
                pane.flags.set(flags);
                self.aggregate.update(&mut pane.state, &batch.records, row);
                Did::Changed
            }
            empty => {
                let state = self.aggregate.start(&batch.records, row);
                *empty = Some(PaneState { flags: Flags::new(flags), state });
                self.progress.opened(batch.hashes[row], assigned.end);
                Did::Made
            }
        }
    }

    /// Adds a late row to a pane that is still kept, and says so at once.
    #[cold]
    fn correct(&mut self, assigned: Assigned, slot: SlotId, batch: &Batch<R>) -> Result<()> {
        let hash = batch.hashes[assigned.row as usize];
        let emitted = self.panes.value(slot).is_none_or(|pane| pane.flags.has(Flags::EMITTED));
        if !emitted && !self.close_has_passed(hash, assigned.end, slot) {
            // Its turn in the close is still to come: it says now what it would have said then.
            self.emit_result(slot, assigned.end, PaneKind::OnTime);
        }
        let kind = match self.update(assigned, slot, batch, Flags::EMITTED) {
            Did::Made => PaneKind::OnTime,
            Did::Changed => PaneKind::Correction,
        };
        self.emit(slot, assigned.end, kind);
        Ok(())
    }

    /// Emits the pane and remembers that it did.
    fn emit_result(&mut self, slot: SlotId, end: Timestamp, kind: PaneKind) {
        if let Some(pane) = self.panes.change(slot) {
            pane.flags.set(Flags::EMITTED);
        }
        self.emit(slot, end, kind);
    }

    fn emit(&mut self, slot: SlotId, end: Timestamp, kind: PaneKind) {
        if let Some(pane) = self.panes.value(slot) {
            let value = self.aggregate.output(&pane.state);
            self.emission.push(self.panes.key(slot).clone(), self.windows.ending(end), value, kind);
        }
    }
}

#[inline]
fn lookup(assigned: &Assigned, hashes: &[u64]) -> Lookup {
    Lookup {
        row: assigned.row,
        namespace: Namespace::window(assigned.end.as_micros()),
        hash: hashes[assigned.row as usize],
    }
}
