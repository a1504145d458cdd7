//! One value per key and window.

mod close;
mod early;
mod emission;
mod late;
mod pane_state;
mod progress;
mod rows;

use std::sync::Arc;
use std::time::Duration;

use headwater_state::{Epoch, LocalState, Result, SlotId, State, Table, TableSpec};

use crate::time::micros_of;
use crate::{
    Aggregate, Assigned, Batch, Counter, Credit, Keying, Operator, Output, Pane, Progress as Standing, Records,
    Timestamp, Trigger, When, Window, Windows,
};
use early::Early;
use emission::Emission;
pub use late::{LateOutput, LateRecords, LateRows};
use pane_state::PaneState;
use progress::Progress;

/// One value per key and window: what a window aggregate is made of. Every worker [opens](Self::open) its own from it.
///
/// A row is late for a window whose end, plus the allowed lateness, the input watermark has reached. Late rows are
/// counted and go to the late output. Windows close in the order of their ends within each shard, a bounded piece at a
/// time; rows for a window whose close is under way are treated as if it had closed already. A closed window is kept
/// for the allowed lateness: a row that still comes changes its pane and is answered at once, by a correction.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use headwater_operators::{Count, Counter, KeyByRef, OnClose, Timestamp, Tumbling, WindowAggregate, harness::Harness};
///
/// let per_minute = WindowAggregate {
///     id: "visits".to_owned(),
///     keying: Arc::new(KeyByRef::new(|(user, _): &(String, i64)| user)),
///     windows: Arc::new(Tumbling::minutes(1)),
///     aggregate: Arc::new(Count),
///     trigger: Arc::new(OnClose),
///     allowed_lateness: Duration::ZERO,
/// };
/// let mut harness = Harness::of(move |local| per_minute.open(local, None, Counter::new()))?;
/// let visit = |user: &str, at: i64| (Timestamp::from_seconds(at), (user.to_owned(), at));
/// harness.timed([visit("ada", 10), visit("bob", 20), visit("ada", 59), visit("ada", 60)])?;
/// harness.watermark(Timestamp::from_seconds(60))?;
/// let panes: Vec<_> = harness.take().into_iter().map(|pane| (pane.key, pane.value)).collect();
/// assert_eq!(panes, [("ada".to_owned(), 2), ("bob".to_owned(), 1)]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct WindowAggregate<G, A, T> {
    /// The operator's id, which its tables are named after.
    pub id: String,
    /// What rows are grouped by.
    pub keying: Arc<G>,
    /// Which windows they count in.
    pub windows: Arc<dyn Windows>,
    /// What is made of them.
    pub aggregate: Arc<A>,
    /// When the result leaves.
    pub trigger: Arc<T>,
    /// How long a window is kept after it closed.
    pub allowed_lateness: Duration,
}

/// What the window aggregate of these parts emits.
pub type Panes<R, G, A> = Vec<Pane<<G as Keying<R>>::Key, <A as Aggregate<R>>::Output>>;

impl<G, A, T> WindowAggregate<G, A, T> {
    /// The tables that it keeps, with all that their contents depend on.
    pub fn tables<R>(&self) -> Vec<TableSpec>
    where
        R: Records,
        G: Keying<R>,
        A: Aggregate<R>,
        T: Trigger<A::Output>,
    {
        let mut panes = self.panes::<G::Key, A::State>().spec();
        let parts = [self.aggregate.shape(), self.windows.shape(), T::WHEN.shape().to_owned(), panes.value];
        panes.value = parts.join(" · ");
        let mut tables = vec![panes];
        tables.extend((T::WHEN == When::Early).then(|| early::table::<G::Key>(&self.id).spec()));
        tables
    }

    /// Opens it on a worker's state, where the last commit left it. Late rows go to `late`, if that is given, and
    /// are counted in `late_rows`.
    ///
    /// # Errors
    /// `Config` where the windows cannot be, `Corrupt` where notes or stored panes cannot be read, the store's errors.
    pub fn open<R>(
        &self,
        local: &LocalState,
        late: Option<Box<dyn LateOutput<R>>>,
        late_rows: Counter,
    ) -> Result<impl Operator<R, Panes<R, G, A>> + use<R, G, A, T>>
    where
        R: Records,
        G: Keying<R>,
        A: Aggregate<R>,
        T: Trigger<A::Output>,
    {
        self.windows.check()?;
        let panes = local.open(self.panes::<G::Key, A::State>());
        let allowed_us = micros_of(self.allowed_lateness);
        let progress = Progress::restored(&self.id, local, panes.stored_namespaces()?, allowed_us)?;
        let early = (T::WHEN == When::Early).then(|| Early::new(&self.id, self.trigger.every(), local));
        Ok(Open::<R, G, A, T> {
            id: self.id.clone(),
            keying: Arc::clone(&self.keying),
            windows: Arc::clone(&self.windows),
            aggregate: Arc::clone(&self.aggregate),
            trigger: Arc::clone(&self.trigger),
            late_rows,
            local: local.clone(),
            busy: progress.shards.iter().any(|shard| !shard.open.is_empty()),
            panes,
            early,
            progress,
            late,
            scan: None,
            assigned: Vec::new(),
            slots: Vec::new(),
            touched: Vec::new(),
            missed: Vec::new(),
            emission: Emission::new(),
        })
    }

    fn panes<K, S>(&self) -> Table<K, PaneState<S>> {
        Table::named(format!("{}/panes", self.id)).in_windows()
    }
}

