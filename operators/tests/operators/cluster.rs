//! Several workers in one thread: sources, an exchange, merges and window aggregates, stepped in an order that a seed
//! decides, with commits and crashes in between.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headwater_operators::harness::{Collected, collector};
use headwater_operators::{
    Activity, Aggregate, Batch, Chain, Counter, EventTime, Exchange, Fork, KeyBy, Late, LateRows, Lateness, Merge,
    MergeInput, Message, Origin, Output, Pane, Progress, Result, SideOutput, Timestamp, Trigger, Tumbling,
    WindowAggregate,
};
use headwater_state::{BlockLog, Commit, Epoch, LocalOptions, LocalState, MemoryStore, Note, Shard, Store, recover};
use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    pub key: u32,
    /// Seconds.
    pub at: i64,
    pub amount: i64,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.key, self.at, self.amount)
    }
}

/// What a run is made of, the rows and the aggregate apart.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub batch_rows: usize,
    pub shards: u16,
    /// How many workers there are, before the first crash, after it, and so on.
    pub workers: Vec<usize>,
    pub crashes: usize,
    pub memory_bytes: usize,
    /// Seconds, all three.
    pub lateness: u64,
    pub window: u64,
    pub allowed: u64,
    /// A commit comes after about this many steps.
    pub commit_steps: u64,
}

pub type Keys = KeyBy<Row, fn(&Row) -> u32>;
pub type Definition<A, T> = WindowAggregate<Keys, A, T>;
type Rows = Vec<Row>;
type Out<A> = Pane<u32, <A as Aggregate<Rows>>::Output>;
type Queue = Rc<RefCell<VecDeque<Message<Rows>>>>;

/// One way from one worker to another.
struct Port(Queue);

impl Output<Rows> for Port {
    fn send(&mut self, message: Message<Rows>) -> Result<()> {
        self.0.borrow_mut().push_back(message);
        Ok(())
    }

    fn work(&mut self) -> Result<Progress> {
        Ok(Progress::Done)
    }
}

struct Worker<V> {
    local: LocalState,
    source: Box<dyn Output<Rows>>,
    inputs: Vec<MergeInput<Rows>>,
    /// By the worker they come from.
    queues: Vec<Queue>,
    panes: Collected<Vec<Pane<u32, V>>>,
    late: Collected<Vec<Late<Row>>>,
    ended: bool,
}

pub struct Cluster<'a, A: Aggregate<Rows>, T> {
    plan: &'a Plan,
    /// The rows of each source partition.
    partitions: &'a [Rows],
    definition: Definition<A, T>,
    store: MemoryStore,
    notes: Vec<Note>,
    committed: Vec<usize>,
    positions: Vec<usize>,
    workers: Vec<Worker<A::Output>>,
    opened: usize,
    random: Random,
    now: i64,
    pub panes: Vec<Out<A>>,
    pub late: Vec<Late<Row>>,
}

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

pub fn definition<A, T>(plan: &Plan, aggregate: A, trigger: T) -> Definition<A, T> {
    WindowAggregate {
        id: "op".to_owned(),
        keying: Arc::new(KeyBy::new((|row: &Row| row.key) as fn(&Row) -> u32)),
        windows: Arc::new(Tumbling::seconds(plan.window)),
        aggregate: Arc::new(aggregate),
        trigger: Arc::new(trigger),
        allowed_lateness: Duration::from_secs(plan.allowed),
    }
}

