//! An epoch: process, write, drain, offsets, commit; what follows when the answer is missing.

use crate::checks;
use crate::opening::{Actor, DONE, Done};
use crate::rules::Rule;
use crate::world::{Commit, Entry, Generation, Late, Pending, Phase, SHARDS, Status, Step, TICK, bit, has, small};

/// What becomes of a message to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Done,
    Failed,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Answered,
    /// It is answered when it is decided, and the partitions hear of it later.
    MarkersLate,
    /// It happens, and nobody says so.
    AnswerLost,
    /// It is still on its way when the instance stops waiting.
    Delayed,
    /// It was sent twice. The second copy is still on its way.
    Doubled,
}

impl Actor<'_> {
    fn can_process(&self, shard: usize) -> bool {
        let me = &self.world.instances[self.id];
        me.step == Step::Process
            && !me.needs_init
            && has(me.owned, shard)
            && me.work[shard].phase == Phase::Live
            && !me.work.iter().any(|work| work.is_doomed)
            // Outputs of one transaction come in any order: one order will do.
            && me.work[shard + 1..].iter().all(|later| later.events == 0)
            && self.world.can_write(self.id)
    }

    /// Counts the next input; its output goes into the open transaction.
    pub fn process(&mut self, shard: usize, delivery: Delivery) -> Done {
        let next = self.work(shard).source_now;
        if !self.can_process(shard) || next >= self.world.inputs[shard] {
            return None;
        }
        if !self.emit(shard, bit(usize::from(next)), delivery) {
            return self.fail();
        }
        let work = self.work(shard);
        work.table_now[usize::from(next)] += 1;
        work.source_now += 1;
        DONE
    }

    /// The timer: closes the first key, without any input.
    pub fn tick(&mut self, shard: usize) -> Done {
        let table = self.work(shard).table_now;
        if !self.can_process(shard) || shard != 0 || table[0] == 0 || table[2] != 0 {
            return None;
        }
        if !self.emit(shard, TICK, Delivery::Done) {
            return self.fail();
        }
        self.work(shard).table_now = [0, table[1], 1];
        DONE
    }

    fn emit(&mut self, shard: usize, event: u8, delivery: Delivery) -> bool {
        if !self.world.instances[self.id].is_producer_current {
            return false;
        }
        match delivery {
            Delivery::Done => self.world.output(self.id, shard, event),
            Delivery::Failed => self.world.instances[self.id].is_undelivered = true,
        }
        self.work(shard).events |= event;
        true
    }

    /// The epoch ends: each changed shard, and each that is to be claimed, writes blocks, slice and marker.
    pub fn write(&mut self, delivery: Delivery) -> Done {
        let me = &self.world.instances[self.id];
        if !matches!(me.step, Step::Process | Step::Write) || me.needs_init || !self.world.can_write(self.id) {
            return None;
        }
        if me.step == Step::Process {
            let takes_part = |shard: &usize| {
                let work = &me.work[*shard];
                work.events != 0 || work.phase == Phase::Ready && has(me.owned, *shard)
            };
            let part = (0..SHARDS).filter(takes_part).fold(0, |mask, shard| mask | bit(shard));
            if part == 0 {
                return None;
            }
            let me = &mut self.world.instances[self.id];
            (me.step, me.part, me.unwritten) = (Step::Write, part, part);
        }
        if !self.world.instances[self.id].is_producer_current {
            return self.fail();
        }
        let unwritten = self.world.instances[self.id].unwritten;
        let shard = (0..SHARDS).find(|shard| has(unwritten, *shard)).unwrap();
        let entry = self.entry(shard);
        match delivery {
            Delivery::Done => self.world.append(self.id, shard, entry),
            Delivery::Failed => self.world.instances[self.id].is_undelivered = true,
        }
        let me = &mut self.world.instances[self.id];
        me.unwritten &= !bit(shard);
        if me.unwritten == 0 {
            me.step = Step::Offsets;
        }
        DONE
    }

    fn entry(&mut self, shard: usize) -> Entry {
        let token = self.world.fresh_token(shard);
        let writer = small(self.id);
        let work = self.work(shard);
        work.token = token;
        let mut changes = [0; 3];
        for (key, change) in changes.iter_mut().enumerate() {
            *change = match (work.table[key], work.table_now[key]) {
                (before, now) if before == now => 0,
                (_, 0) => 1,
                (_, now) => now + 2,
            };
        }
        if shard == 0 {
            // A rotation is two slices: the first key, then the others. It starts where the last commit ends.
            (work.cursor, work.start) = match work.cursor {
                1 => (2, work.start),
                _ => (1, work.position),
            };
            let slice = if work.cursor == 1 { 0..1 } else { 1..3 };
            for key in slice.filter(|key| work.table_now[*key] != 0) {
                changes[key] = work.table_now[key] + 2;
            }
        }
        Entry {
            writer,
            status: Status::Open,
            token,
            is_claim: work.phase == Phase::Ready,
            changes,
            source: work.source_now,
            cursor: work.cursor,
            start: work.start,
        }
    }

    /// Drains, asks whether the shards are still ours, and sends the offsets with the tokens.
    pub fn offsets(&mut self, request: Request) -> Done {
        let me = self.world.instances[self.id];
        if me.step != Step::Offsets || self.world.pending[self.id].is_decided {
            return None;
        }
        let is_ours = |shard: &usize| has(me.owned, *shard) && !me.work[*shard].is_doomed;
        let (mine, lost): (Vec<_>, Vec<_>) = (0..SHARDS).filter(|shard| has(me.part, *shard)).partition(is_ours);
        if !lost.is_empty() && !self.holds(Rule::Whole) {
            lost.into_iter().for_each(|shard| self.close(shard));
            self.world.instances[self.id].part = mine.iter().fold(0, |mask, shard| mask | bit(*shard));
        } else if self.holds(Rule::Guard) && (!lost.is_empty() || me.generation == Generation::None) {
            return self.fail();
        }
        let generation = if self.holds(Rule::Generation) { me.generation } else { Generation::None };
        let is_undelivered = me.is_undelivered && self.holds(Rule::Drain);
        let part = self.world.instances[self.id].part;
        if part == 0 || is_undelivered || !me.is_producer_current || generation == Generation::Stale {
            return self.fail();
        }
        self.send(part, generation, request);
        let me = &mut self.world.instances[self.id];
        me.has_unanswered |= request != Request::Answered;
        if request == Request::Delayed {
            return self.fail();
        }
        me.step = Step::End;
        DONE
    }

    fn send(&mut self, part: u8, generation: Generation, request: Request) {
        let mut offsets = Pending { shards: part, ..Pending::default() };
        for shard in (0..SHARDS).filter(|shard| has(part, *shard)) {
            let work = self.work(shard);
            let (source, token) = (work.source_now, work.token);
            offsets.commits[shard] = Commit { source, token, owner: small(self.id) };
        }
        if request != Request::Answered {
            self.world.late = Late::Offsets(small(self.id), generation, offsets);
        }
        if !self.holds(Rule::Transactional) {
            for shard in (0..SHARDS).filter(|shard| has(part, *shard)) {
                self.world.commits[shard] = offsets.commits[shard];
            }
        } else if request != Request::Delayed {
            self.world.send_offsets(self.id, &offsets);
        }
    }

    /// EndTxn.
    pub fn end(&mut self, request: Request) -> Done {
        let aborts_lost = self.holds(Rule::AbortLost);
        let me = &mut self.world.instances[self.id];
        if me.step != Step::End {
            return None;
        }
        if aborts_lost && me.work.iter().any(|work| work.is_doomed) {
            return self.fail();
        }
        // Even the answer "fenced" says nothing of the outcome: the first copy of the request may have got through.
        let is_known = me.is_producer_current && !matches!(request, Request::AnswerLost | Request::Delayed);
        let arrives = me.is_producer_current && request != Request::Delayed;
        me.has_unanswered |= !matches!(request, Request::Answered | Request::MarkersLate);
        if me.is_producer_current && matches!(request, Request::Delayed | Request::Doubled) {
            self.world.late = Late::Commit(small(self.id));
        }
        if arrives && let Err(broken) = self.world.commit(self.id) {
            return Some(Err(broken));
        }
        if arrives && request != Request::MarkersLate {
            self.world.mark_all(self.id);
        }
        if is_known { self.committed() } else { self.unknown() }
    }

    fn unknown(&mut self) -> Done {
        let (reads, doubts) = (self.holds(Rule::ReadOutcome), self.holds(Rule::DoubtOutcome));
        let inits = self.holds(Rule::InitBeforeOutcome);
        let me = &mut self.world.instances[self.id];
        me.needs_init = inits || !me.is_producer_current;
        me.step = if me.needs_init { Step::Unknown } else { Step::Decide };
        if !doubts {
            return self.committed();
        }
        if !reads {
            (me.step, me.part) = (Step::Process, 0);
            for work in &mut me.work {
                (work.table_now, work.source_now, work.events) = (work.table, work.source, 0);
            }
        }
        DONE
    }

    /// Reads with stable offsets what became of an unanswered commit.
    pub fn decide(&mut self) -> Done {
        let me = self.world.instances[self.id];
        if me.step != Step::Decide {
            return None;
        }
        let mut is_committed = true;
        for shard in (0..SHARDS).filter(|shard| has(me.part, *shard)) {
            let commit = self.world.stable_offsets(shard)?;
            let work = &me.work[shard];
            let is_ours = match self.holds(Rule::Token) {
                true => commit.token == work.token,
                false => commit.source == work.source_now,
            };
            is_committed &= is_ours;
        }
        // A token of somebody else may also be that of a later owner, who has taken over one shard of two.
        if !is_committed {
            return self.fail();
        }
        let done = self.committed();
        self.claim_again();
        done
    }

    /// Only now do the changes count.
    fn committed(&mut self) -> Done {
        let part = self.world.instances[self.id].part;
        let keeps_order = self.holds(Rule::WholeRotation);
        for shard in (0..SHARDS).filter(|shard| has(part, *shard)) {
            let token = self.work(shard).token;
            let log = &self.world.logs[shard];
            let at = log.entries().iter().position(|entry| entry.token == token);
            let position = at.map_or(log.end(), |at| i8::try_from(at + 1).unwrap());
            let work = self.work(shard);
            (work.table, work.source, work.position) = (work.table_now, work.source_now, position);
            (work.token, work.events, work.phase) = (0, 0, Phase::Live);
            if work.cursor == 2 || !keeps_order {
                work.trim = work.start;
            }
            if let Err(broken) = checks::memory_is_truth(self.world, shard, &self.world.instances[self.id].work[shard])
            {
                return Some(Err(broken));
            }
            if self.work(shard).is_doomed {
                self.close(shard);
            }
        }
        let recycles = self.holds(Rule::Recycle);
        let me = &mut self.world.instances[self.id];
        me.needs_init |= me.has_unanswered && recycles;
        me.has_unanswered = false;
        me.is_undelivered = false;
        (me.step, me.part) = (Step::Process, 0);
        DONE
    }

    /// Aborts, drops the epoch's memory and closes its shards, to be opened from the last commit.
    pub fn fail(&mut self) -> Done {
        let is_current = self.world.instances[self.id].is_producer_current;
        if is_current {
            self.world.abort(self.id);
        }
        for shard in 0..SHARDS {
            let me = &self.world.instances[self.id];
            if me.work[shard].events != 0 || has(me.part, shard) {
                self.close(shard);
            }
        }
        let recycles = self.holds(Rule::Recycle);
        let me = &mut self.world.instances[self.id];
        me.needs_init |= !is_current || me.has_unanswered && recycles;
        me.has_unanswered = false;
        me.is_undelivered = false;
        (me.step, me.part, me.unwritten) = (Step::Process, 0, 0);
        DONE
    }

    /// An epoch that must not commit is aborted; one that keeps a shard from another may be.
    pub fn give_in(&mut self) -> Done {
        let me = &self.world.instances[self.id];
        let is_doomed = me.work.iter().any(|work| work.is_doomed);
        let is_asked = (0..SHARDS).any(|shard| has(me.owned, shard) && self.world.group.moving_to[shard].is_some());
        let is_busy = me.part != 0 || me.work.iter().any(|work| work.events != 0);
        if matches!(me.step, Step::Unknown | Step::Decide) || !is_busy || !is_doomed && !is_asked {
            return None;
        }
        self.fail()
    }

    /// `init_transactions` with the instance's own id.
    pub fn init(&mut self) -> Done {
        let me = self.world.instances[self.id];
        if !me.needs_init || !self.world.can_write(self.id) {
            return None;
        }
        self.world.fence(self.id);
        let me = &mut self.world.instances[self.id];
        (me.is_producer_current, me.needs_init) = (true, false);
        if me.step == Step::Unknown {
            me.step = Step::Decide;
        }
        self.claim_again();
        DONE
    }

    /// The old claims count for the old producer: whoever takes over may have fenced it already and not look again.
    fn claim_again(&mut self) {
        if !self.holds(Rule::ClaimAfterInit) || !self.holds(Rule::Claim) {
            return;
        }
        let me = &mut self.world.instances[self.id];
        let part = me.part;
        for (_, work) in me.work.iter_mut().enumerate().filter(|(shard, _)| !has(part, *shard)) {
            if work.phase == Phase::Live {
                work.phase = Phase::Ready;
            }
        }
    }
}
