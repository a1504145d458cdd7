//! What holds the bytes: sorted tables at a durable position, and the log of committed blocks in front of them.
//!
//! [`MemoryStore`](crate::MemoryStore) and `RocksStore` implement both traits and pass the same contract tests
//! (`tests/contract.rs`).

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::{Bulk, Epoch, Result, Shard};

/// Sorted bytes per table, brought up to date in bulk. Read by workers at any time.
pub trait Store: Send + Sync {
    /// The values of `keys`, which are sorted and without duplicates; `None` where a key is absent.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails, `Corrupt` when a checksum does.
    fn multi_get(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>>;

    /// Visits the keys in `from..to` in order until `visit` breaks.
    ///
    /// # Errors
    /// As [`multi_get`](Self::multi_get).
    #[expect(clippy::type_complexity, reason = "a name would hide what is called with what")]
    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<()>;

    /// The epoch that the tables are known to have reached: they may be ahead of it, never behind.
    fn durable(&self) -> Epoch;

    /// Brings the tables to `bulk.epoch`, then sets [`durable`](Self::durable): data first, position after.
    /// Doing it again after a crash in the middle gives the same tables.
    ///
    /// # Errors
    /// `Bug` where the bulk ends before the durable epoch.
    /// `Unavailable` when the disk is full or fails; the tables then are somewhere between the two epochs, which
    /// reading must not notice: every key that differs is still held in memory.
    fn apply(&self, bulk: &Bulk) -> Result<()>;

    /// Whether what was applied is put in order in the background, for those who read. A lot that is applied before
    /// anybody reads is there sooner without.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    fn tidies(&self, _tidies: bool) -> Result<()> {
        Ok(())
    }
}

/// The log of what was committed.
pub trait BlockLog: Send + Sync {
    /// Makes `commit` durable as a whole. It is visible to [`read`](ReplayLog::read) in full or not at all.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails: the commit's outcome is then unknown until the log is reopened.
    /// `Bug` where it does not follow the last commit, or where its blocks are not of its epoch and in order.
    fn append(&self, commit: &Commit) -> Result<()>;

    /// The newest commit's epoch and marker. It is kept when everything is trimmed.
    ///
    /// # Errors
    /// `Corrupt` where it cannot be read.
    fn last(&self) -> Result<Option<(Epoch, Vec<u8>)>>;

    /// Forgets the blocks through `epoch`. The newest marker stays. Reopening may bring them back: a log may write a
    /// trim down with its next commit.
    ///
    /// # Errors
    /// `Unavailable` when the disk fails.
    fn trim(&self, epoch: Epoch) -> Result<()>;
}

/// A log that gives back what was committed, for [`recover`](crate::recover).
pub trait ReplayLog: BlockLog {
    /// Visits the retained commits after `after`, oldest first.
    ///
    /// # Errors
    /// `Corrupt` when a block's checksum does not hold or a commit lacks a block, or what `visit` returns.
    fn read(&self, after: Epoch, visit: &mut dyn FnMut(Commit) -> Result<()>) -> Result<()>;
}

/// One epoch's changes, and the marker that says where everything stands after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The epoch.
    pub epoch: Epoch,
    /// Delta blocks, each of one shard and about [`BLOCK_BYTES_MAX`](crate::block::BLOCK_BYTES_MAX) long. Those of one
    /// shard are in the order of their indexes; a log gives them back in the order of shards.
    pub blocks: Vec<Block>,
    /// Source positions, watermarks, sink lengths: bytes that only the engine reads.
    pub marker: Vec<u8>,
}

/// A delta block: bytes in the format of [`block`](crate::block).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The shard whose changes these are.
    pub shard: Shard,
    /// The block, with its header and checksum.
    pub bytes: Arc<[u8]>,
}