impl<G, A, T> Clone for WindowAggregate<G, A, T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            keying: Arc::clone(&self.keying),
            windows: Arc::clone(&self.windows),
            aggregate: Arc::clone(&self.aggregate),
            trigger: Arc::clone(&self.trigger),
            allowed_lateness: self.allowed_lateness,
        }
    }
}

/// A window aggregate on one worker's state.
struct Open<R: Records, G: Keying<R>, A: Aggregate<R>, T> {
    id: String,
    keying: Arc<G>,
    windows: Arc<dyn Windows>,
    aggregate: Arc<A>,
    trigger: Arc<T>,
    late_rows: Counter,
    local: LocalState,
    panes: State<G::Key, PaneState<A::State>>,
    /// What early results need, where they are wanted.
    early: Option<Early<G::Key>>,
    progress: Progress,
    late: Option<Box<dyn LateOutput<R>>>,
    /// The walk through the window that is closing.
    scan: Option<close::Closing>,
    /// Whether closes are due.
    busy: bool,
    emission: Emission<G::Key, A::Output>,
    // Reused from batch to batch.
    assigned: Vec<Assigned>,
    slots: Vec<SlotId>,
    touched: Vec<(SlotId, Timestamp)>,
    missed: Vec<(u32, Window, Timestamp)>,
}

impl<R, G, A, T> Open<R, G, A, T>
where
    R: Records,
    G: Keying<R>,
    A: Aggregate<R>,
    T: Trigger<A::Output>,
{
    /// Assigns rows to windows, and moves those that are gone to `missed`.
    fn assign(&mut self, times: &[Timestamp], hashes: &[u64]) {
        self.assigned.clear();
        self.missed.clear();
        self.windows.assign(times, &mut self.assigned);
        if let Some(watermark) = self.progress.common_watermark() {
            let gone = self.progress.gone(watermark);
            if self.assigned.iter().all(|assigned| assigned.end > gone) {
                return;
            }
        }
        let Self { progress, missed, windows, .. } = self;
        self.assigned.retain(|assigned| {
            let watermark = progress.watermark(hashes[assigned.row as usize]);
            if assigned.end > progress.gone(watermark) {
                return true;
            }
            // A row is late once, whatever number of windows it missed.
            if missed.last().is_none_or(|&(row, ..)| row != assigned.row) {
                missed.push((assigned.row, windows.ending(assigned.end), watermark));
            }
            false
        });
    }

    fn send_late(&mut self, batch: Batch<R>) -> Result<()> {
        self.late_rows.add(self.missed.len() as u64);
        let Some(late) = &mut self.late else { return Ok(()) };
        let rows: Vec<u32> = self.missed.iter().map(|&(row, ..)| row).collect();
        let missed: Vec<_> = self.missed.iter().map(|&(_, window, watermark)| (window, watermark)).collect();
        late.send_late(batch.take(&rows)?, &missed)
    }

    /// Does a bounded piece of what is due: first closes, then early results.
    fn piece(&mut self, out: &mut dyn Output<Panes<R, G, A>>) -> Result<Standing> {
        self.panes.maintain();
        if let Some(early) = &mut self.early {
            early.maintain();
        }
        self.busy = self.busy && self.close_piece(out)? == Standing::Pending;
        let early = if self.busy { Standing::Pending } else { self.early_piece(out)? };
        self.emission.flush(out, &Credit::default())?;
        Ok(early)
    }
}

impl<R, G, A, T> Operator<R, Panes<R, G, A>> for Open<R, G, A, T>
where
    R: Records,
    G: Keying<R>,
    A: Aggregate<R>,
    T: Trigger<A::Output>,
{
    fn process(&mut self, mut batch: Batch<R>, out: &mut dyn Output<Panes<R, G, A>>) -> Result<()> {
        self.panes.maintain();
        if let Some(early) = &mut self.early {
            early.maintain();
        }
        // An exchange has added them; without one they are made here.
        if batch.hashes.len() != batch.len() {
            batch.hashes.clear();
            self.keying.hashes(&batch.records, &mut batch.hashes)?;
        }
        self.assign(&batch.times, &batch.hashes);
        if !self.assigned.is_empty() {
            self.rows(&batch, out)?;
            self.emission.flush(out, &batch.credit)?;
        }
        if self.missed.is_empty() { Ok(()) } else { self.send_late(batch) }
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Output<Panes<R, G, A>>) -> Result<Standing> {
        self.progress.advance(watermark, T::WHEN.emits_at_close());
        self.busy = true;
        self.piece(out)
    }

    fn tick(&mut self, now: Timestamp, out: &mut dyn Output<Panes<R, G, A>>) -> Result<Standing> {
        if let Some(early) = &mut self.early {
            early.tick(now, &self.progress);
        }
        self.piece(out)
    }

    fn work(&mut self, out: &mut dyn Output<Panes<R, G, A>>) -> Result<Standing> {
        self.piece(out)
    }

    fn pending(&self) -> Standing {
        let early = self.early.as_ref().is_some_and(Early::under_way);
        if self.busy || early { Standing::Pending } else { Standing::Done }
    }

    fn checkpoint(&mut self, _: Epoch) -> Result<()> {
        self.panes.checkpoint()?;
        if let Some(early) = &mut self.early {
            early.checkpoint()?;
        }
        self.progress.note(&self.id, &self.local);
        Ok(())
    }
}
