//! One namespace of one shard in memory: a hash index over a slab of decoded values.

use hashbrown::HashTable;

use crate::{Key, Namespace};

/// A decoded value, or the knowledge that there is none.
pub(crate) struct Slot<K, V> {
    /// The lower half of the key's hash.
    pub hash: u32,
    /// When it last changed; 0 if not since the worker was opened.
    pub stamp: u32,
    /// Length of the value when it was last encoded, for the memory budget.
    pub encoded_bytes: u32,
    pub key: K,
    pub value: Option<V>,
    pub live: bool,
    /// Set by each look-up and cleared by the passing hand: what is touched stays for another round.
    pub touched: bool,
}

/// Where the key with a hash is. The hash is here too, so that neither a growing index nor a look-up of another key
/// touches the slots, each of which is a cache miss.
struct Place {
    hash: u32,
    at: u32,
}

pub(crate) struct Space<K, V> {
    pub place: u16,
    pub namespace: Namespace,
    index: HashTable<Place>,
    pub slots: Vec<Slot<K, V>>,
    pub free: Vec<u32>,
    /// Slots changed in the running epoch.
    pub dirty: Vec<u32>,
    /// Everything stored for this namespace is in memory: a miss needs no read.
    pub complete: bool,
}

impl<K: Key, V> Space<K, V> {
    pub const SLOT_BYTES: usize = size_of::<Slot<K, V>>() + 2 * size_of::<Place>();

    pub fn new(place: u16, namespace: Namespace, complete: bool) -> Self {
        Self {
            place,
            namespace,
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            complete,
        }
    }

    #[inline]
    pub fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<u32> {
        let slots = &self.slots;
        let hash = hash as u32;
        self.index
            .find(spread(hash), |place| place.hash == hash && is(&slots[place.at as usize].key))
            .map(|place| place.at)
    }

    /// Adds a slot without a value for a key that [`find`](Self::find) did not find.
    pub fn insert(&mut self, hash: u64, key: K) -> u32 {
        let hash = hash as u32;
        let slot = Slot { hash, stamp: 0, encoded_bytes: 0, key, value: None, live: true, touched: true };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as u32
            }
        };
        self.index.insert_unique(spread(hash), Place { hash, at }, |place| spread(place.hash));
        at
    }

    /// Forgets a slot whose value the store has. Returns the bytes given back.
    pub fn evict(&mut self, at: u32) -> usize {
        let slot = &mut self.slots[at as usize];
        let bytes = slot_bytes(slot);
        slot.live = false;
        // A key without a value is no loss: a miss says the same.
        let lost = slot.value.take().is_some();
        if let Ok(entry) = self.index.find_entry(spread(slot.hash), |place| place.at == at) {
            entry.remove();
        }
        self.free.push(at);
        self.complete &= !lost;
        bytes
    }

    pub fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn used_bytes(&self) -> usize {
        self.slots.iter().filter(|slot| slot.live).map(slot_bytes).sum()
    }
}

/// What a slot costs: itself, its place in the index, and what it points to (for values: about as much as their
/// encoded form beyond what fits inline).
pub(crate) fn slot_bytes<K: Key, V>(slot: &Slot<K, V>) -> usize {
    Space::<K, V>::SLOT_BYTES + slot.key.heap_bytes() + (slot.encoded_bytes as usize).saturating_sub(size_of::<V>())
}

/// What the index takes for a hash: it needs its lowest and its highest bits to vary.
#[inline]
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
