//! The log of commits: `epoch · shard · index` gives a block, `epoch · ffff · ffffffff` the marker in its envelope.

use std::cell::Cell;
use std::sync::{MutexGuard, PoisonError};

use rocksdb::{DBRawIteratorWithThreadMode, ReadOptions, WriteBatch};

use super::errors::failed;
use super::{Database, LOG_FAMILY, RocksStore};
use crate::envelope::{self, Envelope};
use crate::{Block, BlockLog, Commit, Epoch, Error, ReplayLog, Result, Shard, crash};

const KEY_BYTES: usize = 14;
const MARKER_SHARD: u16 = u16::MAX;
const READAHEAD_BYTES: usize = 2 * 1024 * 1024;

/// Where the log stands.
#[derive(Debug, Default)]
pub(super) struct LogState {
    last: Option<(Epoch, Vec<u8>)>,
    /// Commits through this epoch are deleted.
    trimmed: Epoch,
    /// Commits through this epoch are to be deleted with the next one.
    trim: Epoch,
    /// A write has failed: whether it counts is known after reopening, so nothing may follow it.
    pub(super) failed: bool,
}

impl LogState {
    /// The newest commit's epoch.
    pub(super) fn end(&self) -> Epoch {
        self.last.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch)
    }
}

impl RocksStore {
    pub(super) fn log(&self) -> MutexGuard<'_, LogState> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads where the log begins and ends.
    pub(super) fn load_log(&self) -> Result<LogState> {
        let mut rows = self.log_rows(Epoch(0))?;
        rows.seek_to_first();
        let Some(first) = rows.key().map(Place::read).transpose()? else {
            rows.status().map_err(failed("read log"))?;
            return Ok(LogState::default());
        };
        rows.seek_to_last();
        let (key, bytes) = rows.item().ok_or_else(|| Error::corrupt("log has a first entry but no last one"))?;
        let place = Place::read(key)?;
        if !place.is_marker() {
            return Err(Error::corrupt(format!("commit {} has no marker", place.epoch)));
        }
        let marker = Envelope::open(place.epoch, bytes)?.marker.to_vec();
        let trimmed = Epoch(first.epoch.0.saturating_sub(1));
        Ok(LogState { last: Some((place.epoch, marker)), trimmed, trim: trimmed, failed: false })
    }

    /// An iterator over the commits from `epoch` on, not yet placed.
    fn log_rows(&self, epoch: Epoch) -> Result<DBRawIteratorWithThreadMode<'_, Database>> {
        let family = self.db.cf_handle(LOG_FAMILY).ok_or_else(|| Error::bug("the log is not open"))?;
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(Place::first(epoch).bytes());
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        Ok(self.db.raw_iterator_cf_opt(&family, options))
    }

    /// The batch that makes `commit` and any pending trim durable together: a log is never without a marker.
    fn batch(&self, commit: &Commit, envelope: &[u8], log: &LogState) -> Result<WriteBatch> {
        let family = self.db.cf_handle(LOG_FAMILY).ok_or_else(|| Error::bug("the log is not open"))?;
        let mut batch = WriteBatch::default();
        if log.trim > log.trimmed {
            let (from, to) = (Place::first(log.trimmed.next()), Place::first(log.trim.next()));
            batch.delete_range_cf(&family, from.bytes(), to.bytes());
        }
        let mut place = Place::first(commit.epoch);
        for Block { shard, bytes } in &commit.blocks {
            // `check` has seen that each shard's blocks are in order, but not that shards are.
            place.index = crate::block::header(bytes)?.index;
            place.shard = shard.0;
            batch.put_cf(&family, place.bytes(), bytes);
        }
        batch.put_cf(&family, Place::marker(commit.epoch).bytes(), envelope);
        Ok(batch)
    }
}

impl BlockLog for RocksStore {
    fn append(&self, commit: &Commit) -> Result<()> {
        let mut log = self.log();
        if log.failed {
            return Err(Error::unavailable("an earlier commit failed and its outcome is unknown: reopen the state"));
        }
        let last = log.last.as_ref().map_or_else(|| crate::Store::durable(self), |(epoch, _)| *epoch);
        let counts = envelope::check(commit, last)?;
        let sealed = envelope::seal(commit, &counts);
        crash::point("log.append.before");
        if log.trim > log.trimmed {
            crash::point("trim");
        }
        let tried = Cell::new(false);
        let written = self.write_synced("commit", || {
            let batch = self.batch(commit, &sealed, &log)?;
            tried.set(true);
            Ok(batch)
        });
        // A batch that could not be made has not touched the log.
        log.failed = tried.get() && written.is_err();
        written?;
        crash::point("log.append.after");
        log.trimmed = log.trim;
        log.last = Some((commit.epoch, commit.marker.clone()));
        Ok(())
    }

    fn last(&self) -> Result<Option<(Epoch, Vec<u8>)>> {
        Ok(self.log().last.clone())
    }

    fn trim(&self, epoch: Epoch) -> Result<()> {
        let mut log = self.log();
        log.trim = log.trim.max(epoch.min(log.end()));
        Ok(())
    }
}

impl ReplayLog for RocksStore {
    fn read(&self, after: Epoch, visit: &mut dyn FnMut(Commit) -> Result<()>) -> Result<()> {
        let start = after.max(self.log().trim).next();
        let mut rows = self.log_rows(start)?;
        rows.seek_to_first();
        let mut blocks = Vec::new();
        let mut expected: Option<Epoch> = None;
        while let Some((key, bytes)) = rows.item() {
            let place = Place::read(key)?;
            let epoch = *expected.get_or_insert(place.epoch);
            if place.epoch != epoch {
                let lacking = if blocks.is_empty() { "is missing" } else { "has no marker" };
                return Err(Error::corrupt(format!("commit {epoch} {lacking}")));
            }
            if place.is_marker() {
                let envelope = Envelope::open(epoch, bytes)?;
                envelope.check(&blocks)?;
                visit(Commit { epoch, blocks: std::mem::take(&mut blocks), marker: envelope.marker.to_vec() })?;
                expected = Some(epoch.next());
            } else {
                blocks.push(Block { shard: Shard(place.shard), bytes: bytes.into() });
            }
            rows.next();
        }
        rows.status().map_err(failed("read log"))?;
        match expected {
            Some(epoch) if !blocks.is_empty() => Err(Error::corrupt(format!("commit {epoch} has no marker"))),
            _ => Ok(()),
        }
    }
}

/// The key of a block or a marker.
#[derive(Clone, Copy, Debug)]
struct Place {
    epoch: Epoch,
    shard: u16,
    index: u32,
}

impl Place {
    /// Before every block of `epoch`.
    fn first(epoch: Epoch) -> Self {
        Self { epoch, shard: 0, index: 0 }
    }

    fn marker(epoch: Epoch) -> Self {
        Self { epoch, shard: MARKER_SHARD, index: u32::MAX }
    }

    fn is_marker(self) -> bool {
        self.shard == MARKER_SHARD
    }

    fn bytes(self) -> [u8; KEY_BYTES] {
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.shard.to_be_bytes());
        bytes[10..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Self> {
        let strange = || Error::corrupt(format!("log has a strange key: {bytes:?}"));
        let (epoch, rest) = bytes.split_first_chunk().ok_or_else(strange)?;
        let (shard, index) = rest.split_first_chunk().ok_or_else(strange)?;
        Ok(Self {
            epoch: Epoch(u64::from_be_bytes(*epoch)),
            shard: u16::from_be_bytes(*shard),
            index: u32::from_be_bytes(index.try_into().map_err(|_| strange())?),
        })
    }
}
