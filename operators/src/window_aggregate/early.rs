//! Early results: panes that changed since the last one are listed in a table of their own.

use std::collections::VecDeque;
use std::time::Duration;

use headwater_state::{Key, LocalState, Lookup, Namespace, Result, RowKeys, Scan, Shard, SlotId, State, Table};

use super::pane_state::Flags;
use super::progress::Progress;
use super::{Open, Panes};
use crate::time::micros_of;
use crate::{Aggregate, Keying, Output, PaneKind, Progress as Standing, Records, Timestamp, Trigger};

/// How many listed panes one piece emits.
const PANES_MAX: usize = 1024;

/// The panes that are to have an early result.
pub(super) struct Early<K> {
    listed: State<K, ()>,
    every_us: i64,
    /// When the next round is due; unknown before the first tick.
    due: Option<Timestamp>,
    /// The windows that the round under way has still to go through.
    round: VecDeque<(Shard, Timestamp)>,
    scan: Option<Scan>,
    slots: Vec<SlotId>,
}

pub(super) fn table<K>(operator: &str) -> Table<K, ()> {
    Table::named(format!("{operator}/early")).in_windows()
}

impl<K: Key> Early<K> {
    pub fn new(operator: &str, every: Duration, local: &LocalState) -> Self {
        Self {
            listed: local.open(table(operator)),
            every_us: micros_of(every).max(1),
            due: None,
            round: VecDeque::new(),
            scan: None,
            slots: Vec::new(),
        }
    }

    pub fn maintain(&mut self) {
        self.listed.maintain();
    }

    pub fn checkpoint(&mut self) -> Result<()> {
        self.listed.checkpoint()
    }

    pub fn under_way(&self) -> bool {
        !self.round.is_empty()
    }

    /// Begins a round where one is due: at multiples of the interval, so that a restart does not shift them.
    pub fn tick(&mut self, now: Timestamp, progress: &Progress) {
        let due = self.due.is_some_and(|due| now >= due);
        if due && self.round.is_empty() {
            for shard in &progress.shards {
                let open = shard.open.iter().filter(|&&end| end > shard.watermark);
                self.round.extend(open.map(|&end| (shard.shard, end)));
            }
        }
        if due || self.due.is_none() {
            let next = now.as_micros().div_euclid(self.every_us).saturating_add(1).saturating_mul(self.every_us);
            self.due = Some(Timestamp::from_micros(next));
        }
    }

    /// Lists the panes of these rows.
    pub fn list(&mut self, rows: impl Iterator<Item = Lookup>, keys: &impl RowKeys<K>) -> Result<()> {
        self.listed.locate(rows, keys, &mut self.slots)?;
        for &slot in &self.slots {
            *self.listed.change(slot) = Some(());
        }
        Ok(())
    }

    /// Forgets what is listed of a window that has closed.
    pub fn forget(&mut self, shard: Shard, end: Timestamp) -> Result<()> {
        self.listed.drop_namespace(shard, Namespace::window(end.as_micros()))
    }

    /// Takes up to `limit` listed keys of the round's next window from the list.
    fn take(&mut self, limit: usize) -> Result<Option<(Timestamp, Vec<K>)>> {
        let Some(&(shard, end)) = self.round.front() else { return Ok(None) };
        let namespace = Namespace::window(end.as_micros());
        let mut scan = match self.scan.take() {
            Some(scan) => scan,
            None => self.listed.scan(shard, namespace, None)?,
        };
        let mut keys = Vec::new();
        let more = self.listed.scan_next(&mut scan, limit, |key, ()| {
            keys.push(key);
            Ok(())
        })?;
        if more {
            self.scan = Some(scan);
        } else {
            self.round.pop_front();
        }
        let lookups = lookups(&keys, namespace);
        self.listed.locate(lookups, keys.as_slice(), &mut self.slots)?;
        for &slot in &self.slots {
            *self.listed.change(slot) = None;
        }
        Ok(Some((end, keys)))
    }
}

fn lookups<K: Key>(keys: &[K], namespace: Namespace) -> impl Iterator<Item = Lookup> {
    (0..).zip(keys).map(move |(row, key)| Lookup { row, namespace, hash: key.hash64() })
}

impl<R, G, A, T> Open<R, G, A, T>
where
    R: Records,
    G: Keying<R>,
    A: Aggregate<R>,
    T: Trigger<A::Output>,
{
    /// Emits early results of the round under way.
    pub(super) fn early_piece(&mut self, out: &mut dyn Output<Panes<R, G, A>>) -> Result<Standing> {
        let mut budget = PANES_MAX;
        while budget > 0 {
            let Some(early) = &mut self.early else { return Ok(Standing::Done) };
            // What has closed since the round began has had its result.
            let progress = &self.progress;
            while early.round.front().is_some_and(|&(shard, end)| progress.has_passed(shard, end)) {
                early.round.pop_front();
                early.scan = None;
            }
            let Some((end, keys)) = early.take(budget)? else { return Ok(Standing::Done) };
            budget = budget.saturating_sub(keys.len().max(1));
            self.emit_early(end, &keys)?;
            self.emission.flush(out, &crate::Credit::default())?;
        }
        Ok(if self.early.as_ref().is_some_and(Early::under_way) { Standing::Pending } else { Standing::Done })
    }

    fn emit_early(&mut self, end: Timestamp, keys: &[G::Key]) -> Result<()> {
        let window = self.windows.ending(end);
        let namespace = Namespace::window(end.as_micros());
        let Self { panes, slots, aggregate, emission, .. } = self;
        panes.locate(lookups(keys, namespace), keys, slots)?;
        for (&slot, key) in slots.iter().zip(keys) {
            if let Some(pane) = panes.change(slot) {
                pane.flags.clear(Flags::LISTED);
                emission.push(key.clone(), window, aggregate.output(&pane.state), PaneKind::Early);
            }
        }
        Ok(())
    }
}
