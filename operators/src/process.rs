//! State and timers per key, in the user's hands.

mod turn;

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_state::{
    Epoch, Error, Key, LocalState, Lookup, Namespace, Note, Result, SlotId, State, Table, TableSpec,
};

use crate::flat_map::BATCH_ROWS_MAX;
use crate::timers::{self, Timers};
use crate::{Batch, Credit, Keying, Message, Operator, Output, Progress, Records, Timestamp};
pub use turn::{Clock, StepFns, Steps, Turn};
use turn::{Request, Step};

/// How many timers fire in one piece.
const TIMERS_MAX: usize = 1024;

/// State and timers per key, in the user's hands: for what no other operator does. Timers fire in the order of their
/// times within a worker, a bounded number at a time; one that is set when others are due already may come after them.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use headwater_operators::{Clock, KeyByRef, Process, StepFns, Timestamp, Turn, harness::Harness};
///
/// // Tells of every sensor that was silent for a minute.
/// let silence = Process::new(
///     "silence",
///     Arc::new(KeyByRef::new(|sensor: &String| sensor)),
///     Arc::new(StepFns::new(
///         |turn: &mut Turn<'_, String, Timestamp, String>, _: &String| {
///             let alarm = turn.time().plus(Duration::from_secs(60));
///             if let Some(last) = turn.state_mut().replace(alarm) {
///                 turn.cancel_timer(Clock::Event, last);
///             }
///             turn.set_timer(Clock::Event, alarm);
///             Ok(())
///         },
///         |turn: &mut Turn<'_, String, Timestamp, String>, time, _| {
///             *turn.state_mut() = None;
///             let alarm = format!("{} was silent until {time}", turn.key());
///             turn.emit(alarm);
///             Ok(())
///         },
///     )),
/// );
/// let mut harness = Harness::of(move |local| silence.open(local))?;
/// let at = Timestamp::from_seconds;
/// harness.timed([(at(0), "door".to_owned()), (at(0), "roof".to_owned()), (at(50), "door".to_owned())])?;
/// harness.watermark(at(70))?;
/// assert_eq!(harness.take(), ["roof was silent until 1970-01-01T00:01:00Z"]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct Process<G, P> {
    id: String,
    keying: Arc<G>,
    steps: Arc<P>,
}

impl<G, P> Clone for Process<G, P> {
    fn clone(&self) -> Self {
        Self { id: self.id.clone(), keying: Arc::clone(&self.keying), steps: Arc::clone(&self.steps) }
    }
}

impl<G, P> Process<G, P> {
    /// A process with the id that its tables are named after.
    pub fn new(id: impl Into<String>, keying: Arc<G>, steps: Arc<P>) -> Self {
        Self { id: id.into(), keying, steps }
    }

    /// The tables that it keeps.
    pub fn tables<R>(&self) -> Vec<TableSpec>
    where
        R: Records,
        G: Keying<R>,
        P: Steps<R, G::Key>,
    {
        let states = self.states::<G::Key, P::State>().spec();
        vec![states, timers::spec::<G::Key>(self.timers("event")), timers::spec::<G::Key>(self.timers("wall"))]
    }

    /// Opens it on a worker's state, where the last commit left it.
    ///
    /// # Errors
    /// `Corrupt` where notes or stored timers cannot be read, the store's errors.
    pub fn open<R>(&self, local: &LocalState) -> Result<impl Operator<R, Vec<P::Output>> + use<R, G, P>>
    where
        R: Records,
        G: Keying<R>,
        P: Steps<R, G::Key>,
    {
        let mut step = Step {
            watermark: Timestamp::MIN,
            reached: Timestamp::MIN,
            now: Timestamp::MIN,
            emitted: Vec::new(),
            times: Vec::new(),
            requests: Vec::new(),
        };
        // Shards may come from workers that stood at different times: none goes back.
        for note in local.restored(&self.id) {
            let (watermark, now, reached) = times_of(note)?;
            step.watermark = step.watermark.max(watermark);
            step.reached = step.reached.max(reached);
            step.now = step.now.max(now);
        }
        let seen = step.now;
        Ok(Open::<R, G, P> {
            process: self.clone(),
            local: local.clone(),
            states: local.open(self.states::<G::Key, P::State>()),
            event: Timers::open(self.timers("event"), local)?,
            wall: Timers::open(self.timers("wall"), local)?,
            step,
            slots: Vec::new(),
            busy: true,
            ended: false,
            seen,
        })
    }

