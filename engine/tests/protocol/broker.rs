//! The broker: transactions and their markers, producer epochs, the consumer group, requests that arrive late.
//!
//! It verifies every write against the transaction coordinator (KIP-890 part 1), so that nothing of an old producer epoch
//! and nothing outside a transaction gets into a log or among the pending offsets.

use crate::checks;
use crate::world::{
    Commit, Entry, Generation, INSTANCES_MAX, Instance, Late, NONE, Pending, SHARDS, Status, Txn, TxnState, World, bit,
    has, small,
};

impl World {
    /// Whether a new write is let in: the transaction before must be complete (CONCURRENT_TRANSACTIONS).
    pub fn can_write(&self, id: usize) -> bool {
        !matches!(self.txns[id].state, TxnState::Committing(_))
    }

    pub fn output(&mut self, id: usize, shard: usize, event: u8) {
        self.txns[id].state = TxnState::Ongoing;
        self.txns[id].outputs[shard] |= event;
    }

    pub fn append(&mut self, id: usize, shard: usize, entry: Entry) {
        self.txns[id].state = TxnState::Ongoing;
        self.logs[shard].push(entry);
    }

    /// Takes offsets into the transaction. Only the generation is checked: not who owns what.
    pub fn send_offsets(&mut self, id: usize, offsets: &Pending) {
        self.txns[id].state = TxnState::Ongoing;
        let pending = &mut self.pending[id];
        pending.shards |= offsets.shards;
        for shard in (0..SHARDS).filter(|shard| has(offsets.shards, *shard)) {
            pending.commits[shard] = offsets.commits[shard];
        }
    }

    /// EndTxn with commit: it is decided here, and each partition hears of it later.
    pub fn commit(&mut self, id: usize) -> Result<(), String> {
        if self.txns[id].state != TxnState::Ongoing {
            return Ok(());
        }
        let outputs = self.txns[id].outputs;
        let mut unmarked = 0;
        for (shard, events) in outputs.into_iter().enumerate() {
            checks::outputs_are_new(self, shard, events)?;
            self.truth[shard] |= events;
            checks::writer_is_owner(self, shard, small(id))?;
            for entry in self.logs[shard].entries_mut().iter_mut().filter(|entry| is_open(entry, id)) {
                (entry.status, entry.is_claim) = (Status::Decided, false);
                unmarked |= bit(shard);
            }
        }
        self.pending[id].is_decided = self.pending[id].shards != 0;
        self.txns[id] = Txn { state: TxnState::Committing(unmarked), outputs: [0; SHARDS] };
        for (shard, events) in outputs.into_iter().enumerate() {
            if events != 0 || has(unmarked, shard) || has(self.pending[id].shards, shard) {
                checks::shard_is_whole(self, shard, id)?;
            }
        }
        self.complete_if_marked(id);
        Ok(())
    }

    /// An abort. Its markers are written at once: a reader before them waits as it does before the abort.
    pub fn abort(&mut self, id: usize) {
        if self.txns[id].state != TxnState::Ongoing {
            return;
        }
        self.txns[id] = Txn::default();
        if !self.pending[id].is_decided {
            self.pending[id] = Pending::default();
        }
        for shard in 0..SHARDS {
            while let Some(at) = self.logs[shard].entries().iter().position(|entry| is_open(entry, id)) {
                self.logs[shard].remove(at);
                let at = i8::try_from(at).unwrap();
                self.move_positions(shard, |position| if position > at { position - 1 } else { position });
            }
        }
    }

    /// The marker of a committed transaction reaches a shard's log.
    pub fn mark(&mut self, id: usize, shard: usize) -> bool {
        let TxnState::Committing(unmarked) = self.txns[id].state else { return false };
        if !has(unmarked, shard) {
            return false;
        }
        let entries = self.logs[shard].entries_mut().iter_mut();
        for entry in entries.filter(|entry| usize::from(entry.writer) == id && entry.status == Status::Decided) {
            entry.status = Status::Committed;
        }
        self.txns[id].state = TxnState::Committing(unmarked & !bit(shard));
        self.complete_if_marked(id);
        true
    }

    fn complete_if_marked(&mut self, id: usize) {
        if self.txns[id].state == TxnState::Committing(0) {
            self.txns[id].state = TxnState::Empty;
        }
    }

    pub fn mark_all(&mut self, id: usize) {
        for shard in 0..SHARDS {
            self.mark(id, shard);
        }
        self.materialise(id);
    }

