//! What one worker may touch: its own shards of every table, under one memory budget and one epoch.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::block::BlockWriter;
use crate::rotation::Rotations;
use crate::{Block, Epoch, Error, Key, Result, Shard, State, Store, Table, Value};

/// How a worker's state is laid out.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// How many shards the job has. Fixed when the job is created.
    pub shards: u16,
    /// The shards of this worker, in ascending order.
    pub owned: Vec<Shard>,
    /// The last committed epoch.
    pub committed: Epoch,
    /// How many bytes of decoded values the worker may keep. Changes that are not durable yet may exceed it.
    pub memory_bytes: usize,
}

/// What an operator remembers of its shard or partition beside its tables: a watermark, a pending close.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Note {
    /// The operator's id.
    pub operator: String,
    /// What it is a note of: `shard 3`, or a source partition.
    pub scope: String,
    /// What the operator wrote.
    pub text: String,
}

/// An epoch's changes, ready to commit.
#[derive(Debug, Default)]
pub struct EpochChanges {
    /// Delta blocks in the order of shards.
    pub blocks: Vec<Block>,
    /// How many changes they hold.
    pub rows: u64,
    /// Every operator's notes: all of them, changed or not.
    pub notes: Vec<Note>,
}

/// The tables of one worker. A handle: clones share the budget and the epoch. It stays on its thread.
#[derive(Clone)]
pub struct LocalState {
    shared: Rc<Shared>,
}

pub(crate) struct Shared {
    pub store: Arc<dyn Store>,
    pub options: LocalOptions,
    /// Shard → its place in `options.owned`, or `NOT_OWNED`.
    pub places: Vec<u16>,
    /// Bytes held by all tables of the worker.
    pub used_bytes: Cell<usize>,
    /// Estimated bytes that this epoch's blocks will have.
    pub changed_bytes: Cell<usize>,
    /// Slots that are changed and not yet encoded.
    pub unsaved: Cell<usize>,
    /// The running epoch less the committed one that the worker was opened at: 1 in the first epoch.
    pub stamp: Cell<u32>,
    /// The budget is exceeded and nothing may be evicted before more is durable.
    pub pressure: Cell<bool>,
    writers: RefCell<Vec<BlockWriter>>,
    notes: RefCell<Vec<Note>>,
    restored: Vec<Note>,
    pub rotations: RefCell<Rotations>,
    gauges: RefCell<BTreeMap<(&'static str, String), i64>>,
}

pub(crate) const NOT_OWNED: u16 = u16::MAX;

impl LocalState {
    /// The state of a worker, with the notes of the last commit.
    pub fn new(store: Arc<dyn Store>, options: LocalOptions, restored: Vec<Note>) -> Self {
        let mut places = vec![NOT_OWNED; usize::from(options.shards)];
        for (place, shard) in options.owned.iter().enumerate() {
            places[usize::from(shard.0)] = place as u16;
        }
        let shared = Shared {
            store,
            places,
            used_bytes: Cell::new(0),
            changed_bytes: Cell::new(0),
            unsaved: Cell::new(0),
            stamp: Cell::new(1),
            pressure: Cell::new(false),
            writers: RefCell::new(writers(&options, options.committed.next())),
            notes: RefCell::new(Vec::new()),
            restored,
            rotations: RefCell::default(),
            gauges: RefCell::default(),
            options,
        };
        Self { shared: Rc::new(shared) }
    }

    /// Opens a table. Each table has one owner: the operator that opens it.
    pub fn open<K: Key, V: Value>(&self, table: Table<K, V>) -> State<K, V> {
        State::new(table, Rc::clone(&self.shared))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The shards of this worker.
    pub fn shards(&self) -> &[Shard] {
        &self.shared.options.owned
    }

    /// How many shards the job has.
    pub fn shards_total(&self) -> u16 {
        self.shared.options.shards
    }

    /// The epoch that is running.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch()
    }

    /// The notes of `operator` in the last commit, of every scope.
    pub fn restored<'a>(&'a self, operator: &'a str) -> impl Iterator<Item = &'a Note> {
        self.shared.restored.iter().filter(move |note| note.operator == operator)
    }

    /// Keeps a note with this epoch. Operators write theirs at every checkpoint.
    pub fn note(&self, note: Note) {
        self.shared.notes.borrow_mut().push(note);
    }

    /// Shows a number of an operator to the people who watch the job. It is not part of the state.
    pub fn set_gauge(&self, name: &'static str, operator: &str, value: i64) {
        self.shared.gauges.borrow_mut().insert((name, operator.to_owned()), value);
    }

    /// The numbers called `name`, of every operator that shows one.
    pub fn gauges(&self, name: &'static str) -> Vec<(String, i64)> {
        let gauges = self.shared.gauges.borrow();
        gauges.iter().filter(|((other, _), _)| *other == name).map(|((_, id), value)| (id.clone(), *value)).collect()
    }

    /// Estimated bytes of this epoch's blocks so far: an epoch is ended when it grows too large.
    pub fn changed_bytes(&self) -> usize {
        self.shared.changed_bytes.get()
    }

    /// Bytes of decoded values held in memory.
    pub fn used_bytes(&self) -> usize {
        self.shared.used_bytes.get()
    }

    /// Whether more must become durable before memory can be given back.
    pub fn pressure(&self) -> bool {
        self.shared.pressure.get()
    }

    /// Takes what the operators' checkpoints wrote. The epoch goes on until [`begin_epoch`](Self::begin_epoch): one that
    /// changed nothing is not committed, and its number is used again.
    ///
    /// # Errors
    /// `Bug` where an operator did not checkpoint a table that it changed.
    pub fn finish_epoch(&self) -> Result<EpochChanges> {
        let shared = &self.shared;
        if shared.unsaved.get() > 0 {
            return Err(Error::bug(format!("{} changed values were not checkpointed", shared.unsaved.get())));
        }
        let finished = shared.writers.replace(writers(&shared.options, shared.epoch()));
        let rows = finished.iter().map(BlockWriter::changes).sum();
        let blocks = finished.into_iter().flat_map(BlockWriter::finish).collect();
        Ok(EpochChanges { blocks, rows, notes: shared.notes.take() })
    }

    /// Begins the next epoch, once the running one is committed.
    pub fn begin_epoch(&self) {
        let shared = &self.shared;
        shared.stamp.set(shared.stamp.get() + 1);
        shared.changed_bytes.set(0);
        shared.writers.replace(writers(&shared.options, shared.epoch()));
    }
}

fn writers(options: &LocalOptions, epoch: Epoch) -> Vec<BlockWriter> {
    options.owned.iter().map(|&shard| BlockWriter::new(shard, epoch)).collect()
}

impl Shared {
    pub fn epoch(&self) -> Epoch {
        Epoch(self.options.committed.0 + u64::from(self.stamp.get()))
    }

    /// Runs `write` on the block writer of the shard at `place`.
    pub fn write<T>(&self, place: u16, write: impl FnOnce(&mut BlockWriter) -> T) -> T {
        write(&mut self.writers.borrow_mut()[usize::from(place)])
    }

    /// The newest stamp whose changes the store has.
    pub fn durable_stamp(&self) -> u32 {
        let ahead = self.store.durable().0.saturating_sub(self.options.committed.0);
        u32::try_from(ahead).unwrap_or(u32::MAX)
    }

    pub fn add_used(&self, bytes: usize) {
        self.used_bytes.set(self.used_bytes.get() + bytes);
    }

    pub fn remove_used(&self, bytes: usize) {
        self.used_bytes.set(self.used_bytes.get().saturating_sub(bytes));
    }
}
