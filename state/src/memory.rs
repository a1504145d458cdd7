//! Tables and log in memory, for tests and examples: the reference that the other stores are compared with.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{BlockLog, Bulk, Commit, Epoch, Error, ReplayLog, Result, Store, end_of_prefix, envelope};

/// A [`Store`] and a [`BlockLog`] in memory. A clone is the same store, so it stands for a directory that outlives
/// the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    tables: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
    durable: Epoch,
    log: BTreeMap<Epoch, Commit>,
    last: Option<(Epoch, Vec<u8>)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // What a panicking test left behind is still what was written.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn multi_get(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let held = self.held();
        let table = held.tables.get(table);
        Ok(keys.iter().map(|&key| table?.get(key).cloned()).collect())
    }

    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        if from >= to {
            return Ok(());
        }
        let held = self.held();
        let Some(table) = held.tables.get(table) else { return Ok(()) };
        for (key, value) in table.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn durable(&self) -> Epoch {
        self.held().durable
    }

    fn apply(&self, bulk: &Bulk) -> Result<()> {
        let mut held = self.held();
        if bulk.epoch < held.durable {
            return Err(Error::bug(format!("bulk ends at commit {}, the tables are at {}", bulk.epoch, held.durable)));
        }
        for part in &bulk.tables {
            let table = held.tables.entry(part.table.clone()).or_default();
            for prefix in &part.drops {
                let end = end_of_prefix(prefix);
                table.retain(|key, _| key < prefix || *key >= end);
            }
            part.writes(|key, value| {
                match value {
                    Some(value) => table.insert(key.to_vec(), value.to_vec()),
                    None => table.remove(key),
                };
                Ok(())
            })?;
        }
        held.durable = bulk.epoch;
        Ok(())
    }
}

impl BlockLog for MemoryStore {
    fn append(&self, commit: &Commit) -> Result<()> {
        let mut held = self.held();
        let last = held.last.as_ref().map_or(held.durable, |(epoch, _)| *epoch);
        envelope::check(commit, last)?;
        let mut commit = commit.clone();
        // Stable, so that each shard's blocks stay in the order of their indexes.
        commit.blocks.sort_by_key(|block| block.shard);
        held.last = Some((commit.epoch, commit.marker.clone()));
        held.log.insert(commit.epoch, commit);
        Ok(())
    }

    fn last(&self) -> Result<Option<(Epoch, Vec<u8>)>> {
        Ok(self.held().last.clone())
    }

    fn trim(&self, epoch: Epoch) -> Result<()> {
        self.held().log.retain(|&at, _| at > epoch);
        Ok(())
    }
}

impl ReplayLog for MemoryStore {
    fn read(&self, after: Epoch, visit: &mut dyn FnMut(Commit) -> Result<()>) -> Result<()> {
        // Copied, so that `visit` may call the store.
        let commits: Vec<Commit> = self.held().log.range(after.next()..).map(|(_, commit)| commit.clone()).collect();
        commits.into_iter().try_for_each(visit)
    }
}
