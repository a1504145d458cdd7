//! One thread: reads its sources, runs its share of every operator, exchanges rows with the others.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use headwater_operators::{Progress, Timestamp};
use headwater_state::{Epoch, LocalState};

use crate::admission::Admission;
use crate::build::{Build, Deliver, Gate, Gauge};
use crate::graph::Node;
use crate::report::{Counts, Inbound, Prepared, Report};
use crate::source_task::{Polling, SourceTask};
use crate::{Error, Result};

/// An epoch is ended early at this many rows for the sinks of one worker.
const EPOCH_ROWS_MAX: usize = 250_000;
/// A worker with nothing to do looks up this often.
const LOOK_UP: Duration = Duration::from_millis(50);
/// A worker looks again this soon whether the others have caught up.
const BUSY_WAIT: Duration = Duration::from_millis(1);
/// And this soon whether the sources are held back no more, which may last as long as a server is down. Whose worker holds
/// them looks by itself.
const HELD_WAIT: Duration = Duration::from_millis(10);

/// What a worker is made from.
pub(crate) struct WorkerSeed {
    pub build: Build,
    pub inbox: Rc<Receiver<Inbound>>,
    pub batch_rows: usize,
    pub epoch_bytes_max: usize,
}

struct Worker {
    index: usize,
    inbox: Rc<Receiver<Inbound>>,
    reports: Sender<Report>,
    local: LocalState,
    gate: Rc<Gate>,
    sources: Vec<Box<dyn SourceTask>>,
    stages: HashMap<usize, Deliver>,
    gauges: Vec<Gauge>,
    admission: Arc<Admission>,
    batch_rows: usize,
    epoch_bytes_max: usize,
    next_source: usize,
    phase: Phase,
    pending: bool,
    told_end: bool,
    /// Messages of the next epoch, from workers that resumed before this one. What is under way bounds them.
    early: VecDeque<Inbound>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// A bound of the epoch is reached: waiting for its barrier.
    Full,
    /// The barrier is on its way to the sinks.
    Flushing(Epoch),
    /// Everything of the epoch is reported.
    Waiting,
    Over,
}

/// Builds a worker on this thread and runs it until it is told to stop. Never returns an error: it reports it.
pub(crate) fn run(nodes: &[Node], partitions: &[u32], seed: impl FnOnce() -> WorkerSeed) {
    let seed = seed();
    let reports = seed.build.reports.clone();
    let current = Rc::clone(&seed.build.current);
    // Open until the report is sent: who finds it closed goes on to say so, and must not be heard first.
    let inbox = Rc::clone(&seed.inbox);
    let result = catch_unwind(AssertUnwindSafe(|| Worker::build(nodes, partitions, seed)?.run()));
    let error = match result {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error,
        Err(panic) => panicked(nodes, &current, &*panic),
    };
    // Nobody is left to tell if the coordinator is gone.
    drop(reports.send(Report::Failed(error)));
    drop(inbox);
}

