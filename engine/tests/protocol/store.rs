//! Behind the commits: an instance's own tables, which lag, and the trimming of the log.

use crate::checks;
use crate::opening::{Actor, DONE, Done};
use crate::rules::Rule;
use crate::world::{Generation, NONE, Phase, Step};

impl Actor<'_> {
    /// The store's data reach the disk, then its position. Both lag behind what is committed.
    pub fn flush(&mut self) -> Done {
        let (in_order, committed_only) = (self.holds(Rule::PositionAfterData), self.holds(Rule::CommittedOnly));
        let me = &mut self.world.instances[self.id];
        let work = &me.work[0];
        let table = if committed_only { work.table } else { work.table_now };
        let store = &mut self.world.stores[self.id];
        let is_busy = matches!(me.step, Step::Unknown | Step::Decide);
        // Writing in the midst of an epoch or as a zombie is as good as before, if only what is committed is written.
        let is_idle = work.events == 0 && me.part == 0 && me.generation == Generation::Current;
        if work.phase != Phase::Live || is_busy || committed_only && !is_idle {
            return None;
        }
        if me.flushing == NONE {
            // Twice per rotation, so to speak: a store that follows more closely shows nothing more.
            let is_due = store.position != work.position && work.cursor == 2;
            if committed_only && !is_due || work.table_now == store.table && store.position == work.position {
                return None;
            }
            if in_order {
                store.table = table
            } else {
                store.position = work.position
            }
            me.flushing = work.position;
        } else {
            if in_order {
                store.position = me.flushing
            } else {
                store.table = table
            }
            me.flushing = NONE;
        }
        DONE
    }

    pub fn trim(&mut self) -> Done {
        let work = *self.work(0);
        let stored = self.world.stores[self.id].position;
        if work.phase != Phase::Live || work.trim <= 0 || self.holds(Rule::TrimDurable) && stored < work.trim {
            return None;
        }
        self.world.trim(0, work.trim);
        self.work(0).trim = NONE;
        if self.counts_costs && self.world.stores[self.id].position == NONE {
            return Some(Err("costly: the owner's trim overtook its own store, which must be rebuilt".to_owned()));
        }
        Some(checks::log_is_truth(self.world, 0))
    }
}
