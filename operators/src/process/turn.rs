//! What a process does with a row and a timer, and what it may touch meanwhile.

use std::marker::PhantomData;

use headwater_state::{Key, Result, SlotId, State, Value};

use crate::{Records, Timestamp};

/// Which time a timer goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The watermark.
    Event,
    /// The wall clock, as ticks tell it.
    Wall,
}

impl Clock {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event time",
            Self::Wall => "wall clock",
        }
    }
}

/// What [`Process`](crate::Process) does with a row and with a timer. [`StepFns`] makes it of two closures.
pub trait Steps<R: Records, K>: Send + Sync + 'static {
    /// What is kept per key.
    type State: Value;
    /// What is emitted.
    type Output: Send + 'static;

    /// Handles a row.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn on_record(&self, turn: &mut Turn<'_, K, Self::State, Self::Output>, records: &R, row: usize) -> Result<()>;

    /// Handles a timer. It is no longer set.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn on_timer(&self, turn: &mut Turn<'_, K, Self::State, Self::Output>, time: Timestamp, clock: Clock) -> Result<()>;
}

/// [`Steps`] of two closures: `Fn(&mut Turn<K, S, O>, &T)` for rows and `Fn(&mut Turn<K, S, O>, Timestamp, Clock)` for
/// timers.
pub struct StepFns<S, O, F, G> {
    on_record: F,
    on_timer: G,
    types: PhantomData<fn() -> (S, O)>,
}

impl<S, O, F, G> StepFns<S, O, F, G> {
    /// Steps of two closures.
    pub fn new<T, K>(on_record: F, on_timer: G) -> Self
    where
        F: Fn(&mut Turn<'_, K, S, O>, &T) -> Result<()>,
        G: Fn(&mut Turn<'_, K, S, O>, Timestamp, Clock) -> Result<()>,
    {
        Self { on_record, on_timer, types: PhantomData }
    }
}

impl<T, K, S, O, F, G> Steps<Vec<T>, K> for StepFns<S, O, F, G>
where
    T: Send + 'static,
    K: Key,
    S: Value,
    O: Send + 'static,
    F: Fn(&mut Turn<'_, K, S, O>, &T) -> Result<()> + Send + Sync + 'static,
    G: Fn(&mut Turn<'_, K, S, O>, Timestamp, Clock) -> Result<()> + Send + Sync + 'static,
{
    type State = S;
    type Output = O;

    fn on_record(&self, turn: &mut Turn<'_, K, S, O>, records: &Vec<T>, row: usize) -> Result<()> {
        (self.on_record)(turn, &records[row])
    }

    fn on_timer(&self, turn: &mut Turn<'_, K, S, O>, time: Timestamp, clock: Clock) -> Result<()> {
        (self.on_timer)(turn, time, clock)
    }
}

/// What one step may touch: its key's state and timers, and the output.
pub struct Turn<'a, K, S, O> {
    pub(super) key: &'a K,
    pub(super) time: Timestamp,
    pub(super) slot: SlotId,
    pub(super) states: &'a mut State<K, S>,
    pub(super) step: &'a mut Step<K, O>,
}

/// What steps leave behind.
pub(super) struct Step<K, O> {
    pub watermark: Timestamp,
    /// The last watermark but that of the end.
    pub reached: Timestamp,
    pub now: Timestamp,
    pub emitted: Vec<O>,
    pub times: Vec<Timestamp>,
    pub requests: Vec<(Request, Clock, K, Timestamp)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Set,
    Cancel,
}

impl<K: Key, S: Value, O> Turn<'_, K, S, O> {
    /// The key.
    pub fn key(&self) -> &K {
        self.key
    }

    /// The row's event time, or the timer's time.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// How far the watermark is.
    pub fn watermark(&self) -> Timestamp {
        self.step.watermark
    }

    /// How far event time has come: the watermark, but for that of the input's end. A timer of [`Clock::Event`] beyond
    /// it fires because nothing more will come, not because its time has.
    pub fn reached(&self) -> Timestamp {
        self.step.reached
    }

    /// What the wall clock said last.
    pub fn now(&self) -> Timestamp {
        self.step.now
    }

    /// The key's state.
    pub fn state(&self) -> Option<&S> {
        self.states.value(self.slot)
    }

    /// The key's state, to be changed. `None` removes it.
    pub fn state_mut(&mut self) -> &mut Option<S> {
        self.states.change(self.slot)
    }

    /// How far a clock is, the end of the input not counted.
    pub(crate) fn reached_by(&self, clock: Clock) -> Timestamp {
        match clock {
            Clock::Event => self.reached(),
            Clock::Wall => self.now(),
        }
    }

    /// Takes the key's state out. Where there is none, nothing has changed.
    pub(crate) fn take(&mut self) -> Option<S> {
        if self.state().is_some() { self.state_mut().take() } else { None }
    }

    /// Emits a record, at the time of this step.
    pub fn emit(&mut self, record: O) {
        self.step.emitted.push(record);
        self.step.times.push(self.time);
    }

    /// Sets a timer for this key, unless it is set. One that is due already fires after the rows at hand.
    pub fn set_timer(&mut self, clock: Clock, time: Timestamp) {
        self.step.requests.push((Request::Set, clock, self.key.clone(), time));
    }

    /// Takes a timer of this key back.
    pub fn cancel_timer(&mut self, clock: Clock, time: Timestamp) {
        self.step.requests.push((Request::Cancel, clock, self.key.clone(), time));
    }
}
