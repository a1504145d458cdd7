//! Rolling snapshots: a log that restores a shard from its start without ever being rewritten.
//!
//! A rotation walks a shard's stored keys once, a slice per epoch. Each slice follows the epoch's deltas and carries
//! every key with its *current* value, so a reader that begins at the rotation's start and reads to its end has them
//! all: a key that changed meanwhile came as a delta, every other one in a slice. What was logged before the start can
//! then be trimmed.
//!
//! A rotation begins when everything committed is in the tables ([`WriteBehind::flush_and_wait`]): a key that is in
//! memory only was changed since, and is in the log as a delta. So the walk goes over the store as it is and needs no
//! snapshot of it.
//!
//! [`WriteBehind::flush_and_wait`]: crate::WriteBehind::flush_and_wait

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::block::Change;
use crate::local::LocalState;
use crate::{Epoch, Error, Key, Namespace, Result, Shard, State, Value, end_of_prefix};

/// How far a shard's rolling snapshot is. Part of the marker: it rolls back with an aborted epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The first epoch whose blocks a restore needs once the rotation is complete.
    pub start: Epoch,
    /// The table that is being walked; the tables before it in the order of names are done.
    pub table: String,
    /// The last stored key of it that was written; the walk goes on after it.
    pub after: Option<Vec<u8>>,
    /// Every key was written: the log before `start` may go.
    pub complete: bool,
}

/// The rotations of a worker's shards.
#[derive(Debug, Default)]
pub(crate) struct Rotations {
    tables: BTreeSet<String>,
    shards: BTreeMap<Shard, Rotation>,
}

impl Rotations {
    /// Every table is walked, so every table is known from its opening on.
    pub fn add_table(&mut self, table: &str) {
        self.tables.insert(table.to_owned());
    }

    fn finish_table(&mut self, shard: Shard) {
        let Some(rotation) = self.shards.get_mut(&shard) else { return };
        let mut later = self.tables.iter().filter(|table| **table > rotation.table);
        match later.next() {
            Some(next) => {
                rotation.table.clone_from(next);
                rotation.after = None;
            }
            None => rotation.complete = true,
        }
    }
}

impl LocalState {
    /// Begins a rotation of a shard with the running epoch. Everything committed must be in the tables, and every
    /// table open.
    ///
    /// # Errors
    /// `Bug` where it is not.
    pub fn begin_rotation(&self, shard: Shard) -> Result<()> {
        let durable = self.shared().store.durable();
        if durable.next() != self.epoch() {
            return Err(Error::bug(format!("a rotation begins in epoch {} with tables at {durable}", self.epoch())));
        }
        let mut rotations = self.shared().rotations.borrow_mut();
        let table = rotations.tables.first().cloned();
        let rotation =
            Rotation { start: self.epoch(), complete: table.is_none(), table: table.unwrap_or_default(), after: None };
        rotations.shards.insert(shard, rotation);
        Ok(())
    }

    /// Goes on with a rotation that the last commit's marker tells of.
    pub fn resume_rotation(&self, shard: Shard, rotation: Rotation) {
        self.shared().rotations.borrow_mut().shards.insert(shard, rotation);
    }

    /// How far a shard's rotation is, for the marker. After a checkpoint of all tables.
    pub fn rotation(&self, shard: Shard) -> Option<Rotation> {
        self.shared().rotations.borrow().shards.get(&shard).cloned()
    }
}

impl<K: Key, V: Value> State<K, V> {
    /// Appends the next slice of each rotation that is in this table: as many bytes as its deltas took, and at least
    /// `SLICE_BYTES_MIN`, so that an idle table is walked too.
    pub(crate) fn write_slices(&mut self, delta_bytes: &BTreeMap<u16, usize>) -> Result<()> {
        const SLICE_BYTES_MIN: usize = 4 * 1024;
        let shared = std::rc::Rc::clone(&self.shared);
        let table = self.table().to_owned();
        for (place, &shard) in (0u16..).zip(&shared.options.owned) {
            let rotation = shared.rotations.borrow().shards.get(&shard).cloned();
            let Some(mut rotation) = rotation.filter(|rotation| rotation.table == table && !rotation.complete) else {
                continue;
            };
            let bytes = delta_bytes.get(&place).copied().unwrap_or(0).max(SLICE_BYTES_MIN);
            let ended = self.write_slice(shard, place, &mut rotation, bytes)?;
            let mut rotations = shared.rotations.borrow_mut();
            rotations.shards.insert(shard, rotation);
            if ended {
                rotations.finish_table(shard);
            }
        }
        Ok(())
    }

    /// Writes stored keys with their current values until `bytes` are reached. Whether the table's end was.
    fn write_slice(&self, shard: Shard, place: u16, rotation: &mut Rotation, bytes: usize) -> Result<bool> {
        let shard_prefix = Namespace::NONE.prefix(shard);
        let mut from = shard_prefix.clone();
        if let Some(after) = &rotation.after {
            from.clone_from(after);
            from.push(0); // the smallest key after it
        }
        let mut written = 0;
        let mut failed = None;
        let mut section = None;
        let mut ended = true;
        let windowed = self.windowed();
        self.shared.store.scan(self.table(), &from, &end_of_prefix(&shard_prefix), &mut |stored, value| {
            if written >= bytes {
                ended = false;
                return ControlFlow::Break(());
            }
            let result = split(stored, windowed)
                .and_then(|(namespace, key)| self.write_current(place, namespace, (key, value), &mut section));
            written += stored.len() + value.len();
            rotation.after = Some(stored.to_vec());
            match result {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(ended), Err)
    }

    /// Writes one key as it is now: nothing if it was deleted or dropped.
    fn write_current(
        &self,
        place: u16,
        namespace: Namespace,
        (key_bytes, stored): (&[u8], &[u8]),
        section: &mut Option<Namespace>,
    ) -> Result<()> {
        let key = K::decode(key_bytes)?;
        let space = self.existing_space(namespace, place);
        let slot = space.and_then(|space| {
            let at = space.find(key.hash64(), |other| *other == key)?;
            space.slots.get(at as usize)
        });
        let dropped = self.drops.contains_key(&(namespace, place));
        let value = match slot {
            Some(slot) => match &slot.value {
                Some(value) => Some(crate::codec::encode_value(self.table(), value)?),
                None => return Ok(()),
            },
            None if dropped => return Ok(()),
            None => None,
        };
        self.shared.write(place, |writer| {
            if *section != Some(namespace) {
                writer.section(self.table(), namespace);
                *section = Some(namespace);
            }
            writer.push(Change::Put(key_bytes, value.as_deref().unwrap_or(stored)));
        });
        Ok(())
    }
}

/// A stored key without its shard.
fn split(stored: &[u8], windowed: bool) -> Result<(Namespace, &[u8])> {
    let mut rest = stored.get(2..).unwrap_or_default();
    let namespace = if windowed { Namespace::window(i64::decode_part(&mut rest)?) } else { Namespace::NONE };
    Ok((namespace, rest))
}
