//! Keeps a worker's decoded values within its budget: a clock hand over the slots.

use crate::space::slot_bytes;
use crate::{Key, State, Value};

/// How many slots one call looks at: eviction must not stall a batch.
const STEPS_MAX: usize = 16 * 1024;

impl<K: Key, V: Value> State<K, V> {
    /// Gives memory back: that of deleted keys whose deletion the store has; and while the worker is over its budget, that
    /// of values that the store has and that were not used since the hand last passed. Called between batches. Ends the validity of every [`SlotId`](crate::SlotId).
    pub fn maintain(&mut self) {
        let durable = self.shared.durable_stamp();
        if !self.drops.is_empty() {
            self.drops.retain(|_, stamp| *stamp > durable);
        }
        self.forget_emptied(durable);
        let budget = self.shared.options.memory_bytes;
        if self.shared.used_bytes.get() <= budget {
            self.shared.pressure.set(false);
            return;
        }
        let mut evicted = false;
        for _ in 0..STEPS_MAX {
            if self.shared.used_bytes.get() <= budget {
                break;
            }
            evicted |= self.step(durable);
        }
        self.shared.pressure.set(!evicted);
    }

    /// Gives back slots that were emptied and are so still. Without it, a table whose keys come and go would take all of
    /// the budget.
    fn forget_emptied(&mut self, durable: u32) {
        for _ in 0..STEPS_MAX {
            let Some((id, _)) = self.emptied.pop_front_if(|(_, stamp)| *stamp <= durable) else { return };
            let Some(space) = self.spaces.get_mut(id.space as usize) else { continue };
            let Some(slot) = space.slots.get(id.slot as usize) else { continue };
            // Of another key by now, or of a value again: what holds for an empty slot holds for that one, too.
            if slot.live && slot.value.is_none() && slot.stamp <= durable {
                self.shared.remove_used(space.evict(id.slot));
            }
        }
    }

    /// Moves the hand by one slot. Whether it gave one back.
    fn step(&mut self, durable: u32) -> bool {
        if self.spaces.is_empty() {
            return false;
        }
        let (space_at, slot_at) = self.hand;
        let space_at = space_at % self.spaces.len();
        let space = &mut self.spaces[space_at];
        let Some(slot) = space.slots.get_mut(slot_at) else {
            self.hand = (space_at + 1, 0);
            return false;
        };
        self.hand = (space_at, slot_at + 1);
        if !slot.live || slot.stamp > durable {
            return false;
        }
        if std::mem::take(&mut slot.touched) {
            return false;
        }
        debug_assert!(slot_bytes(slot) > 0);
        let bytes = space.evict(slot_at as u32);
        self.shared.remove_used(bytes);
        true
    }
}
