//! The state of a job, open: on this machine alone, or following a log that several instances share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_state::{BlockLog, Epoch, MemoryStore, ReplayLog, Store, recover};

#[cfg(feature = "kafka")]
use crate::kafka::{Changelog, Kafka, Local, Session, Wanted};
use crate::plan::Plan;
use crate::run::Control;
use crate::sink::Transaction;
use crate::state_dir::StateDir;
use crate::{Result, RunOptions};

/// A log in front of which several instances stand, and one at a time writes.
pub(crate) trait SharedLog: BlockLog {
    /// What outputs are written into: they become visible with the commit.
    fn transaction(&self) -> Transaction;

    /// The name of this process among those of the job.
    fn instance(&self) -> Option<String>;

    /// That this process is still the one that writes.
    ///
    /// # Errors
    /// `Fenced` where it is not.
    fn check(&self) -> Result<()>;

    /// For how long after a commit was begun this process surely is: half of the time after which another takes over.
    fn owned_for(&self) -> Duration;

    /// Whether a commit is due although nothing has changed.
    fn is_due(&self) -> bool;

    /// Remembers where the log ends: once a rotation that begins now is complete, what follows is enough.
    fn begin_rotation(&self);

    /// Shortens the log to where the complete rotation began.
    fn end_rotation(&self);

    /// Bytes that were appended since the last complete rotation began.
    fn bytes(&self) -> u64;

    /// Waits until outputs can be read as far as they are committed, but not for long: for the end of a job.
    fn settle(&self);
}

/// Where a job's commits are.
pub(crate) enum Log {
    /// On this machine alone.
    Own(Arc<dyn ReplayLog>),
    /// Where other instances follow it.
    #[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "only Kafka shares"))]
    Shared(Arc<dyn SharedLog>),
}

impl Log {
    /// What commits are appended to.
    pub fn open(&self) -> Arc<dyn BlockLog> {
        match self {
            Self::Own(log) => Arc::clone(log) as Arc<dyn BlockLog>,
            Self::Shared(log) => Arc::clone(log) as Arc<dyn BlockLog>,
        }
    }

    pub fn shared(&self) -> Option<&Arc<dyn SharedLog>> {
        if let Self::Shared(log) = self { Some(log) } else { None }
    }
}

/// The state of a job, open.
pub(crate) struct JobState {
    pub store: Arc<dyn Store>,
    pub log: Log,
    pub shards: u16,
    /// Keeps other processes out while it lives.
    _dir: Option<StateDir>,
}

/// What lives through all attempts of a run.
#[derive(Default)]
pub(crate) struct Membership {
    #[cfg(feature = "kafka")]
    session: Option<Arc<Session>>,
    /// Old state and outputs are out of the way, if the job is to start over.
    moved_aside: bool,
    /// The state was open: a job that was to start over has done so.
    begun: bool,
}

impl Membership {
    /// Whether an attempt that fails is to be followed by another one.
    pub fn has_begun(&self) -> bool {
        #[cfg(feature = "kafka")]
        let is_member = self.session.is_some();
        #[cfg(not(feature = "kafka"))]
        let is_member = false;
        self.begun || is_member
    }

    /// The session of all attempts, or the next one where the last is over.
    #[cfg(feature = "kafka")]
    fn session(
        &mut self,
        kafka: &Kafka,
        plan: &Plan,
        options: &RunOptions,
        dir: Option<&StateDir>,
    ) -> Result<Arc<Session>> {
        let instance = match (&self.session, &options.instance, dir) {
            (Some(session), _, _) if !session.is_over() => return Ok(Arc::clone(session)),
            (Some(another), _, _) => another.instance().to_owned(),
            (None, Some(instance), _) => instance.clone(),
            (None, None, Some(dir)) => dir.instance()?,
            (None, None, None) => crate::state_dir::new_id()?,
        };
        let session = Session::start(kafka, plan, options, &instance, self.session.as_deref())?;
        Ok(Arc::clone(self.session.insert(Arc::new(session))))
    }

    /// Leaves the work to another instance, where there is one.
    ///
    /// # Errors
    /// As brokers answer.
    pub fn step_aside(&self, control: &Control) -> Result<()> {
        #[cfg(feature = "kafka")]
        if let Some(session) = self.session.as_ref().filter(|session| !session.is_over()) {
            return session.step_aside(control);
        }
        // Nobody else is there where state is this machine's alone.
        let _ = control;
        Ok(())
    }

