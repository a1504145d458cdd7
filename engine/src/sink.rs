//! What a topic is written to, and when that becomes visible.

use std::any::Any;
use std::time::Instant;

use headwater_operators::Timestamp;

use crate::format::Header;
use crate::{DeadLetter, Error, Result};

mod encode;
mod files;
mod memory;
mod nowhere;
mod stdout;

pub use files::{FileSink, move_aside};
pub use memory::Captured;
pub(crate) use memory::{TypedWriter, other_records};
pub(crate) use nowhere::NowhereSink;
pub use stdout::StdoutSink;

/// Something that records of type `T` can be written to. Bound to a topic's name at run time.
pub trait Sink<T>: Send + Sync {
    /// What it is, for `explain` and for messages: `file alerts.jsonl`.
    fn describe(&self) -> String;

    /// A writer for one worker: turns records into chunks.
    fn writer(&self) -> Box<dyn SinkWriter<T>>;

    /// Opens the place where chunks go, at what the last commit says of it. `committed` is what
    /// [`SinkCommitter::prepare`] returned then; `None` at the first start of a job.
    ///
    /// # Errors
    /// `Config` where the place is not as the commit left it (shorter, gone), or holds something at the first start,
    /// with the remedy.
    fn open(&self, committed: Option<&str>) -> Result<Box<dyn SinkCommitter>>;

    /// The same, for a sink that writes into the transaction of the run, if the run has one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_in(&self, committed: Option<&str>, _transaction: Option<&Transaction>) -> Result<Box<dyn SinkCommitter>> {
        self.open(committed)
    }
}

/// What a run writes to Kafka with its commits; see [`Produce`].
pub type Transaction = std::sync::Arc<dyn Produce>;

/// Takes records for topics of Kafka. They become visible with the commit of the epoch that is running.
pub trait Produce: Send + Sync {
    /// Takes a record. It may wait while too many are under way.
    ///
    /// # Errors
    /// `Record` where it is too large for the brokers or the client; `Unavailable` where they are away for too long;
    /// `Config` where the topic is not there or may not be written.
    fn send(&self, record: &Outgoing<'_>) -> Result<()>;
}

/// A record on its way to a topic of Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The broker's name of the topic.
    pub topic: &'a str,
    /// Decides about the partition, as Java's clients do by default: murmur2. Without one, any partition is taken.
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// In their order.
    pub headers: &'a [Header],
    /// When it happened; `None` is the time at which it is sent.
    pub timestamp: Option<Timestamp>,
}

/// One worker's end of a sink.
pub trait SinkWriter<T> {
    /// Appends records to a chunk.
    ///
    /// # Errors
    /// `Record` where one cannot be encoded.
    fn write(&mut self, records: Vec<T>, chunk: &mut Chunk) -> Result<()>;

    /// What it has refused since it was last asked, by the policy for records that are too large.
    fn refused(&mut self) -> Refused {
        Refused::default()
    }
}

/// Records that were not written, by their topic's policy.
#[derive(Debug, Default)]
pub struct Refused {
    /// How many.
    pub records: u64,
    /// What the policy has made of them.
    pub dead_letters: Vec<DeadLetter>,
}

/// The committing end of a sink. Owned by the coordinator.
pub trait SinkCommitter: Send {
    /// Takes a chunk of the running epoch.
    ///
    /// # Errors
    /// `Unavailable` where writing fails.
    fn append(&mut self, chunk: Chunk) -> Result<()>;

    /// Makes all that was appended safe, and returns what the commit must say to find it again.
    ///
    /// # Errors
    /// `Unavailable` where writing fails: disk full.
    fn prepare(&mut self) -> Result<String>;

    /// Learns that the epoch is committed: what acts after the commit acts now.
    ///
    /// # Errors
    /// `Unavailable` where it cannot.
    fn committed(&mut self) -> Result<()>;

    /// The run is asked to stop: begins nothing more.
    fn close(&mut self) {}

    /// Waits until `deadline` for what it has begun. Whether another commit is needed to remember what came of it.
    fn linger(&mut self, deadline: Instant) -> bool {
        let _ = deadline;
        false
    }
}

/// Encoded records on their way from a worker to the coordinator.
#[derive(Default)]
pub struct Chunk {
    /// How many records.
    pub records: usize,
    /// Their bytes, for sinks that write bytes.
    pub bytes: Vec<u8>,
    /// The records themselves, for sinks in memory.
    pub typed: Option<Box<dyn Any + Send>>,
}

/// The error for what a sink of another kind committed: state is checked by checksum before, so it is whole.
pub(crate) fn another(what: &str, committed: &str) -> Error {
    Error::config(format!(
        "what was written before is not {what}: the last commit says {committed:?} of it; bind the topic as it was bound, \
         or start over with --fresh"
    ))
}

/// Refuses what a sink that remembers something has committed: it would be forgotten.
fn nothing_committed(what: &str, committed: Option<&str>) -> Result<()> {
    match committed {
        None | Some("") => Ok(()),
        Some(other) => Err(another(what, other)),
    }
}
