//! A typed, write-back view of a table: values are changed in memory and encoded once per epoch.
//!
//! A slot is stamped with the epoch that last changed it. What is committed reaches the store in bulk and from the
//! blocks, never from slots; a slot may be evicted once the store has reached its stamp. So a key that is not in
//! memory has its current value in the store, whatever the store is doing.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::rc::Rc;

use hashbrown::HashMap;

use crate::codec::{decode, encode};
use crate::local::{NOT_OWNED, Shared};
use crate::space::{Space, slot_bytes};
use crate::{Error, Key, Namespace, Result, Shard, Table, Value, end_of_prefix};

/// A typed view of one table's shards. Made by [`LocalState::open`](crate::LocalState::open).
pub struct State<K, V> {
    table: Table<K, V>,
    pub(crate) shared: Rc<Shared>,
    pub(crate) spaces: Vec<Space<K, V>>,
    free_spaces: Vec<u32>,
    /// Namespace → per owned shard its space, or `NO_SPACE`.
    groups: HashMap<Namespace, Vec<u32>, foldhash::fast::FixedState>,
    /// Dropped namespaces that the store may still have, with the stamp of the drop.
    pub(crate) drops: HashMap<(Namespace, u16), u32, foldhash::fast::FixedState>,
    /// Drops of the running epoch, not yet encoded.
    new_drops: Vec<(Namespace, u16)>,
    misses: Vec<SlotId>,
    /// Slots that were emptied, in the order of the stamps that they had then.
    pub(crate) emptied: VecDeque<(SlotId, u32)>,
    /// Where eviction goes on: space and slot.
    pub(crate) hand: (usize, usize),
}

const NO_SPACE: u32 = u32::MAX;

/// The place of a key's value. Valid until [`State::maintain`] or the drop of its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId {
    pub(crate) space: u32,
    pub(crate) slot: u32,
}

/// The keys of a batch's rows, however the batch holds them.
pub trait RowKeys<K> {
    /// Whether the key of `row` is `key`.
    fn is(&self, row: usize, key: &K) -> bool;
    /// The key of `row`.
    fn key(&self, row: usize) -> K;
}

/// A slice of keys, one per row.
impl<K: Key> RowKeys<K> for [K] {
    #[inline]
    fn is(&self, row: usize, key: &K) -> bool {
        self[row] == *key
    }
    #[inline]
    fn key(&self, row: usize) -> K {
        self[row].clone()
    }
}

/// One look-up of [`State::locate`].
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    /// The row whose key it is.
    pub row: u32,
    /// The namespace to look in.
    pub namespace: Namespace,
    /// The key's [`hash64`](Key::hash64).
    pub hash: u64,
}

impl<K: Key, V: Value> State<K, V> {
    pub(crate) fn new(table: Table<K, V>, shared: Rc<Shared>) -> Self {
        shared.rotations.borrow_mut().add_table(table.name());
        Self {
            table,
            shared,
            spaces: Vec::new(),
            free_spaces: Vec::new(),
            groups: HashMap::default(),
            drops: HashMap::default(),
            new_drops: Vec::new(),
            misses: Vec::new(),
            emptied: VecDeque::new(),
            hand: (0, 0),
        }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        self.table.name()
    }

    pub(crate) fn windowed(&self) -> bool {
        self.table.is_windowed()
    }

    /// Finds or makes the slot of each look-up, in order, into `found`. What is not in memory is read from the store
    /// with one sorted read for all.
    ///
    /// # Errors
    /// `Bug` where a key's shard is not this worker's; the store's errors.
    pub fn locate(
        &mut self,
        lookups: impl IntoIterator<Item = Lookup>,
        keys: &(impl RowKeys<K> + ?Sized),
        found: &mut Vec<SlotId>,
    ) -> Result<()> {
        found.clear();
        let shards = self.shared.options.shards;
        let mut last = (Namespace::NONE, Shard(0), NO_SPACE);
        for lookup in lookups {
            let shard = Shard::of(lookup.hash, shards);
            if last != (lookup.namespace, shard, last.2) || last.2 == NO_SPACE {
                last = (lookup.namespace, shard, self.space(lookup.namespace, shard)?);
            }
            let space = &mut self.spaces[last.2 as usize];
            let row = lookup.row as usize;
            let slot = match space.find(lookup.hash, |key| keys.is(row, key)) {
                Some(slot) => slot,
                None => {
                    let slot = space.insert(lookup.hash, keys.key(row));
                    self.shared.add_used(slot_bytes(&space.slots[slot as usize]));
                    if !space.complete {
                        self.misses.push(SlotId { space: last.2, slot });
                    }
                    slot
                }
            };
            found.push(SlotId { space: last.2, slot });
        }
        if self.misses.is_empty() { Ok(()) } else { self.load_misses() }
    }

