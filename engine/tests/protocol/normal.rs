//! How states stay few: positions that move with their log, tokens without a past, entries that are joined.

use crate::world::{Entry, Late, NONE, Position, SHARDS, Status, Store, Work, World};

impl World {
    /// Renames what is remembered by the log positions of a shard.
    pub fn move_positions(&mut self, shard: usize, moved: impl Fn(Position) -> Position) {
        for instance in &mut self.instances {
            let work = &mut instance.work[shard];
            for at in [&mut work.replay_from, &mut work.replay_to, &mut work.position, &mut work.start, &mut work.trim]
            {
                *at = moved(*at);
            }
            if shard == 0 {
                instance.flushing = moved(instance.flushing);
            }
        }
        if shard == 0 {
            self.stores.iter_mut().for_each(|store| store.position = moved(store.position));
        }
        self.logs[shard].entries_mut().iter_mut().for_each(|entry| entry.start = moved(entry.start));
    }

    fn for_each_token(&mut self, shard: usize, mut visit: impl FnMut(&mut u8)) {
        self.logs[shard].entries_mut().iter_mut().for_each(|entry| visit(&mut entry.token));
        visit(&mut self.commits[shard].token);
        self.pending.iter_mut().for_each(|pending| visit(&mut pending.commits[shard].token));
        self.instances.iter_mut().for_each(|instance| visit(&mut instance.work[shard].token));
        if let Late::Offsets(_, _, pending) = &mut self.late {
            visit(&mut pending.commits[shard].token);
        }
    }

    pub fn fresh_token(&mut self, shard: usize) -> u8 {
        let mut highest = 0;
        self.for_each_token(shard, |token| highest = highest.max(*token));
        highest + 1
    }

    /// Makes states the same that nothing can tell apart.
    pub fn normalise(&mut self) {
        for shard in 0..SHARDS {
            for instance in &mut self.instances {
                let work = &mut instance.work[shard];
                if shard == 1 {
                    work.position = NONE;
                }
            }
            self.forget_old_markers(shard);
            self.join_entries(shard);
        }
        self.number_tokens();
    }

    /// Only the last committed marker is ever read, or the one where a replay under way ends.
    fn forget_old_markers(&mut self, shard: usize) {
        let last = self.logs[shard].entries().iter().rposition(|entry| entry.status == Status::Committed);
        for at in 0..last.unwrap_or(0) {
            let end = i8::try_from(at + 1).unwrap();
            let is_read = self.instances.iter().any(|instance| instance.work[shard].replay_to == end);
            let entry = &mut self.logs[shard].entries[at];
            if entry.status == Status::Committed && !is_read {
                *entry = Entry { status: Status::Committed, changes: entry.changes, start: NONE, ..Entry::default() };
            }
        }
    }

    /// Two committed entries that no position stands between are as good as one.
    fn join_entries(&mut self, shard: usize) {
        let mut at = 1;
        while at < usize::from(self.logs[shard].len) {
            let entries = self.logs[shard].entries();
            let are_committed = entries[at - 1].status == Status::Committed && entries[at].status == Status::Committed;
            let place = i8::try_from(at).unwrap();
            if !are_committed || self.is_position(shard, place) {
                at += 1;
                continue;
            }
            let earlier = entries[at - 1].changes;
            let changes = &mut self.logs[shard].entries[at].changes;
            changes.iter_mut().zip(earlier).filter(|(change, _)| **change == 0).for_each(|(change, old)| *change = old);
            self.logs[shard].remove(at - 1);
            self.move_positions(shard, |position| if position > place { position - 1 } else { position });
        }
    }

    fn is_position(&self, shard: usize, place: Position) -> bool {
        let in_work =
            |work: &Work| [work.replay_from, work.replay_to, work.position, work.start, work.trim].contains(&place);
        let in_store = |store: &Store| shard == 0 && store.position == place;
        self.instances.iter().any(|instance| in_work(&instance.work[shard]) || shard == 0 && instance.flushing == place)
            || self.stores.iter().any(in_store)
            || self.logs[shard].entries().iter().any(|entry| entry.start == place)
    }

    /// Numbers tokens by where they stand: only whether two are the same says something.
    fn number_tokens(&mut self) {
        for shard in 0..SHARDS {
            let mut names = [0; 64];
            let mut last = 0;
            self.for_each_token(shard, |token| {
                if *token != 0 {
                    let name: &mut u8 = &mut names[usize::from(*token)];
                    if *name == 0 {
                        last += 1;
                        *name = last;
                    }
                    *token = *name;
                }
            });
        }
    }
}
