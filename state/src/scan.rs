//! Walks a namespace in the order of its keys' bytes, over memory and store merged.

use std::ops::{ControlFlow, Range};

use crate::codec::decode;
use crate::{Key, Namespace, Result, Shard, State, Value, end_of_prefix};

/// A walk through one namespace of one shard, in steps. Made by [`State::scan`].
///
/// It sees every key that was there when it was made and still has a value when the walk gets to it; keys added since
/// may be missed.
pub struct Scan {
    shard: Shard,
    namespace: Namespace,
    /// The bytes of the last key visited; the walk goes on after it.
    after: Option<Vec<u8>>,
    /// The keys in memory when the scan was made, sorted, as ranges of `bytes`.
    bytes: Vec<u8>,
    keys: Vec<Range<usize>>,
    next: usize,
    store_ended: bool,
}

impl Scan {
    /// The bytes of the last key visited: where another scan would go on.
    pub fn after(&self) -> Option<&[u8]> {
        self.after.as_deref()
    }
}

impl<K: Key, V: Value> State<K, V> {
    /// A walk through a namespace of a shard, from the first key after `after`.
    ///
    /// # Errors
    /// `Bug` where the shard is not this worker's.
    pub fn scan(&self, shard: Shard, namespace: Namespace, after: Option<&[u8]>) -> Result<Scan> {
        let place = self.place(shard)?;
        let mut bytes = Vec::new();
        let mut keys = Vec::new();
        // What was dropped has nothing in the store, until the namespace is used again.
        let mut store_ended = self.drops.contains_key(&(namespace, place));
        if let Some(space) = self.existing_space(namespace, place) {
            keys.reserve(space.live());
            for slot in space.slots.iter().filter(|slot| slot.live && slot.value.is_some()) {
                let start = bytes.len();
                slot.key.encode(&mut bytes);
                if after.is_some_and(|after| bytes[start..] <= *after) {
                    bytes.truncate(start);
                } else {
                    keys.push(start..bytes.len());
                }
            }
            keys.sort_unstable_by(|a, b| bytes[a.clone()].cmp(&bytes[b.clone()]));
            store_ended |= space.complete;
        }
        Ok(Scan { shard, namespace, after: after.map(<[u8]>::to_vec), bytes, keys, next: 0, store_ended })
    }

    /// Visits up to `limit` more keys. Returns whether there may be others after them.
    ///
    /// # Errors
    /// The store's errors, and what `visit` returns.
    pub fn scan_next(
        &mut self,
        scan: &mut Scan,
        limit: usize,
        mut visit: impl FnMut(K, &V) -> Result<()>,
    ) -> Result<bool> {
        self.look_again(scan)?;
        let stored = self.stored_part(scan, limit)?;
        let mut stored = stored.into_iter().peekable();
        for _ in 0..limit {
            let memory = scan.keys.get(scan.next).map(|range| &scan.bytes[range.clone()]);
            let (key, stored_value) = match (memory, stored.peek()) {
                (None, None) => return Ok(!scan.store_ended),
                // The part ended before the limit only if it was cut short: go on with the next one.
                (Some(_), None) if !scan.store_ended => return Ok(true),
                (Some(key), Some((other, _))) if key < other.as_slice() => (key.to_vec(), None),
                (Some(key), None) => (key.to_vec(), None),
                (memory, Some(_)) => {
                    let same = memory.is_some_and(|key| stored.peek().is_some_and(|(other, _)| key == other));
                    scan.next += usize::from(same);
                    let Some((key, value)) = stored.next() else { break };
                    self.visit_one(scan, &key, Some(&value), &mut visit)?;
                    scan.after = Some(key);
                    continue;
                }
            };
            scan.next += 1;
            self.visit_one(scan, &key, stored_value, &mut visit)?;
            scan.after = Some(key);
        }
        if stored.peek().is_some() {
            // The next part is read again from after the last key visited.
            scan.store_ended = false;
        }
        Ok(!scan.store_ended || scan.next < scan.keys.len())
    }

    /// Goes back to the store where keys have left the memory since it was last read.
    fn look_again(&self, scan: &mut Scan) -> Result<()> {
        let place = self.place(scan.shard)?;
        let complete = self.existing_space(scan.namespace, place).is_none_or(|space| space.complete);
        scan.store_ended = scan.store_ended && complete;
        Ok(())
    }

    /// Visits a key with its current value: that in memory, else the store's, else it was deleted.
    fn visit_one(
        &self,
        scan: &Scan,
        key_bytes: &[u8],
        stored: Option<&[u8]>,
        visit: &mut impl FnMut(K, &V) -> Result<()>,
    ) -> Result<()> {
        let key = K::decode(key_bytes)?;
        let place = self.place(scan.shard)?;
        if let Some(space) = self.existing_space(scan.namespace, place)
            && let Some(at) = space.find(key.hash64(), |other| *other == key)
        {
            let slot = &space.slots[at as usize];
            return slot.value.as_ref().map_or(Ok(()), |value| visit(key, value));
        }
        match stored {
            Some(value) => visit(key, &decode(self.table(), value)?),
            None => Ok(()),
        }
    }

    /// The next `limit` keys and values of the store, without the prefix.
    fn stored_part(&self, scan: &mut Scan, limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut part = Vec::new();
        if scan.store_ended {
            return Ok(part);
        }
        let prefix = scan.namespace.prefix(scan.shard);
        let mut from = prefix.clone();
        if let Some(after) = &scan.after {
            from.extend_from_slice(after);
            from.push(0); // the smallest key after it
        }
        self.shared.store.scan(self.table(), &from, &end_of_prefix(&prefix), &mut |key, value| {
            part.push((key[prefix.len()..].to_vec(), value.to_vec()));
            if part.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        scan.store_ended = part.len() < limit;
        Ok(part)
    }
}