    /// The marker reaches the group's coordinator, or rather: what it says can be read at last.
    pub fn materialise(&mut self, id: usize) -> bool {
        let pending = self.pending[id];
        if !pending.is_decided {
            return false;
        }
        for shard in (0..SHARDS).filter(|shard| has(pending.shards, *shard)) {
            self.commits[shard] = pending.commits[shard];
        }
        self.pending[id] = Pending::default();
        true
    }

    /// Ends a producer epoch, and with it the open transaction and whatever is still on its way.
    pub fn fence(&mut self, id: usize) {
        self.abort(id);
        self.instances[id].is_producer_current = false;
        if matches!(self.late, Late::Commit(from) | Late::Offsets(from, ..) if usize::from(from) == id) {
            self.late = Late::Nothing;
        }
    }

    /// A process starts, which begins with `init_transactions`.
    pub fn restart(&mut self, id: usize) {
        self.fence(id);
        self.instances[id] = Instance::started();
    }

    /// The request that was late arrives.
    pub fn deliver(&mut self) -> Result<(), String> {
        match std::mem::take(&mut self.late) {
            Late::Nothing => Ok(()),
            Late::Commit(id) => self.commit(usize::from(id)),
            Late::Offsets(id, generation, offsets) => {
                let id = usize::from(id);
                let is_open = self.txns[id].state == TxnState::Ongoing && !self.pending[id].is_decided;
                if is_open && generation != Generation::Stale {
                    self.send_offsets(id, &offsets);
                }
                Ok(())
            }
        }
    }

    /// What stable offsets say of a shard, if nothing keeps them waiting.
    pub fn stable_offsets(&self, shard: usize) -> Option<Commit> {
        let waits = self.pending.iter().any(|pending| has(pending.shards, shard));
        (!waits).then_some(self.commits[shard])
    }

    pub fn is_member(&self, id: usize) -> bool {
        has(self.group.members, id)
    }

    fn next_generation(&mut self) {
        let stale = |generation: &mut Generation| {
            if *generation == Generation::Current {
                *generation = Generation::Stale;
            }
        };
        self.instances.iter_mut().for_each(|instance| stale(&mut instance.generation));
        if let Late::Offsets(_, generation, _) = &mut self.late {
            stale(generation);
        }
    }

    /// The session of a silent member ends; its shards go to others.
    pub fn expire(&mut self, id: usize) {
        self.group.members &= !bit(id);
        self.next_generation();
        let mut members = (0..INSTANCES_MAX).filter(|member| has(self.group.members, *member));
        let (first, last) = (members.next(), members.next_back());
        let heirs = [first, last.or(first)];
        for (shard, heir) in heirs.into_iter().enumerate() {
            if self.group.moving_to[shard] == Some(small(id)) {
                self.group.moving_to[shard] = None;
            }
            if self.group.owner[shard] == Some(small(id)) {
                self.group.owner[shard] = self.group.moving_to[shard].take().or(heir.map(small));
            }
        }
    }

    /// Joins, or joins again: a static member that was restarted in time gets its own back.
    pub fn join(&mut self, id: usize) {
        for shard in 0..SHARDS {
            if self.group.owner[shard] == Some(small(id)) && self.group.moving_to[shard].is_some() {
                self.group.owner[shard] = self.group.moving_to[shard].take();
                self.next_generation();
            }
        }
        if !self.is_member(id) {
            self.group.members |= bit(id);
            self.next_generation();
            let owner = &mut self.group.owner;
            owner.iter_mut().filter(|owner| owner.is_none()).for_each(|owner| *owner = Some(small(id)));
        }
        self.sync(id);
    }

    /// The member hears of the newest generation and what it owns in it.
    pub fn sync(&mut self, id: usize) {
        self.instances[id].generation = Generation::Current;
        let owned = (0..SHARDS).filter(|shard| self.group.owner[*shard] == Some(small(id)));
        self.instances[id].owned = owned.fold(0, |mask, shard| mask | bit(shard));
    }

    /// The group wants a shard elsewhere. Its owner is asked first.
    pub fn ask_for(&mut self, shard: usize, to: usize) {
        self.group.moving_to[shard] = Some(small(to));
        self.next_generation();
    }

    pub fn let_go(&mut self, shard: usize) {
        self.group.owner[shard] = self.group.moving_to[shard].take();
        self.next_generation();
    }

    /// DeleteRecords. Nobody asks who sends it.
    pub fn trim(&mut self, shard: usize, to: i8) {
        for _ in 0..to {
            self.logs[shard].remove(0);
        }
        self.move_positions(shard, |position| (position - to).max(NONE));
    }
}

fn is_open(entry: &Entry, id: usize) -> bool {
    usize::from(entry.writer) == id && entry.status == Status::Open
}
