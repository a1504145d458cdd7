//! One state of the modelled world: what the broker holds, what each instance has in memory and on its disk, and what
//! is on its way between them.
//!
//! Every number that grows for ever is written in a way that stops it, so that the search ends: producer epochs and group
//! generations only as *current* or *out of date*, tokens numbered by where they stand, positions of a log counted from
//! its low watermark. Records of aborted transactions are taken out of the log: nobody reads them any more.

use std::hash::{Hash, Hasher};

pub const SHARDS: usize = 2;
pub const INSTANCES_MAX: usize = 3;

/// Entries of a log that there is place for: joined as they are, more than any run within the bounds has.
const LOG_ENTRIES_MAX: usize = 8;

/// What a shard stores: two keys that inputs count up, and how often its timer fired. Absent is 0.
pub type Table = [u8; 3];

/// A count of log entries from the low watermark on; −1 is before it, or nothing.
pub type Position = i8;

pub const NONE: Position = -1;

/// The event of a shard's timer in a mask of events; input n is bit n.
pub const TICK: u8 = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    #[default]
    Open,
    /// The transaction's commit is decided, but its marker is not in this log yet.
    Decided,
    Committed,
}

/// What one epoch wrote to a shard's changelog: delta blocks, slice and marker, as one append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    pub writer: u8,
    pub status: Status,
    pub token: u8,
    pub is_claim: bool,
    /// Per key: 0 nothing, 1 delete, else put the value + 2. A slice is a put as well.
    pub changes: Table,
    /// The source offset in the marker.
    pub source: u8,
    /// Slices of the rotation up to here, and where it started.
    pub cursor: u8,
    pub start: Position,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Log {
    pub len: u8,
    pub entries: [Entry; LOG_ENTRIES_MAX],
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        Hash::hash_slice(self.entries(), state);
    }
}

impl Log {
    pub fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.len)]
    }

    pub fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries[..usize::from(self.len)]
    }

    pub fn end(&self) -> Position {
        i8::try_from(self.len).unwrap()
    }

    /// The last stable offset: the first entry whose transaction has no marker here.
    pub fn last_stable(&self) -> Position {
        let first = self.entries().iter().position(|entry| entry.status != Status::Committed);
        first.map_or(self.end(), |at| i8::try_from(at).unwrap())
    }

    pub fn push(&mut self, entry: Entry) {
        assert!(usize::from(self.len) < LOG_ENTRIES_MAX, "the model has no place for another entry");
        self.entries[usize::from(self.len)] = entry;
        self.len += 1;
    }

    pub fn remove(&mut self, at: usize) {
        self.entries.copy_within(at + 1.., at);
        self.len -= 1;
        self.entries[usize::from(self.len)..].fill(Entry::default());
    }

    /// The last entry whose transaction is to be committed, marker or not.
    pub fn last_decided(&self) -> Option<&Entry> {
        self.entries().iter().rev().find(|entry| entry.status != Status::Open)
    }
}

/// What the group has for a shard: the offset of its source partition, and as metadata of its changelog's offset the
/// token with the id that wrote it. Token 0 is nobody's: the first start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Commit {
    pub source: u8,
    pub token: u8,
    pub owner: u8,
}

/// Offsets sent to a transaction. They are the group's once its marker reaches the coordinator.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Pending {
    pub is_decided: bool,
    pub shards: u8,
    pub commits: [Commit; SHARDS],
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TxnState {
    #[default]
    Empty,
    Ongoing,
    /// Commit is decided; the logs of these shards wait for their marker.
    Committing(u8),
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Txn {
    pub state: TxnState,
    /// The events whose outputs are in the open transaction, by shard.
    pub outputs: [u8; SHARDS],
}

impl Txn {
    pub fn has_outputs(&self) -> bool {
        self.state == TxnState::Ongoing && self.outputs != [0; SHARDS]
    }
}

/// The consumer group, whose partitions are the shards.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Group {
    pub members: u8,
    pub owner: [Option<u8>; SHARDS],
    /// Whom a shard goes to when its owner has let go of it.
    pub moving_to: [Option<u8>; SHARDS],
}

