//! What workers and their coordinator tell each other.

use std::any::Any;

use headwater_operators::Timestamp;
use headwater_state::{Epoch, EpochChanges};

use crate::Error;
use crate::sink::Chunk;

/// What comes to a worker.
pub(crate) enum Inbound {
    /// A `Message<R>` for the exchange of node `stage`, from another worker.
    Message { stage: usize, from: usize, message: Box<dyn Any + Send> },
    /// Something outside has an answer: what waits for it looks again.
    Wake,
    /// The wall clock.
    Tick(Timestamp),
    /// The epoch ends: stop reading, and let a barrier flush everything out.
    Barrier(Epoch),
    /// The next epoch begins. `committed`: the one before was; otherwise it changed nothing and goes on. `rotate`: all
    /// shards begin to write their state into the log once more, slice by slice.
    Resume { committed: bool, rotate: bool },
    /// The run is over.
    Shutdown,
}

/// What a worker tells.
pub(crate) enum Report {
    /// Records for a sink, in the running epoch.
    Chunk { sink: usize, chunk: Chunk },
    /// The epoch has reached a bound: end it early.
    Full,
    /// Everything has ended and reached the sinks.
    Ended,
    /// The barrier has passed through everything.
    Prepared(Box<Prepared>),
    /// The worker has stopped.
    Failed(Error),
}

/// A worker's part of a commit.
pub(crate) struct Prepared {
    pub worker: usize,
    pub changes: EpochChanges,
    /// Of the source partitions it reads: `topic/partition` and position.
    pub positions: Vec<(String, String)>,
    pub counts: Counts,
    pub ended: bool,
    pub state_bytes: usize,
    /// Memory is over its budget until more is written to the tables.
    pub pressure: bool,
    /// Every shard has written the last slice of its rotation.
    pub rotated: bool,
}

/// What was counted since the worker started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub records_in: u64,
    pub bad: u64,
    pub late: u64,
    pub open_windows: u64,
    /// Records read, by `topic/partition`.
    pub read: Vec<(String, u64)>,
    /// The slowest watermark that the sources make, and the operator that makes it.
    pub watermark: Option<(Timestamp, String)>,
}