    fn states<K, S>(&self) -> Table<K, S> {
        Table::named(format!("{}/states", self.id))
    }

    fn timers(&self, clock: &str) -> String {
        format!("{}/{clock}-timers", self.id)
    }
}

/// The watermark, the clock, and how far event time came, which older notes do not have.
fn times_of(note: &Note) -> Result<(Timestamp, Timestamp, Timestamp)> {
    let mut times = note.text.split(' ').map_while(|micros| micros.parse().ok().map(Timestamp::from_micros));
    match (times.next(), times.next()) {
        (Some(watermark), Some(now)) => Ok((watermark, now, times.next().unwrap_or_else(|| before_end(watermark)))),
        _ => Err(Error::corrupt(format!("note of {} on {} cannot be read: {}", note.operator, note.scope, note.text))),
    }
}

/// How far event time is at `watermark`, as far as it tells.
fn before_end(watermark: Timestamp) -> Timestamp {
    if watermark == Timestamp::MAX { Timestamp::MIN } else { watermark }
}

/// A process on one worker's state.
struct Open<R: Records, G: Keying<R>, P: Steps<R, G::Key>> {
    process: Process<G, P>,
    local: LocalState,
    states: State<G::Key, P::State>,
    event: Timers<G::Key>,
    wall: Timers<G::Key>,
    step: Step<G::Key, P::Output>,
    slots: Vec<SlotId>,
    /// Whether timers may be due.
    busy: bool,
    /// Whether nothing more comes.
    ended: bool,
    /// The wall clock that steps have seen: what it came to since then need not be remembered.
    seen: Timestamp,
}