    /// The value at `id`.
    #[inline]
    pub fn value(&self, id: SlotId) -> Option<&V> {
        self.spaces[id.space as usize].slots[id.slot as usize].value.as_ref()
    }

    /// The key at `id`.
    #[inline]
    pub fn key(&self, id: SlotId) -> &K {
        &self.spaces[id.space as usize].slots[id.slot as usize].key
    }

    /// The value at `id`, to be changed: it is part of this epoch's block whether or not it differs afterwards.
    /// `None` deletes.
    #[inline]
    pub fn change(&mut self, id: SlotId) -> &mut Option<V> {
        let stamp = self.shared.stamp.get();
        let space = &mut self.spaces[id.space as usize];
        let slot = &mut space.slots[id.slot as usize];
        slot.touched = true;
        if slot.stamp != stamp {
            slot.stamp = stamp;
            space.dirty.push(id.slot);
            self.shared.unsaved.set(self.shared.unsaved.get() + 1);
            let bytes = size_of::<K>() + slot.encoded_bytes.max(8) as usize;
            self.shared.changed_bytes.set(self.shared.changed_bytes.get() + bytes);
        }
        &mut slot.value
    }

    /// The value of one key.
    ///
    /// # Errors
    /// As [`locate`](Self::locate).
    pub fn get(&mut self, namespace: Namespace, key: &K) -> Result<Option<&V>> {
        let id = self.locate_one(namespace, key)?;
        Ok(self.value(id))
    }

    /// Sets the value of one key.
    ///
    /// # Errors
    /// As [`locate`](Self::locate).
    pub fn put(&mut self, namespace: Namespace, key: &K, value: V) -> Result<()> {
        let id = self.locate_one(namespace, key)?;
        *self.change(id) = Some(value);
        Ok(())
    }

    /// Removes one key and returns its value.
    ///
    /// # Errors
    /// As [`locate`](Self::locate).
    pub fn delete(&mut self, namespace: Namespace, key: &K) -> Result<Option<V>> {
        let id = self.locate_one(namespace, key)?;
        if self.value(id).is_none() {
            return Ok(None);
        }
        Ok(self.change(id).take())
    }

    fn locate_one(&mut self, namespace: Namespace, key: &K) -> Result<SlotId> {
        let mut found = Vec::with_capacity(1);
        let lookup = Lookup { row: 0, namespace, hash: key.hash64() };
        self.locate([lookup], std::slice::from_ref(key), &mut found)?;
        Ok(found[0])
    }

    /// Forgets a namespace of one shard with everything in it. Costs nothing per key in the store.
    ///
    /// # Errors
    /// `Bug` where the shard is not this worker's.
    pub fn drop_namespace(&mut self, shard: Shard, namespace: Namespace) -> Result<()> {
        let place = self.place(shard)?;
        if let Some(group) = self.groups.get_mut(&namespace) {
            let id = std::mem::replace(&mut group[usize::from(place)], NO_SPACE);
            if group.iter().all(|&space| space == NO_SPACE) {
                self.groups.remove(&namespace);
            }
            if id != NO_SPACE {
                let space = std::mem::replace(&mut self.spaces[id as usize], Space::new(place, namespace, true));
                self.shared.remove_used(space.used_bytes());
                self.shared.unsaved.set(self.shared.unsaved.get() - space.dirty.len());
                self.free_spaces.push(id);
            }
        }
        self.drops.insert((namespace, place), self.shared.stamp.get());
        self.new_drops.push((namespace, place));
        Ok(())
    }

    /// The namespaces that the store holds, per shard. For opening: what is in memory only is not listed.
    ///
    /// # Errors
    /// The store's errors; `Corrupt` where a stored key has no window.
    pub fn stored_namespaces(&self) -> Result<Vec<(Shard, Namespace)>> {
        let mut found = Vec::new();
        for &shard in &self.shared.options.owned {
            let mut from = Namespace::NONE.prefix(shard);
            let to = end_of_prefix(&from);
            while let Some(key) = self.first_key(&from, &to)? {
                let mut rest = &key[2..];
                let namespace = Namespace::window(i64::decode_part(&mut rest)?);
                found.push((shard, namespace));
                from = end_of_prefix(&namespace.prefix(shard));
            }
        }
        Ok(found)
    }

    /// Encodes what this epoch changed into its blocks.
    ///
    /// # Errors
    /// `Config` where a value's own `Serialize` fails.
    pub fn checkpoint(&mut self) -> Result<()> {
        let delta_bytes = self.write_deltas()?;
        self.write_slices(&delta_bytes)
    }

