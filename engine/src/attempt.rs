//! One attempt to run a plan: opens everything at the last commit, starts the workers, drives epochs.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, channel};

use headwater_state::{Epoch, LocalOptions, LocalState, Shard, WriteBehind, WriteBehindOptions};

use crate::admission::Admission;
use crate::build::{Build, Gate};
use crate::commit_record::CommitRecord;
use crate::coordinator::{Coordinator, OpenSink};
use crate::graph::Role;
use crate::job_state::JobState;
use crate::letters::Signature;
use crate::outbox::Ownership;
use crate::plan::Plan;
use crate::report::{Inbound, Report};
use crate::rotation::Rotation;
use crate::run::Control;
use crate::sink::Transaction;
use crate::worker::{self, WorkerSeed};
use crate::{Error, Result, RunOptions, clock};

/// How the bytes of `--memory` are divided.
pub(crate) struct MemoryShares {
    /// Decoded values, over all workers.
    pub values: usize,
    /// Committed blocks that the tables do not have yet.
    pub lag: usize,
    /// Changes of one epoch, over all workers.
    pub epoch: usize,
    /// What brokers have sent before it was asked for, over all inputs.
    pub ahead: usize,
}

impl MemoryShares {
    pub fn of(memory_bytes: usize) -> Self {
        const MIB: usize = 1 << 20;
        Self {
            values: memory_bytes / 2,
            lag: (memory_bytes / 16).clamp(2 * MIB, 64 * MIB),
            epoch: (memory_bytes / 32).clamp(MIB, 32 * MIB),
            ahead: (memory_bytes / 16).clamp(2 * MIB, 64 * MIB),
        }
    }
}

/// Runs from the last commit until the inputs end or somebody stops it. How many epochs were committed.
pub(crate) fn run(plan: &Plan, options: &RunOptions, state: &JobState, control: &Control) -> Result<u64> {
    let last = state.level()?;
    let (epoch, mut record) = match last {
        None => (Epoch(0), CommitRecord::default()),
        Some((epoch, marker)) => (epoch, CommitRecord::read(&marker)?),
    };
    if record.incarnation.is_empty() {
        record.incarnation = format!("{:x}", clock::wall().as_micros());
    }
    let transaction = state.log.shared().map(|log| log.transaction());
    let sinks = open_sinks(plan, &record, transaction.as_ref(), state)?;
    let shares = MemoryShares::of(options.memory_bytes);
    let write_behind =
        WriteBehind::start(Arc::clone(&state.store), state.log.open(), WriteBehindOptions { lag_bytes: shares.lag })?;
    let (peers, inboxes): (Vec<_>, Vec<_>) = (0..options.workers.max(1)).map(|_| channel()).unzip();
    let (reports_in, reports) = channel();
    let crew = Crew { plan, options, state, epoch, record: &record, control, peers: &peers, reports: reports_in };
    std::thread::scope(|scope| {
        let started = crew.start(scope, inboxes);
        let coordinator = Coordinator {
            peers: peers.clone(),
            reports,
            sinks,
            write_behind,
            record: record.clone(),
            epoch,
            interval: options.commit_interval,
            control,
            recent: VecDeque::new(),
            written: BTreeMap::new(),
            settled: Vec::new(),
            lag: None,
            commits: 0,
            letters: plan.letters.clone(),
            rotation: state.log.shared().map(|log| Rotation::new(Arc::clone(log), options.changelog_bytes_min)),
        };
        let result = started.and_then(|()| coordinator.run());
        if let (Ok(_), Some(log)) = (&result, state.log.shared()) {
            log.settle();
        }
        for peer in &peers {
            // One that is gone needs no telling.
            drop(peer.send(Inbound::Shutdown));
        }
        result
    })
}