impl<R, G, P> Open<R, G, P>
where
    R: Records,
    G: Keying<R>,
    P: Steps<R, G::Key>,
{
    fn maintain(&mut self) {
        self.states.maintain();
        self.event.maintain();
        self.wall.maintain();
    }

    /// Sets and cancels what steps asked for.
    fn apply_requests(&mut self) -> Result<()> {
        for (request, clock, key, time) in std::mem::take(&mut self.step.requests) {
            let timers = match clock {
                Clock::Event => &mut self.event,
                Clock::Wall => &mut self.wall,
            };
            match request {
                Request::Set => timers.set(&key, time)?,
                Request::Cancel => timers.cancel(&key, time).map(|_| ())?,
            }
            self.busy = true;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Output<Vec<P::Output>>, credit: &Credit) -> Result<()> {
        if self.step.times.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(std::mem::take(&mut self.step.emitted), std::mem::take(&mut self.step.times));
        batch.credit = credit.clone();
        out.send(Message::Batch(batch))
    }

    /// Fires a bounded number of timers.
    fn piece(&mut self, out: &mut dyn Output<Vec<P::Output>>) -> Result<Progress> {
        self.maintain();
        let due = match self.event.due(self.step.watermark, TIMERS_MAX)? {
            Some(due) => Some((Clock::Event, due)),
            None => self.wall.due(self.step.now, TIMERS_MAX)?.map(|due| (Clock::Wall, due)),
        };
        let Some((clock, due)) = due else {
            self.busy = false;
            return Ok(Progress::Done);
        };
        self.seen = self.step.now;
        let (times, keys): (VecDeque<_>, Vec<_>) = due.into_iter().unzip();
        // One read for all; each is found in memory afterwards.
        let lookups = (0..).zip(&keys).map(|(row, key)| lookup(row, key.hash64()));
        self.states.locate(lookups, keys.as_slice(), &mut self.slots)?;
        let slots = std::mem::take(&mut self.slots);
        for ((key, time), &slot) in keys.iter().zip(times).zip(&slots) {
            self.fire(clock, key, time, slot)?;
            if self.step.times.len() >= BATCH_ROWS_MAX {
                self.flush(out, &Credit::default())?;
            }
        }
        self.slots = slots;
        self.flush(out, &Credit::default())?;
        Ok(Progress::Pending)
    }

    fn fire(&mut self, clock: Clock, key: &G::Key, time: Timestamp, slot: SlotId) -> Result<()> {
        let timers = match clock {
            Clock::Event => &mut self.event,
            Clock::Wall => &mut self.wall,
        };
        // A timer that fired before it may have taken it back.
        if !timers.cancel(key, time)? {
            return Ok(());
        }
        let mut turn = Turn { key, time, slot, states: &mut self.states, step: &mut self.step };
        self.process.steps.on_timer(&mut turn, time, clock)?;
        self.apply_requests()
    }
}

fn lookup(row: u32, hash: u64) -> Lookup {
    Lookup { row, namespace: Namespace::NONE, hash }
}

impl<R, G, P> Operator<R, Vec<P::Output>> for Open<R, G, P>
where
    R: Records,
    G: Keying<R>,
    P: Steps<R, G::Key>,
{
    fn process(&mut self, mut batch: Batch<R>, out: &mut dyn Output<Vec<P::Output>>) -> Result<()> {
        self.maintain();
        self.seen = self.step.now;
        if batch.hashes.len() != batch.len() {
            batch.hashes.clear();
            self.process.keying.hashes(&batch.records, &mut batch.hashes)?;
        }
        let keying = Arc::clone(&self.process.keying);
        let keys = keying.keys(&batch.records)?;
        let lookups = (0..).zip(&batch.hashes).map(|(row, &hash)| lookup(row, hash));
        self.states.locate(lookups, &keys, &mut self.slots)?;
        let slots = std::mem::take(&mut self.slots);
        for (row, (&slot, &time)) in slots.iter().zip(&batch.times).enumerate() {
            let key = self.states.key(slot).clone();
            let mut turn = Turn { key: &key, time, slot, states: &mut self.states, step: &mut self.step };
            self.process.steps.on_record(&mut turn, &batch.records, row)?;
            if self.step.times.len() >= BATCH_ROWS_MAX {
                self.flush(out, &batch.credit)?;
            }
        }
        self.slots = slots;
        self.flush(out, &batch.credit)?;
        self.apply_requests()
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Output<Vec<P::Output>>) -> Result<Progress> {
        self.step.watermark = self.step.watermark.max(watermark);
        self.step.reached = self.step.reached.max(before_end(watermark));
        self.piece(out)
    }

    fn tick(&mut self, now: Timestamp, out: &mut dyn Output<Vec<P::Output>>) -> Result<Progress> {
        // The clock goes on after the end, for those who deliver; nothing may follow the end.
        if !self.ended {
            self.step.now = self.step.now.max(now);
        }
        self.piece(out)
    }

    /// Timers of event time fire at the end, whether or not rows have times.
    fn end(&mut self, out: &mut dyn Output<Vec<P::Output>>) -> Result<Progress> {
        self.ended = true;
        self.advance(Timestamp::MAX, out)
    }

    fn work(&mut self, out: &mut dyn Output<Vec<P::Output>>) -> Result<Progress> {
        self.piece(out)
    }

    fn pending(&self) -> Progress {
        if self.busy { Progress::Pending } else { Progress::Done }
    }

    fn checkpoint(&mut self, _: Epoch) -> Result<()> {
        self.states.checkpoint()?;
        self.event.checkpoint()?;
        self.wall.checkpoint()?;
        let times = [self.step.watermark, self.seen, self.step.reached].map(|time| time.as_micros().to_string());
        let text = times.join(" ");
        for shard in self.local.shards() {
            let (operator, scope) = (self.process.id.clone(), format!("shard {shard}"));
            self.local.note(Note { operator, scope, text: text.clone() });
        }
        Ok(())
    }
}