/// A member's generation as it knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Generation {
    /// −1, with an empty member id: the broker asks no question.
    #[default]
    None,
    Stale,
    Current,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Run {
    #[default]
    Up,
    /// SIGSTOP: does nothing, sends nothing, knows nothing.
    Frozen,
    Down,
}

/// How far an instance's epoch is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Step {
    #[default]
    Process,
    Write,
    Offsets,
    End,
    /// The commit was not answered.
    Unknown,
    /// A new producer is there, the answer is not yet read.
    Decide,
}

/// How far a shard is on an instance.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    Closed,
    /// The writers have been read; these are to be fenced.
    Fencing(u8),
    Stable,
    Tail,
    Replay,
    Ready,
    Live,
}

/// A shard in an instance's memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Work {
    pub phase: Phase,
    /// Ownership was lost while the epoch ran: it must not commit.
    pub is_doomed: bool,
    /// While opening: T(s) as read; in an epoch: the attempt's.
    pub token: u8,
    pub replay_from: Position,
    pub replay_to: Position,
    pub is_rebuild: bool,
    /// As of the last commit, and as of now.
    pub table: Table,
    pub source: u8,
    pub table_now: Table,
    pub source_now: u8,
    /// Events of the running epoch.
    pub events: u8,
    /// Just after the last commit in the log.
    pub position: Position,
    pub cursor: u8,
    pub start: Position,
    /// Up to here the log may be trimmed.
    pub trim: Position,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            phase: Phase::Closed,
            is_doomed: false,
            token: 0,
            replay_from: NONE,
            replay_to: NONE,
            is_rebuild: false,
            table: [0; 3],
            source: 0,
            table_now: [0; 3],
            source_now: 0,
            events: 0,
            position: NONE,
            cursor: 0,
            start: NONE,
            trim: NONE,
        }
    }
}

/// A process. All of it is lost by kill -9.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instance {
    pub run: Run,
    pub generation: Generation,
    pub owned: u8,
    /// Whether the broker still takes this producer epoch. The instance finds out by asking.
    pub is_producer_current: bool,
    pub needs_init: bool,
    /// A message of the transaction was not delivered.
    pub is_undelivered: bool,
    /// A request has not been answered and may arrive later.
    pub has_unanswered: bool,
    pub step: Step,
    /// The shards of the epoch that is being committed, and those not yet written.
    pub part: u8,
    pub unwritten: u8,
    /// The position whose data are in the store while the store's own position lags.
    pub flushing: Position,
    pub work: [Work; SHARDS],
}

impl Instance {
    /// A new process, with its producer.
    pub fn started() -> Self {
        Self {
            run: Run::Up,
            generation: Generation::None,
            owned: 0,
            is_producer_current: true,
            needs_init: false,
            is_undelivered: false,
            has_unanswered: false,
            step: Step::Process,
            part: 0,
            unwritten: 0,
            flushing: NONE,
            work: [Work::default(); SHARDS],
        }
    }

    pub fn down() -> Self {
        Self { run: Run::Down, is_producer_current: false, ..Self::started() }
    }
}

/// An instance's tables of shard 0 on its disk. Shard 1 is always rebuilt from its log.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Store {
    pub table: Table,
    pub position: Position,
}

/// A request that was not answered and has not arrived either.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Late {
    #[default]
    Nothing,
    Commit(u8),
    Offsets(u8, Generation, Pending),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub logs: [Log; SHARDS],
    pub commits: [Commit; SHARDS],
    pub pending: [Pending; INSTANCES_MAX],
    pub txns: [Txn; INSTANCES_MAX],
    pub group: Group,
    pub instances: [Instance; INSTANCES_MAX],
    pub stores: [Store; INSTANCES_MAX],
    pub late: Late,
    /// The events that are committed, which only the checks look at.
    pub truth: [u8; SHARDS],
    /// How much there is to read, and how much may still go wrong.
    pub inputs: [u8; SHARDS],
    pub faults_left: u8,
}

pub fn bit(number: usize) -> u8 {
    1 << number
}

pub fn has(mask: u8, number: usize) -> bool {
    mask & bit(number) != 0
}

pub fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}
