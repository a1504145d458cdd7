//! A store that fails when it is told to, for tests.

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use crate::{BlockLog, Bulk, Commit, Epoch, Error, ReplayLog, Result, Store};

/// A call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Store::multi_get`].
    MultiGet,
    /// [`Store::scan`].
    Scan,
    /// [`Store::apply`].
    Apply,
    /// [`BlockLog::append`].
    Append,
    /// [`ReplayLog::read`].
    Read,
    /// [`BlockLog::last`].
    Last,
    /// [`BlockLog::trim`].
    Trim,
}

/// How much of the failing call is done before it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing.
    Nothing,
    /// Half of a bulk's tables or of a log's commits; nothing of what has no halves. The position stays.
    Half,
    /// All of a bulk's tables but not the position; everything of other calls, whose caller cannot tell.
    All,
}

/// One failure to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which call fails.
    pub call: Call,
    /// At which of those calls, counted from 1.
    pub nth: usize,
    /// How far it gets.
    pub done: Done,
}

/// Wraps a store and fails with `Unavailable`, once per [`Fault`]. **For tests.**
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    /// Faults to come, whose `nth` counts down.
    faults: Mutex<Vec<Fault>>,
}

impl<S> Faulty<S> {
    /// A store that works as `inner` does until faults are added.
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Mutex::default() }
    }

    /// Adds a failure; its calls are counted from now on.
    pub fn fail(&self, fault: Fault) {
        assert!(fault.nth > 0, "calls are counted from 1");
        self.faults().push(fault);
    }

    /// How many failures have not come yet.
    pub fn pending(&self) -> usize {
        self.faults().len()
    }

    /// The store that it wraps.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The store that it wraps, as after a restart.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, Vec<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says how far it gets if it is to fail.
    fn due(&self, call: Call) -> Option<Done> {
        let mut faults = self.faults();
        for fault in faults.iter_mut().filter(|fault| fault.call == call) {
            fault.nth -= 1;
        }
        let done = faults.iter().find(|fault| fault.nth == 0).map(|fault| fault.done);
        // Two that were due at one call are one failure.
        faults.retain(|fault| fault.nth > 0);
        done
    }
}

fn failed(call: Call) -> Error {
    Error::unavailable(format!("a fault was asked for: {call:?}"))
}

impl<S: Store> Store for Faulty<S> {
    fn multi_get(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        match self.due(Call::MultiGet) {
            None => self.inner.multi_get(table, keys),
            Some(_) => Err(failed(Call::MultiGet)),
        }
    }

    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let due = self.due(Call::Scan);
        if matches!(due, None | Some(Done::All)) {
            self.inner.scan(table, from, to, visit)?;
        }
        due.map_or(Ok(()), |_| Err(failed(Call::Scan)))
    }

    fn durable(&self) -> Epoch {
        self.inner.durable()
    }

    fn apply(&self, bulk: &Bulk) -> Result<()> {
        let tables = match self.due(Call::Apply) {
            None => return self.inner.apply(bulk),
            Some(Done::Nothing) => 0,
            Some(Done::Half) => bulk.tables.len().div_ceil(2),
            Some(Done::All) => bulk.tables.len(),
        };
        // A bulk that ends where the tables already are does not move the position.
        let tables = bulk.tables.iter().take(tables).cloned().collect();
        self.inner.apply(&Bulk { epoch: self.inner.durable(), tables })?;
        Err(failed(Call::Apply))
    }

    fn tidies(&self, tidies: bool) -> Result<()> {
        self.inner.tidies(tidies)
    }
}

impl<S: BlockLog> BlockLog for Faulty<S> {
    fn append(&self, commit: &Commit) -> Result<()> {
        let due = self.due(Call::Append);
        if matches!(due, None | Some(Done::All)) {
            self.inner.append(commit)?;
        }
        due.map_or(Ok(()), |_| Err(failed(Call::Append)))
    }

    fn last(&self) -> Result<Option<(Epoch, Vec<u8>)>> {
        match self.due(Call::Last) {
            None => self.inner.last(),
            Some(_) => Err(failed(Call::Last)),
        }
    }

    fn trim(&self, epoch: Epoch) -> Result<()> {
        let due = self.due(Call::Trim);
        if matches!(due, None | Some(Done::All)) {
            self.inner.trim(epoch)?;
        }
        due.map_or(Ok(()), |_| Err(failed(Call::Trim)))
    }
}

impl<S: ReplayLog> ReplayLog for Faulty<S> {
    fn read(&self, after: Epoch, visit: &mut dyn FnMut(Commit) -> Result<()>) -> Result<()> {
        let Some(done) = self.due(Call::Read) else { return self.inner.read(after, visit) };
        let mut commits = Vec::new();
        self.inner.read(after, &mut |commit| {
            commits.push(commit);
            Ok(())
        })?;
        let visited = match done {
            Done::Nothing => 0,
            Done::Half => commits.len() / 2,
            Done::All => commits.len(),
        };
        commits.into_iter().take(visited).try_for_each(visit)?;
        Err(failed(Call::Read))
    }
}
