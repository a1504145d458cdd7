//! Closing windows, a bounded piece at a time.

use headwater_state::{Key, Namespace, Result, Scan, SlotId};

use super::pane_state::Flags;
use super::progress::Step;
use super::{Open, Panes};
use crate::{Aggregate, Credit, Keying, Output, PaneKind, Progress as Standing, Records, Timestamp, Trigger};

/// How many panes one piece closes.
const PANES_MAX: usize = 4096;
/// How many panes are looked at before what they emit is sent.
const SLICE: usize = 1024;
/// What dropping a window costs, in panes.
const DROP_COST: usize = 16;

/// A walk through a window that is closing.
pub(super) struct Closing {
    place: usize,
    end: Timestamp,
    scan: Scan,
}

impl<R, G, A, T> Open<R, G, A, T>
where
    R: Records,
    G: Keying<R>,
    A: Aggregate<R>,
    T: Trigger<A::Output>,
{
    /// Closes and drops windows that are due, shard by shard, in the order of their ends.
    pub(super) fn close_piece(&mut self, out: &mut dyn Output<Panes<R, G, A>>) -> Result<Standing> {
        let mut budget = PANES_MAX;
        let mut place = 0;
        while place < self.progress.shards.len() {
            let Some(step) = self.progress.step(place) else {
                place += 1;
                continue;
            };
            if budget == 0 {
                return Ok(Standing::Pending);
            }
            let cost = match step {
                Step::Close(end) => self.close_slice(place, end, budget.min(SLICE), out)?,
                Step::Drop(end) => self.drop_window(place, end)?,
            };
            budget = budget.saturating_sub(cost);
        }
        Ok(Standing::Done)
    }

    /// Emits up to `limit` panes of a window. Returns what it cost.
    fn close_slice(
        &mut self,
        place: usize,
        end: Timestamp,
        limit: usize,
        out: &mut dyn Output<Panes<R, G, A>>,
    ) -> Result<usize> {
        let shard = &mut self.progress.shards[place];
        let mut closing = match self.scan.take() {
            Some(closing) if closing.place == place && closing.end == end => closing,
            _ => {
                let after = shard.partial.as_ref().filter(|(at, _)| *at == end).map(|(_, key)| key.as_slice());
                let scan = self.panes.scan(shard.shard, Namespace::window(end.as_micros()), after)?;
                Closing { place, end, scan }
            }
        };
        let window = self.windows.ending(end);
        let Self { panes, aggregate, emission, .. } = self;
        let mut visited = 0;
        let more = panes.scan_next(&mut closing.scan, limit, |key, pane| {
            visited += 1;
            if !pane.flags.has(Flags::EMITTED) {
                emission.push(key, window, aggregate.output(&pane.state), PaneKind::OnTime);
            }
            Ok(())
        })?;
        emission.flush(out, &Credit::default())?;
        if more {
            shard.partial = closing.scan.after().map(|key| (end, key.to_vec()));
            self.scan = Some(closing);
        } else {
            shard.partial = None;
            shard.closed = end;
            if let Some(early) = &mut self.early {
                early.forget(shard.shard, end)?;
            }
        }
        Ok(visited.max(1))
    }

    fn drop_window(&mut self, place: usize, end: Timestamp) -> Result<usize> {
        let shard = &mut self.progress.shards[place];
        shard.open.remove(&end);
        self.panes.drop_namespace(shard.shard, Namespace::window(end.as_micros()))?;
        Ok(DROP_COST)
    }

    /// Whether the close of a window that is due has emitted the pane at `slot`.
    pub(super) fn close_has_passed(&self, hash: u64, end: Timestamp, slot: SlotId) -> bool {
        let shard = &self.progress.shards[self.progress.place(hash)];
        if end <= shard.closed {
            return true;
        }
        let Some((_, last)) = shard.partial.as_ref().filter(|(at, _)| *at == end) else { return false };
        let mut key = Vec::with_capacity(last.len());
        self.panes.key(slot).encode(&mut key);
        key <= *last
    }
}