fn open_sinks(
    plan: &Plan,
    record: &CommitRecord,
    transaction: Option<&Transaction>,
    state: &JobState,
) -> Result<Vec<OpenSink>> {
    let mut sinks = Vec::new();
    for (node, step) in plan.nodes.iter().enumerate() {
        if let Role::Outbox(role) = &step.role {
            let shared = state.log.shared().map(|log| Ownership::Shared(Arc::clone(log)));
            let committer = (role.open)(shared.unwrap_or(Ownership::Exclusive))?;
            sinks.push(OpenSink { topic: role.id.clone(), node, committer });
        }
        if let Role::Sink(role) = &step.role {
            let committed = record.sinks.get(&role.topic).map(String::as_str);
            let opened = (role.open)(committed, transaction);
            let committer = opened.map_err(|error| error.within(format!("open {}", role.topic)))?;
            sinks.push(OpenSink { topic: role.topic.clone(), node, committer });
        }
    }
    Ok(sinks)
}

/// Everything that workers are started with.
struct Crew<'a> {
    plan: &'a Plan,
    options: &'a RunOptions,
    state: &'a JobState,
    epoch: Epoch,
    record: &'a CommitRecord,
    control: &'a Control,
    peers: &'a [Sender<Inbound>],
    reports: Sender<Report>,
}

impl<'a> Crew<'a> {
    fn signature(&self) -> Signature {
        let instance = self.state.log.shared().and_then(|log| log.instance());
        Signature {
            job: self.plan.job.clone(),
            incarnation: self.record.incarnation.clone(),
            instance: instance.or(self.options.instance.clone()),
            version: self.plan.version.clone(),
        }
    }

    /// Starts a thread per inbox.
    fn start<'scope>(
        self,
        scope: &'scope std::thread::Scope<'scope, 'a>,
        inboxes: Vec<Receiver<Inbound>>,
    ) -> Result<()> {
        let positions: Arc<HashMap<String, String>> = Arc::new(self.record.positions.clone().into_iter().collect());
        let admission = Arc::new(Admission::default());
        let plan = self.plan;
        let signature = Arc::new(self.signature());
        let open_inputs = Arc::new(AtomicUsize::new(plan.input_partitions));
        for (worker, inbox) in inboxes.into_iter().enumerate() {
            let parts = (Arc::clone(&positions), Arc::clone(&admission), Arc::clone(&self.state.store));
            let (signature, open_inputs) = (Arc::clone(&signature), Arc::clone(&open_inputs));
            let reports = self.reports.clone();
            let (peers, options, record, board) =
                (self.peers.to_vec(), self.options.clone(), self.record.clone(), Arc::clone(&self.control.progress));
            let (epoch, shards, job) = (self.epoch, self.state.shards, plan.job.clone());
            let seed = move || {
                let shares = MemoryShares::of(options.memory_bytes);
                let workers = peers.len();
                let owned = (0..shards).filter(|shard| owner(*shard, workers) == worker).map(Shard).collect();
                let local = LocalOptions { shards, owned, committed: epoch, memory_bytes: shares.values / workers };
                let build = Build {
                    worker,
                    workers,
                    local: LocalState::new(parts.2, local, record.notes),
                    peers,
                    reports,
                    board,
                    admission: parts.1,
                    signature,
                    open_inputs,
                    idle_after: options.idle_after,
                    positions: parts.0,
                    ended_before: record.ended,
                    job,
                    delivers: options.delivers(),
                    node: 0,
                    node_id: String::new(),
                    first_partition: 0,
                    gate: Rc::new(Gate::default()),
                    sources: Vec::new(),
                    stages: HashMap::new(),
                    gauges: Vec::new(),
                    current: Rc::new(Cell::new(0)),
                };
                let epoch_bytes_max = shares.epoch / workers;
                WorkerSeed { build, inbox: Rc::new(inbox), batch_rows: options.batch_rows, epoch_bytes_max }
            };
            std::thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn_scoped(scope, move || worker::run(&plan.nodes, &plan.first_partitions, seed))
                .map_err(|error| Error::unavailable("start a worker thread").caused_by(error))?;
        }
        Ok(())
    }
}

/// The worker that owns a shard.
pub(crate) fn owner(shard: u16, workers: usize) -> usize {
    usize::from(shard) % workers
}
