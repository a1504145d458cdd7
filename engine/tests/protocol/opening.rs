//! Opening a shard, as far as its claim: look for writers that are gone, fence them, stable offsets, end of the
//! changelog, replay.

use crate::checks;
use crate::rules::{Rule, Rules};
use crate::world::{Generation, NONE, Phase, SHARDS, Step, TxnState, Work, World, bit, has, small};

/// One instance of the world, and the rules it follows.
pub struct Actor<'w> {
    pub world: &'w mut World,
    pub rules: Rules,
    pub counts_costs: bool,
    pub id: usize,
}

/// Nothing if the action cannot happen now.
pub type Done = Option<Result<(), String>>;

pub const DONE: Done = Some(Ok(()));

impl Actor<'_> {
    pub fn work(&mut self, shard: usize) -> &mut Work {
        &mut self.world.instances[self.id].work[shard]
    }

    pub fn holds(&self, rule: Rule) -> bool {
        self.rules.hold(rule)
    }

    /// One shard after the other: opening two at once shows nothing more.
    fn can_open(&self, shard: usize) -> bool {
        let me = &self.world.instances[self.id];
        let is_empty = self.world.inputs[shard] == 0;
        let is_busy =
            is_empty || me.work.iter().any(|work| !matches!(work.phase, Phase::Closed | Phase::Ready | Phase::Live));
        has(me.owned, shard) && !me.needs_init && !is_busy && !matches!(me.step, Step::Unknown | Step::Decide)
    }

    /// Step 1: who wrote what is not committed, and who committed last? Those that are gone are to be fenced.
    pub fn look(&mut self, shard: usize) -> Done {
        // Step 0: membership is confirmed. It may be over by the time of step 1 all the same.
        let is_confirmed =
            self.world.instances[self.id].generation == Generation::Current || !self.holds(Rule::Membership);
        if !self.can_open(shard) || !is_confirmed || self.work(shard).phase != Phase::Closed {
            return None;
        }
        let seen = match self.holds(Rule::FenceFirst) {
            true => self.world.commits[shard],
            false => self.world.stable_offsets(shard)?,
        };
        let gone = match self.holds(Rule::Fence) {
            true => self.gone_writers(shard),
            false => 0,
        };
        let stable = self.world.logs[shard].last_stable();
        let is_end_first = !self.holds(Rule::EndLast);
        let after_fence = if self.holds(Rule::FenceFirst) { Phase::Stable } else { Phase::Tail };
        let work = self.work(shard);
        work.token = seen.token;
        work.source = seen.source;
        work.replay_to = if is_end_first { stable } else { NONE };
        work.phase = if gone == 0 { after_fence } else { Phase::Fencing(gone) };
        DONE
    }

    /// The owner that the committed token names and the writers of what is open, if they are gone from the group.
    fn gone_writers(&self, shard: usize) -> u8 {
        let (log, commit) = (&self.world.logs[shard], self.world.commits[shard]);
        let open = &log.entries()[usize::try_from(log.last_stable()).unwrap()..];
        let claimant = if commit.token == 0 { 0 } else { bit(usize::from(commit.owner)) };
        let named = open.iter().fold(claimant, |mask, entry| mask | bit(usize::from(entry.writer)));
        named & !self.world.group.members & !bit(self.id)
    }

    /// `init_transactions` with the ids of those that are gone. It waits for a commit that is decided.
    pub fn fence(&mut self, shard: usize) -> Done {
        let Phase::Fencing(gone) = self.work(shard).phase else { return None };
        let gone = (0..self.world.txns.len()).filter(|id| has(gone, *id));
        if !gone.clone().all(|id| self.world.can_write(id)) {
            return None;
        }
        gone.for_each(|id| self.world.fence(id));
        self.work(shard).phase = if self.holds(Rule::FenceFirst) { Phase::Stable } else { Phase::Tail };
        DONE
    }

    /// Step 2: T(s).
    pub fn stable(&mut self, shard: usize) -> Done {
        if self.work(shard).phase != Phase::Stable {
            return None;
        }
        let commit = match self.holds(Rule::StableOffsets) {
            true => self.world.stable_offsets(shard)?,
            false => self.world.commits[shard],
        };
        let repeats = self.holds(Rule::Repeat);
        let work = self.work(shard);
        if repeats && work.token != commit.token {
            self.close(shard);
            return DONE;
        }
        work.token = commit.token;
        work.source = commit.source;
        work.phase = Phase::Tail;
        DONE
    }

    /// Opening waits for a writer that has gone since step 1: back to it.
    pub fn look_again(&mut self, shard: usize) -> Done {
        let log = &self.world.logs[shard];
        let waits = match self.world.instances[self.id].work[shard].phase {
            Phase::Stable => self.world.stable_offsets(shard).is_none(),
            Phase::Tail => log.last_stable() < log.end(),
            _ => false,
        };
        let can_help = |id: usize| has(self.gone_writers(shard), id) && self.world.txns[id].state != TxnState::Empty;
        if !self.holds(Rule::LookAgain) || !waits || !(0..self.world.txns.len()).any(can_help) {
            return None;
        }
        self.close(shard);
        DONE
    }

    /// Step 3: the end of the changelog, and where to begin: at the store's position or with an empty table.
    pub fn tail(&mut self, shard: usize) -> Done {
        if self.work(shard).phase != Phase::Tail {
            return None;
        }
        let (is_last, is_patient) = (self.holds(Rule::EndLast), self.holds(Rule::WaitForEnd));
        let log = &self.world.logs[shard];
        if is_last && is_patient && log.last_stable() != log.end() {
            return None;
        }
        let stable = log.last_stable();
        let stored = if shard == 0 { self.world.stores[self.id].position } else { NONE };
        let keeps_base = shard == 0 && !self.holds(Rule::RebuildTrimmed);
        let work = self.work(shard);
        if is_last {
            work.replay_to = stable;
        }
        work.is_rebuild = stored == NONE && !keeps_base;
        work.replay_from = stored.max(0);
        work.phase = Phase::Replay;
        DONE
    }

    /// The end of the replay. The log may have been trimmed under it.
    pub fn replay(&mut self, shard: usize) -> Done {
        let work = *self.work(shard);
        if work.phase != Phase::Replay {
            return None;
        }
        if work.replay_from == NONE && self.holds(Rule::ResetIsError) {
            self.close(shard);
            return DONE;
        }
        let to = usize::try_from(work.replay_to.max(0)).unwrap();
        let from = usize::try_from(work.replay_from.max(0)).unwrap();
        let entries = &self.world.logs[shard].entries()[..to];
        let mut table = if work.is_rebuild || shard != 0 { [0; 3] } else { self.world.stores[self.id].table };
        entries.iter().skip(from).for_each(|entry| checks::apply(&mut table, entry));
        let last = entries.last().copied().unwrap_or_default();
        let is_same = match self.holds(Rule::Token) {
            true => last.token == work.token,
            false => last.source == work.source,
        };
        if !is_same {
            let is_overtaken = self.world.stable_offsets(shard).is_none_or(|commit| commit.token != work.token);
            if is_overtaken && self.holds(Rule::ReadAgain) {
                self.close(shard);
                return DONE;
            }
            return Some(Err(format!("stops: the last marker of shard {shard} is not T({shard})")));
        }
        let keeps_cursor = !self.holds(Rule::CursorRollsBack) && work.cursor != 0;
        let (cursor, start) = if keeps_cursor { (work.cursor, work.start) } else { (last.cursor, last.start) };
        let phase = if self.holds(Rule::Claim) { Phase::Ready } else { Phase::Live };
        *self.work(shard) = Work {
            phase,
            table,
            table_now: table,
            source: work.source,
            source_now: work.source,
            position: work.replay_to,
            cursor,
            start,
            ..Work::default()
        };
        DONE
    }

    /// Drops what memory has of a shard.
    pub fn close(&mut self, shard: usize) {
        let keeps_cursor = !self.holds(Rule::CursorRollsBack);
        let work = self.work(shard);
        let (cursor, start) = if keeps_cursor { (work.cursor, work.start) } else { (0, NONE) };
        *work = Work { cursor, start, ..Work::default() };
        if shard == 0 {
            self.world.instances[self.id].flushing = NONE;
        }
    }

    /// Joins the group, with nothing open: a member is never fenced, so what it left open would stay.
    pub fn join(&mut self) -> Done {
        let me = &self.world.instances[self.id];
        let is_open = me.needs_init || me.part != 0 || me.work.iter().any(|work| work.events != 0);
        if me.generation != Generation::None || is_open && self.holds(Rule::AbortBeforeJoin) {
            return None;
        }
        self.world.join(self.id);
        DONE
    }

    /// Polls: a new generation.
    pub fn sync(&mut self) -> Done {
        if self.world.instances[self.id].generation != Generation::Stale || !self.world.is_member(self.id) {
            return None;
        }
        self.world.sync(self.id);
        DONE
    }

    /// Polls: the callback that says that the session is over.
    pub fn lose(&mut self) -> Done {
        let is_member = self.world.is_member(self.id);
        let me = &mut self.world.instances[self.id];
        if me.generation != Generation::Stale || is_member {
            return None;
        }
        me.generation = Generation::None;
        me.owned = 0;
        if matches!(me.step, Step::Unknown | Step::Decide) {
            // Nothing of this can count here any more.
            (me.step, me.part) = (Step::Process, 0);
            (0..SHARDS).for_each(|shard| self.close(shard));
        }
        if self.holds(Rule::Continuity) {
            (0..SHARDS).for_each(|shard| self.give_up(shard));
        }
        DONE
    }

    /// A shard is no longer ours: an epoch that it is part of must not commit.
    pub fn give_up(&mut self, shard: usize) {
        let part = self.world.instances[self.id].part;
        let work = self.work(shard);
        if work.events != 0 || has(part, shard) {
            work.is_doomed = true;
        } else {
            self.close(shard);
        }
    }

    /// Polls: the callback that asks for a shard. It answers when the transaction is over.
    pub fn let_go(&mut self, shard: usize) -> Done {
        let me = &self.world.instances[self.id];
        let is_asked = self.world.group.owner[shard] == Some(small(self.id))
            && self.world.group.moving_to[shard].is_some()
            && has(me.owned, shard);
        let is_idle = me.step == Step::Process && me.work.iter().all(|work| work.events == 0);
        if !is_asked || matches!(me.step, Step::Unknown | Step::Decide) || self.holds(Rule::Revoke) && !is_idle {
            return None;
        }
        self.world.instances[self.id].owned &= !bit(shard);
        self.give_up(shard);
        self.world.let_go(shard);
        DONE
    }
}
