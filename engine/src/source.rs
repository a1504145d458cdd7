//! What a topic is read from: partitions, each with a position that commits with the epoch.

use std::time::{Duration, Instant};

use crate::{Error, Received, Result};

mod channel;
mod files;
mod generator;
mod measure;
mod memory;
mod pace;
mod random;
#[cfg(feature = "kafka")]
mod several;

pub use channel::{ChannelSource, Feed, channel};
pub(crate) use files::names;
pub use files::{FileSource, LINE_BYTES_MAX};
pub use generator::Generator;
pub use measure::Measure;
pub use memory::Records;
pub use random::Random;
#[cfg(feature = "kafka")]
pub(crate) use several::Several;

/// Something that records of type `T` can be read from. Bound to a topic's name at run time.
pub trait Source<T>: Send + Sync {
    /// What it is, for `explain` and for messages: `files data/*.jsonl`.
    fn describe(&self) -> String;

    /// The names of the partitions there are, in a stable order.
    ///
    /// # Errors
    /// `Config` where the input does not exist, with what was looked for.
    fn partitions(&self) -> Result<Vec<String>>;

    /// Opens a partition at a committed position, or at its start. Called on the thread that will read it.
    ///
    /// # Errors
    /// `Config` where the input is no longer what the position was made of (truncated, replaced, rotated), with the
    /// difference and the remedy.
    fn open(&self, partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<T>>>;

    /// Opens a partition that has come to be since others of the same source were read: at its start, wherever the
    /// source was told to begin.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_added(&self, partition: &str) -> Result<Box<dyn Partition<T>>> {
        self.open(partition, None)
    }

    /// Whether it has other partitions than it had when it was bound, or may have: it could not be reached. A job that goes back to its last commit then binds
    /// its topics anew.
    fn has_changed(&self) -> bool {
        false
    }

    /// What the source knows of itself while it is read, for `GET /metrics`. Called on another thread than those that
    /// read, whenever somebody asks; it must not wait.
    fn measures(&self) -> Vec<Measure> {
        Vec::new()
    }
}

/// One partition, open at a position.
pub trait Partition<T> {
    /// Appends the next records to `polled`, at most about `rows_max` of them, without waiting.
    ///
    /// # Errors
    /// `Unavailable` where reading fails, `Config` where the input was changed under us.
    fn poll(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<Poll>;

    /// The position after everything polled, as text that [`Source::open`] understands.
    fn position(&self) -> String;

    /// Until when it is known that the last [`Poll::Quiet`] holds, where that is not now: quiet time is counted up to
    /// this only.
    fn quiet_until(&self) -> Option<Instant> {
        None
    }
}

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Records, good or bad, and perhaps more at once.
    Records,
    /// None for now, by a schedule of the source's own: ask again after this long. The input is not idle.
    Wait(Duration),
    /// None for now: everything there is was read.
    Quiet,
    /// None ever again.
    End,
}

/// What was read. Cleared and filled again by the caller, so that its room is reused.
#[derive(Debug)]
pub struct Polled<T> {
    /// Decoded records in order.
    pub records: Vec<T>,
    /// Those that could not be decoded.
    pub bad: Vec<BadRecord>,
    /// How many bytes of input they took.
    pub bytes: usize,
}

impl<T> Default for Polled<T> {
    fn default() -> Self {
        Self { records: Vec::new(), bad: Vec::new(), bytes: 0 }
    }
}

/// A record that could not be decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadRecord {
    /// Where it stands within its partition: `orders.jsonl line 12 (byte 3045)`.
    pub place: String,
    /// Why it could not be decoded.
    pub cause: String,
    /// What caused that, the nearest first.
    pub causes: Vec<String>,
    /// Its bytes as they came.
    pub payload: Vec<u8>,
    /// What a broker knows of it. Of a tombstone, which has no payload at all, the value is `None`.
    pub received: Option<Box<Received<Option<()>>>>,
}

impl BadRecord {
    /// One that stands at `place` and was refused with `error`.
    pub fn new(place: String, error: &Error, payload: Vec<u8>) -> Self {
        Self { place, cause: error.to_string(), causes: chain(error), payload, received: None }
    }
}

/// What an error was caused by, the nearest first.
pub(crate) fn chain(error: &Error) -> Vec<String> {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.map(ToString::to_string).collect()
}

/// A position that is a count of records; the start is 0.
fn counted(position: Option<&str>) -> Result<usize> {
    position.map_or(Ok(0), |text| text.parse().map_err(|_| another("records in memory", text)))
}

/// The error for a position that a source of this kind does not understand: state is checked by checksum before, so the
/// position is whole and of another kind of source.
pub(crate) fn another(what: &str, position: &str) -> Error {
    Error::config(format!(
        "what was read before is not {what}: its position is {position}; bind the topic as it was bound, or start over with \
         --fresh"
    ))
}