    /// Writes drops, then changes. How many bytes they took, per place of a shard.
    fn write_deltas(&mut self) -> Result<BTreeMap<u16, usize>> {
        let Self { shared, spaces, table, new_drops, emptied, .. } = self;
        let stamp = shared.stamp.get();
        let mut delta_bytes = BTreeMap::new();
        for (namespace, place) in new_drops.drain(..) {
            shared.write(place, |writer| {
                writer.section(table.name(), namespace);
                writer.push(crate::block::Change::Drop);
            });
        }
        for (id, space) in (0..).zip(spaces).filter(|(_, space)| !space.dirty.is_empty()) {
            let result = shared.write(space.place, |writer| {
                let before = writer.written();
                let result = encode(writer, table.name(), space, |slot| {
                    emptied.push_back((SlotId { space: id, slot }, stamp));
                });
                *delta_bytes.entry(space.place).or_default() += writer.written() - before;
                result
            });
            let grown = result.map_err(|error| {
                Error::config(format!("a value of table {} cannot be encoded", table.name())).caused_by(error)
            })?;
            shared.used_bytes.set(shared.used_bytes.get().saturating_add_signed(grown));
            shared.unsaved.set(shared.unsaved.get() - space.dirty.len());
            space.dirty.clear();
        }
        Ok(delta_bytes)
    }

    pub(crate) fn place(&self, shard: Shard) -> Result<u16> {
        match self.shared.places.get(usize::from(shard.0)) {
            Some(&place) if place != NOT_OWNED => Ok(place),
            _ => Err(Error::bug(format!("table {} was asked for shard {shard}, which another owns", self.table()))),
        }
    }

    pub(crate) fn existing_space(&self, namespace: Namespace, place: u16) -> Option<&Space<K, V>> {
        let id = *self.groups.get(&namespace)?.get(usize::from(place))?;
        self.spaces.get(id as usize)
    }

    /// The space of a namespace in a shard, made where there is none.
    fn space(&mut self, namespace: Namespace, shard: Shard) -> Result<u32> {
        if namespace.end().is_some() != self.table.is_windowed() {
            return Err(Error::bug(format!("table {} is used both with windows and without", self.table())));
        }
        let place = self.place(shard)?;
        if let Some(&id) = self.groups.get(&namespace).and_then(|group| group.get(usize::from(place)))
            && id != NO_SPACE
        {
            return Ok(id);
        }
        // What was dropped is empty, whatever the store still has of it.
        let complete = self.drops.contains_key(&(namespace, place)) || {
            let prefix = namespace.prefix(shard);
            self.first_key(&prefix, &end_of_prefix(&prefix))?.is_none()
        };
        let space = Space::new(place, namespace, complete);
        let id = match self.free_spaces.pop() {
            Some(id) => {
                self.spaces[id as usize] = space;
                id
            }
            None => {
                self.spaces.push(space);
                (self.spaces.len() - 1) as u32
            }
        };
        let places = self.shared.options.owned.len();
        self.groups.entry(namespace).or_insert_with(|| vec![NO_SPACE; places])[usize::from(place)] = id;
        Ok(id)
    }

    fn first_key(&self, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut first = None;
        self.shared.store.scan(self.table.name(), from, to, &mut |key, _| {
            first = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        Ok(first)
    }

    /// Reads the values of new slots in incomplete spaces: one sorted read.
    #[cold]
    fn load_misses(&mut self) -> Result<()> {
        let misses = std::mem::take(&mut self.misses);
        let mut bytes = Vec::new();
        let mut keys: Vec<(std::ops::Range<usize>, SlotId)> = Vec::with_capacity(misses.len());
        for id in misses {
            let space = &self.spaces[id.space as usize];
            let start = bytes.len();
            self.shared.options.owned[usize::from(space.place)].0.encode(&mut bytes);
            space.namespace.encode(&mut bytes);
            space.slots[id.slot as usize].key.encode(&mut bytes);
            keys.push((start..bytes.len(), id));
        }
        keys.sort_unstable_by(|a, b| bytes[a.0.clone()].cmp(&bytes[b.0.clone()]));
        let sorted: Vec<&[u8]> = keys.iter().map(|(range, _)| &bytes[range.clone()]).collect();
        let values = self.shared.store.multi_get(self.table.name(), &sorted)?;
        for ((_, id), value) in keys.iter().zip(values) {
            let Some(value) = value else { continue };
            let slot = &mut self.spaces[id.space as usize].slots[id.slot as usize];
            let before = slot_bytes(slot);
            slot.encoded_bytes = value.len() as u32;
            slot.value = Some(decode(self.table.name(), &value)?);
            self.shared.add_used(slot_bytes(slot) - before);
        }
        Ok(())
    }
}