impl<'a, A, T> Cluster<'a, A, T>
where
    A: Aggregate<Rows>,
    T: Trigger<A::Output>,
{
    /// Runs to the end, and checks that nothing is left in the state.
    pub fn run(plan: &'a Plan, partitions: &'a [Rows], aggregate: A, trigger: T) -> Result<Self> {
        let mut cluster = Self {
            plan,
            partitions,
            definition: definition(plan, aggregate, trigger),
            store: MemoryStore::new(),
            notes: Vec::new(),
            committed: vec![0; partitions.len()],
            positions: vec![0; partitions.len()],
            workers: Vec::new(),
            opened: 0,
            random: Random::new(plan.seed),
            now: 1_000,
            panes: Vec::new(),
            late: Vec::new(),
        };
        cluster.open()?;
        while !cluster.finished() {
            cluster.step()?;
        }
        cluster.commit()?;
        cluster.write_back()?;
        for table in ["op/panes", "op/early"] {
            let mut left = 0;
            cluster.store.scan(table, &[], &[u8::MAX; 4], &mut |_, _| {
                left += 1;
                std::ops::ControlFlow::Continue(())
            })?;
            assert_eq!(left, 0, "{left} keys are left in {table}");
        }
        Ok(cluster)
    }

    fn open(&mut self) -> Result<()> {
        let committed = recover(&self.store, &self.store)?.map_or(Epoch(0), |(epoch, _)| epoch);
        let count = self.plan.workers[self.opened.min(self.plan.workers.len() - 1)];
        self.opened += 1;
        self.positions.clone_from(&self.committed);
        let owners: Arc<[u16]> = (0..self.plan.shards).map(|shard| shard % count as u16).collect();
        let queues: Vec<Vec<Queue>> = (0..count).map(|_| (0..count).map(|_| Queue::default()).collect()).collect();
        self.workers.clear();
        for worker in 0..count {
            let owned = (0..self.plan.shards).filter(|&shard| usize::from(owners[usize::from(shard)]) == worker);
            let options = LocalOptions {
                shards: self.plan.shards,
                owned: owned.map(Shard).collect(),
                committed,
                memory_bytes: self.plan.memory_bytes,
            };
            let local = LocalState::new(Arc::new(self.store.clone()), options, self.notes.clone());
            let out: Vec<_> = queues.iter().map(|to| Rc::clone(&to[worker])).collect();
            let opened = self.worker(local, &owners, out, queues[worker].clone())?;
            self.workers.push(opened);
        }
        for (id, _) in self.partitions.iter().enumerate() {
            self.origin(id, Activity::Active)?;
        }
        // Workers without a partition say so before any row can be judged.
        self.tick()?;
        self.deliver_all()
    }

    fn worker(
        &self,
        local: LocalState,
        owners: &Arc<[u16]>,
        out: Vec<Queue>,
        queues: Vec<Queue>,
    ) -> Result<Worker<A::Output>> {
        let ((to_panes, panes), (to_late, late)) = (collector(), collector());
        let side = SideOutput::new(Box::new(to_late));
        let operator = self.definition.open(&local, Some(Box::new(LateRows(side.clone()))), Counter::new())?;
        let chain = Chain::new(operator, Box::new(Fork::new(Box::new(to_panes), side)));
        let inputs = Merge::inputs(queues.len(), Box::new(chain));
        let ports = out.into_iter().map(|queue| Box::new(Port(queue)) as Box<dyn Output<Rows>>).collect();
        let exchange = Exchange::new(Arc::clone(&self.definition.keying), Arc::clone(owners), ports)?;
        let times = Arc::new(|row: &Row| Timestamp::from_seconds(row.at));
        let lateness = Lateness::seconds(self.plan.lateness);
        let source = Box::new(EventTime::new("time", times, lateness, &local, Box::new(exchange)));
        Ok(Worker { local, source, inputs, queues, panes, late, ended: false })
    }

    fn origin(&mut self, id: usize, activity: Activity) -> Result<()> {
        let at = id % self.workers.len();
        let origin = Origin { id: id as u32, name: format!("rows/{id}").into() };
        self.workers[at].source.send(Message::Origin(origin, activity))
    }

    fn finished(&mut self) -> bool {
        self.workers.iter_mut().all(|worker| {
            let idle = worker.queues.iter().all(|queue| queue.borrow().is_empty());
            worker.ended && idle && worker.inputs[0].work().unwrap() == Progress::Done
        })
    }

    fn step(&mut self) -> Result<()> {
        let count = self.workers.len() as u64;
        let worker = self.random.below(count) as usize;
        if self.random.below(self.plan.commit_steps) == 0 {
            return self.commit();
        }
        match self.random.below(100) {
            0..=1 if self.opened <= self.plan.crashes => self.open(),
            0..=2 => self.write_back(),
            3..=7 => self.tick(),
            8..=35 => self.feed(),
            36..=50 => self.workers[worker].inputs[0].work().map(|_| ()),
            _ => {
                let from = self.random.below(count) as usize;
                self.deliver(worker, from).map(|_| ())
            }
        }
    }

    /// Sends a batch of one partition, or its end.
    fn feed(&mut self) -> Result<()> {
        let count = self.workers.len();
        let id = self.random.below(self.partitions.len() as u64) as usize;
        let (rows, position) = (&self.partitions[id], self.positions[id]);
        let at = id % count;
        if position < rows.len() {
            let end = rows.len().min(position + self.plan.batch_rows);
            let mut batch = Batch::new(rows[position..end].to_vec(), Vec::new());
            batch.times = vec![Timestamp::MIN; end - position];
            batch.origin = id as u32;
            self.positions[id] = end;
            self.workers[at].source.send(Message::Batch(batch))?;
            if end == rows.len() {
                self.origin(id, Activity::Ended)?;
            }
        }
        for worker in 0..count {
            let mut own = (worker..self.partitions.len()).step_by(count);
            if !self.workers[worker].ended && own.all(|id| self.positions[id] == self.partitions[id].len()) {
                self.workers[worker].ended = true;
                // A restart at the end has announced them as active.
                for id in (worker..self.partitions.len()).step_by(count) {
                    self.origin(id, Activity::Ended)?;
                }
                self.workers[worker].source.send(Message::End)?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, worker: usize, from: usize) -> Result<bool> {
        let worker = &mut self.workers[worker];
        let Some(message) = worker.queues[from].borrow_mut().pop_front() else { return Ok(false) };
        worker.inputs[from].send(message).map(|()| true)
    }

    fn deliver_all(&mut self) -> Result<()> {
        for worker in 0..self.workers.len() {
            for from in 0..self.workers.len() {
                while self.deliver(worker, from)? {}
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        self.now += 1;
        for worker in &mut self.workers {
            worker.source.send(Message::Tick(Timestamp::from_seconds(self.now)))?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.deliver_all()?;
        let epoch = self.workers[0].local.epoch();
        for worker in &mut self.workers {
            worker.source.send(Message::Barrier(epoch))?;
        }
        self.deliver_all()?;
        let (mut blocks, mut notes) = (Vec::new(), Vec::new());
        for worker in &mut self.workers {
            let changes = worker.local.finish_epoch()?;
            blocks.extend(changes.blocks);
            notes.extend(changes.notes);
            worker.local.begin_epoch();
            self.panes.extend(worker.panes.take());
            self.late.extend(worker.late.take());
        }
        self.store.append(&Commit { epoch, blocks, marker: Vec::new() })?;
        (self.notes, self.committed) = (notes, self.positions.clone());
        Ok(())
    }

    fn write_back(&mut self) -> Result<()> {
        recover(&self.store, &self.store).map(|_| ())
    }
}