fn panicked(nodes: &[Node], current: &Cell<usize>, panic: &(dyn std::any::Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    let name = nodes.get(current.get()).map_or("?".into(), |node| format!("`{}` ({})", node.verb, node.id));
    Error::bug(format!("panic in {name}: {said}; nothing of the epoch was committed"))
}

impl Worker {
    fn build(nodes: &[Node], partitions: &[u32], seed: WorkerSeed) -> Result<Self> {
        let WorkerSeed { mut build, inbox, batch_rows, epoch_bytes_max } = seed;
        build.run(nodes, partitions)?;
        Ok(Self {
            index: build.worker,
            inbox,
            reports: build.reports,
            local: build.local,
            gate: build.gate,
            sources: build.sources,
            stages: build.stages,
            gauges: build.gauges,
            admission: build.admission,
            batch_rows,
            epoch_bytes_max,
            next_source: 0,
            // Not `Waiting`: the barrier that comes first must pass from worker to worker.
            phase: Phase::Full,
            pending: false,
            told_end: false,
            early: VecDeque::new(),
        })
    }

    fn run(mut self) -> Result<()> {
        for source in &mut self.sources {
            source.begin()?;
        }
        while self.phase != Phase::Over {
            self.receive_all()?;
            match self.phase {
                Phase::Running => self.go_on()?,
                Phase::Flushing(_) if self.flushed() => self.prepare()?,
                Phase::Full | Phase::Flushing(_) | Phase::Waiting => self.wait(LOOK_UP)?,
                Phase::Over => {}
            }
        }
        Ok(())
    }

    /// One round: pending work, then one source, then a look at the epoch's bounds.
    fn go_on(&mut self) -> Result<()> {
        self.work()?;
        let wait = self.poll()?;
        if self.is_full() {
            self.phase = Phase::Full;
            return self.report(Report::Full);
        }
        if self.gate.ends.get() == self.gate.sinks.get() && !self.told_end {
            self.told_end = true;
            self.report(Report::Ended)?;
        }
        match wait {
            Some(wait) if !self.pending => self.wait(wait.min(LOOK_UP)),
            _ => Ok(()),
        }
    }

    fn is_full(&self) -> bool {
        self.gate.rows.get() >= EPOCH_ROWS_MAX
            || self.local.changed_bytes() >= self.epoch_bytes_max
            || (self.local.pressure() && self.local.changed_bytes() > 0)
    }

    /// Every operator is reached from a source of the same worker: each worker has all sources, if without partitions.
    fn work(&mut self) -> Result<()> {
        self.pending = false;
        for source in &mut self.sources {
            self.pending |= source.work()? == Progress::Pending;
        }
        Ok(())
    }

    /// Polls sources in turn until one sends. How long there is nothing to do otherwise.
    fn poll(&mut self) -> Result<Option<Duration>> {
        if !self.admission.is_open() {
            return Ok(Some(if self.admission.is_held() { HELD_WAIT } else { BUSY_WAIT }));
        }
        let mut wait = LOOK_UP;
        for _ in 0..self.sources.len() {
            let at = self.next_source % self.sources.len();
            self.next_source = at + 1;
            match self.sources[at].poll(self.batch_rows)? {
                Polling::Sent => return Ok(None),
                Polling::Nothing(other) => wait = wait.min(other),
                Polling::Ended => {}
            }
        }
        Ok(Some(wait))
    }

    fn receive_all(&mut self) -> Result<()> {
        loop {
            match self.inbox.try_recv() {
                Ok(inbound) => self.receive(inbound)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {
                    self.phase = Phase::Over;
                    return Ok(());
                }
            }
            if self.phase == Phase::Over {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, wait: Duration) -> Result<()> {
        match self.inbox.recv_timeout(wait) {
            Ok(inbound) => self.receive(inbound),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                self.phase = Phase::Over;
                Ok(())
            }
        }
    }

    fn receive(&mut self, inbound: Inbound) -> Result<()> {
        match inbound {
            // A change made before the next epoch has begun here would count as one of the epoch that is committed.
            inbound @ Inbound::Message { .. } if self.phase == Phase::Waiting => {
                self.early.push_back(inbound);
                Ok(())
            }
            Inbound::Message { stage, from, message } => match self.stages.get_mut(&stage) {
                Some(deliver) => deliver(from, message),
                None => Err(Error::bug(format!("a message came for node {stage}, which has no exchange"))),
            },
            Inbound::Wake => Ok(()),
            Inbound::Tick(now) => self.sources.iter_mut().try_for_each(|source| source.tick(now)),
            Inbound::Barrier(epoch) => {
                self.phase = Phase::Flushing(epoch);
                self.sources.iter_mut().try_for_each(|source| source.barrier(epoch))
            }
            Inbound::Resume { committed, rotate } => {
                if committed {
                    self.local.begin_epoch();
                }
                if rotate {
                    self.local.shards().iter().try_for_each(|shard| self.local.begin_rotation(*shard))?;
                }
                self.gate.rows.set(0);
                self.phase = Phase::Running;
                std::mem::take(&mut self.early).into_iter().try_for_each(|message| self.receive(message))
            }
            Inbound::Shutdown => {
                self.phase = Phase::Over;
                Ok(())
            }
        }
    }

    fn flushed(&self) -> bool {
        self.gate.barriers.get() == self.gate.sinks.get()
    }

    fn prepare(&mut self) -> Result<()> {
        self.gate.barriers.set(0);
        let mut positions = Vec::new();
        let mut counts = Counts::default();
        for source in &self.sources {
            source.positions(&mut positions);
            source.count(&mut counts);
        }
        for gauge in &self.gauges {
            gauge(&mut counts);
        }
        counts.open_windows = self.local.gauges("open windows").iter().map(|(_, open)| *open as u64).sum();
        let watermarks = self.local.gauges("watermark").into_iter();
        counts.watermark = watermarks.map(|(operator, micros)| (Timestamp::from_micros(micros), operator)).min();
        self.phase = Phase::Waiting;
        self.report(Report::Prepared(Box::new(Prepared {
            worker: self.index,
            changes: self.local.finish_epoch()?,
            positions,
            counts,
            ended: self.gate.ends.get() == self.gate.sinks.get(),
            state_bytes: self.local.used_bytes(),
            pressure: self.local.pressure(),
            rotated: self.local.shards().iter().all(|shard| self.local.rotation(*shard).is_some_and(|of| of.complete)),
        })))
    }

    fn report(&self, report: Report) -> Result<()> {
        self.reports.send(report).map_err(|_| Error::unavailable("the coordinator has stopped"))
    }
}