    /// The directory at `path`, a new one where the job is to start over.
    fn directory(&mut self, path: &Path, plan: &Plan, options: &RunOptions) -> Result<StateDir> {
        if options.fresh && !self.moved_aside {
            let dir = StateDir::begin_afresh(path, plan)?;
            self.moved_aside = true;
            return Ok(dir);
        }
        StateDir::lock(path)
    }
}

impl JobState {
    /// Opens the state, or begins a new one, as the options say. `None` where it was asked to stop before it was open.
    pub fn open(
        plan: &Plan,
        options: &RunOptions,
        control: &Control,
        membership: &mut Membership,
    ) -> Result<Option<Self>> {
        #[cfg(feature = "kafka")]
        if options.transactions.is_some() {
            return Self::open_shared(plan, options, control, membership);
        }
        // Nobody else is asked where state is this machine's alone.
        let _ = control;
        let Some(path) = &options.state else {
            let store = MemoryStore::default();
            let (log, shards) = (Log::Own(Arc::new(store.clone())), options.shards);
            return Ok(Some(Self { store: Arc::new(store), log, shards, _dir: None }));
        };
        let dir = membership.directory(path, plan, options)?;
        let (store, shards) = dir.open_store(plan, options)?;
        let store = Arc::new(store);
        Ok(Some(Self { store: store.clone(), log: Log::Own(store), shards, _dir: Some(dir) }))
    }

    #[cfg(feature = "kafka")]
    fn open_shared(
        plan: &Plan,
        options: &RunOptions,
        control: &Control,
        membership: &mut Membership,
    ) -> Result<Option<Self>> {
        let Some(kafka) = &options.transactions else { return Ok(None) };
        let dir = match &options.state {
            Some(path) => Some(membership.directory(path, plan, options)?),
            None => None,
        };
        let session = membership.session(kafka, plan, options, dir.as_ref())?;
        let fresh = options.fresh && !membership.begun;
        if fresh {
            session.remember_newest()?;
        }
        let mut tables = None;
        let store: Arc<dyn Store> = match &dir {
            Some(dir) => {
                let rocks = Arc::new(dir.open_following(plan, options, &session)?);
                tables = Some(Arc::clone(&rocks));
                rocks
            }
            None => Arc::new(MemoryStore::default()),
        };
        let local = Local { store: Arc::clone(&store), directory: dir.as_ref().map(StateDir::path) };
        let wanted = Wanted { plan, fresh, drop_tables: &options.drop_tables };
        let Some(term) = session.stand_by(&local, &wanted, control)? else { return Ok(None) };
        let log = match Changelog::open(&session, term, &local, &wanted, control) {
            Ok(log) => Arc::new(log),
            // Whatever kept it from opening is of no concern to one that is to end.
            Err(error) if error.kind() == crate::Kind::Unavailable && control.stopping() => {
                tracing::info!(%error, "not opened");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // The log may hold changes of a table that was dropped since.
        if let Some(tables) = tables {
            let known = plan.tables();
            tables
                .tables()
                .iter()
                .filter(|table| !known.contains(table))
                .try_for_each(|table| tables.drop_table(table))?;
        }
        if let Some(dir) = &dir {
            dir.belongs_to(plan, log.job_id(), session.shards())?;
        }
        Ok(Some(Self { store, log: Log::Shared(log), shards: session.shards(), _dir: dir }))
    }

    /// The state in `open`, opened again where an attempt that failed has closed it.
    pub fn again<'a>(
        open: &'a mut Option<Self>,
        plan: &Plan,
        options: &RunOptions,
        control: &Control,
        membership: &mut Membership,
    ) -> Result<Option<&'a Self>> {
        let state = match open.take() {
            Some(state) => Some(state),
            None => Self::open(plan, options, control, membership)?,
        };
        membership.begun |= state.is_some();
        Ok(match state {
            Some(state) => Some(open.insert(state)),
            None => None,
        })
    }

    /// Brings the tables level with the log, and gives the last commit. A log that is shared was followed already.
    pub fn level(&self) -> Result<Option<(Epoch, Vec<u8>)>> {
        match &self.log {
            Log::Own(log) => recover(&*self.store, &**log),
            Log::Shared(log) => log.last(),
        }
    }
}
