//! What waits to be delivered to the world outside, as state.

mod attempt;
mod item;
mod policy;
mod queue;
mod retry;
mod seat;

use headwater_state::{Epoch, Error, Key, LocalState, Namespace, Note, Result, State, Table, TableSpec, Text, Value};

use crate::Timestamp;
pub use attempt::{Attempt, Failure, FailureKind};
use item::Pending;
pub use item::{Answer, Dead, Entry, LaneNews, OutboxCounts, Outcome};
pub use policy::{Naming, OutboxPolicy};
use queue::Queue;
pub use retry::{Retry, Throttle};
use seat::Seat;

/// How many items are read at once when an outbox is opened.
const READ_MAX: usize = 4096;
/// How many items are given up in one piece.
const DEAD_MAX: usize = 1024;

/// Items that wait to be delivered, with their attempts: the state of an outbox.
///
/// An attempt is [taken](Self::take), committed, and only then made, so that no crash makes more of them than the
/// schedule has; what came of it is [settled](Self::settle) in a later epoch. One worker owns all items of an outbox, so
/// that its throttle, order and bounds hold for the whole job.
pub struct OutboxState<T> {
    id: String,
    policy: OutboxPolicy,
    naming: Naming<T>,
    home: u64,
    owned: bool,
    local: LocalState,
    items: State<Seat, Pending>,
    queue: Queue,
    /// The number of the next item.
    next: u64,
    /// When the next attempt was due if they came evenly: see [`Throttle`].
    arrival: i64,
    /// When the throttle last held an item back, where it has not been let go since.
    held: Option<Timestamp>,
    /// When its first item came, in microseconds: what sets its keys apart from those of a state that was given up.
    born: Option<i64>,
    now: Timestamp,
    /// Items that were given out and not settled.
    under_way: usize,
    /// Those of them that were when it was opened.
    left_over: Vec<(u64, u32, Timestamp)>,
    dead: Vec<Dead>,
    news: Vec<LaneNews>,
    counts: OutboxCounts,
}

fn table(id: &str) -> Table<Seat, Pending> {
    Table::named(format!("{id}/items"))
}

/// The table that an outbox called `id` keeps.
pub fn outbox_table(id: &str) -> TableSpec {
    table(id).spec()
}

impl<T: Value> OutboxState<T> {
    /// Opens the outbox called `id` where the last commit left it. Items whose attempt was under way stay so until they
    /// are [settled](Self::settle).
    ///
    /// # Errors
    /// `Corrupt` where the note or an item cannot be read, the store's errors.
    pub fn open(id: &str, policy: OutboxPolicy, naming: Naming<T>, local: &LocalState) -> Result<Self> {
        let home = id.to_owned().hash64();
        let shard = Seat::shard(home, local.shards_total());
        let mut outbox = Self {
            id: id.to_owned(),
            policy,
            naming,
            home,
            owned: local.shards().contains(&shard),
            local: local.clone(),
            items: local.open(table(id)),
            queue: Queue::default(),
            next: 0,
            arrival: i64::MIN,
            held: None,
            born: None,
            now: Timestamp::MIN,
            under_way: 0,
            left_over: Vec::new(),
            dead: Vec::new(),
            news: Vec::new(),
            counts: OutboxCounts::default(),
        };
        for note in local.restored(id) {
            (outbox.next, outbox.arrival, outbox.born) = policy::read_note(note)?;
        }
        if outbox.owned {
            let mut scan = outbox.items.scan(shard, Namespace::NONE, None)?;
            let (queue, left_over) = (&mut outbox.queue, &mut outbox.left_over);
            let mut visit = |seat: Seat, item: &Pending| {
                queue.add(seat.seq, item.place(), item.under_way);
                let at = Timestamp::from_micros(item.last.unwrap_or_default());
                left_over.extend(item.under_way.then_some((seat.seq, item.attempts, at)));
                Ok(())
            };
            while outbox.items.scan_next(&mut scan, READ_MAX, &mut visit)? {
                // What waits need not stay in memory.
            }
            outbox.under_way = outbox.left_over.len();
        }
        Ok(outbox)
    }

    /// The wall clock.
    pub fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Takes items in.
    ///
    /// # Errors
    /// The store's.
    pub fn add(&mut self, entries: Vec<Entry<T>>) -> Result<()> {
        self.items.maintain();
        self.counts.added += entries.len() as u64;
        if !self.policy.delivers {
            self.counts.suppressed += entries.len() as u64;
            return Ok(());
        }
        let born = *self.born.get_or_insert(self.now.as_micros());
        for Entry { item, idempotency_key } in entries {
            let seq = self.next;
            self.next += 1;
            let naming = &self.naming;
            let wait = self.policy.retry.wait(seq, 1).unwrap_or_default();
            let (lane, order) = ((naming.lane)(&item), naming.order.as_ref().and_then(|order| order(&item)));
            let priority = naming.priority.as_ref().map_or(0, |priority| priority(&item));
            let due = self.now.plus(wait);
            let made = || format!("{}/{}/{born:x}-{seq}", naming.job, self.id);
            let key = naming.key.as_ref().map(|key| key(&item)).or(idempotency_key).unwrap_or_else(made);
            let pending = Pending {
                item: self.written(&item)?,
                key,
                lane,
                order,
                priority,
                added: self.now.as_micros(),
                first: None,
                last: None,
                due: due.as_micros(),
                attempts: 0,
                under_way: false,
                failure: None,
            };
            self.queue.add(seq, pending.place(), false);
            self.put(seq, pending)?;
        }
        Ok(())
    }

    /// Gives out attempts that may be made once this epoch is committed, so that no more than `room` are under way.
    ///
    /// # Errors
    /// The store's.
    pub fn take(&mut self, room: usize) -> Result<Vec<Attempt<T>>> {
        let mut attempts = Vec::new();
        if !self.policy.delivers {
            return Ok(attempts);
        }
        self.items.maintain();
        // What is given up is a piece at a time, too.
        let dead = self.dead.len();
        let held = self.held.take();
        while self.under_way < room && self.dead.len() < dead + DEAD_MAX {
            let Some(seq) = self.queue.take(self.now) else { break };
            let Some(mut pending) = self.pending(seq)? else {
                self.queue.remove(seq);
                continue;
            };
            if self.now > Timestamp::from_micros(pending.added).plus(self.policy.max_age) {
                let failure = pending.outlived(self.policy.max_age);
                self.bury(seq, pending, failure)?;
                continue;
            }
            let arrival = match &self.policy.throttle {
                None => self.arrival,
                Some(throttle) => match throttle.admit(self.arrival, held, self.now) {
                    Some(arrival) => arrival,
                    None => {
                        self.held = Some(self.now);
                        self.queue.put_back(seq);
                        break;
                    }
                },
            };
            let item = match serde_json::from_str(&pending.item) {
                Ok(item) => item,
                Err(error) => {
                    let failure = Failure::permanent("the item cannot be read any more").caused_by(&error);
                    self.bury(seq, pending, failure)?;
                    continue;
                }
            };
            self.arrival = arrival;
            pending.attempts += 1;
            pending.under_way = true;
            pending.first = pending.first.or(Some(self.now.as_micros()));
            pending.last = Some(self.now.as_micros());
            self.under_way += 1;
            attempts.push(Attempt {
                item,
                idempotency_key: pending.key.clone(),
                number: pending.attempts,
                added: Timestamp::from_micros(pending.added),
                at: self.now,
                seq,
            });
            self.put(seq, pending)?;
        }
        Ok(attempts)
    }

    /// Learns what came of an attempt. One that is not under way is of no concern.
    ///
    /// # Errors
    /// The store's.
    pub fn settle(&mut self, answer: Answer) -> Result<()> {
        let Answer { seq, number, at, outcome } = answer;
        self.items.maintain();
        let is_meant =
            |pending: &Pending| pending.under_way && pending.attempts == number && pending.last == Some(at.as_micros());
        let pending = self.pending(seq)?.filter(is_meant);
        let Some(mut pending) = pending else { return Ok(()) };
        self.under_way -= 1;
        pending.under_way = false;
        match outcome {
            Outcome::Delivered => {
                self.reached(seq, &pending.lane);
                self.counts.delivered += 1;
                self.items.delete(Namespace::NONE, &Seat::new(self.home, seq))?;
                self.queue.remove(seq);
                Ok(())
            }
            Outcome::NotMade => {
                pending.attempts -= 1;
                self.queue.put_back(seq);
                self.put(seq, pending)
            }
            Outcome::Failed(failure) => self.failed(seq, pending, failure),
        }
    }

    fn failed(&mut self, seq: u64, mut pending: Pending, failure: Failure) -> Result<()> {
        pending.failure = Some(failure.clone());
        let wait = match failure.kind {
            FailureKind::Unreachable => {
                pending.attempts -= 1;
                let at_least = failure.retry_after.unwrap_or_default();
                if self.queue.unreachable(seq, self.now, at_least) {
                    self.news.push(LaneNews { lane: pending.lane.clone(), failure: Some(failure) });
                }
                return self.put(seq, pending);
            }
            FailureKind::Permanent => None,
            FailureKind::Transient | FailureKind::Unknown => self.policy.retry.wait(seq, pending.attempts + 1),
        };
        if failure.kind != FailureKind::Unknown {
            self.reached(seq, &pending.lane);
        }
        let Some(wait) = wait else { return self.bury(seq, pending, failure) };
        self.counts.retried += 1;
        let due = self.now.plus(wait.max(failure.retry_after.unwrap_or_default()));
        pending.due = due.as_micros();
        self.queue.wait(seq, due);
        self.put(seq, pending)
    }

    fn reached(&mut self, seq: u64, lane: &Text) {
        if self.queue.reached(seq, self.now) {
            self.news.push(LaneNews { lane: lane.clone(), failure: None });
        }
    }

    /// What is new about lanes since this was asked last.
    pub fn take_news(&mut self) -> Vec<LaneNews> {
        std::mem::take(&mut self.news)
    }

    /// The item is not delivered.
    fn bury(&mut self, seq: u64, pending: Pending, failure: Failure) -> Result<()> {
        self.items.delete(Namespace::NONE, &Seat::new(self.home, seq))?;
        self.queue.remove(seq);
        self.counts.dead += 1;
        self.dead.push(pending.given_up(seq, failure));
        Ok(())
    }

    fn written(&self, item: &T) -> Result<String> {
        serde_json::to_string(item).map_err(|error| {
            Error::config(format!("an item of outbox {} cannot be written as JSON", self.id)).caused_by(error)
        })
    }

    fn pending(&mut self, seq: u64) -> Result<Option<Pending>> {
        Ok(self.items.get(Namespace::NONE, &Seat::new(self.home, seq))?.cloned())
    }

    fn put(&mut self, seq: u64, pending: Pending) -> Result<()> {
        self.items.put(Namespace::NONE, &Seat::new(self.home, seq), pending)
    }

    /// The items that will not be delivered, since this was asked last.
    pub fn take_dead(&mut self) -> Vec<Dead> {
        std::mem::take(&mut self.dead)
    }

    /// The attempts that were under way when it was opened: item, number, and when it was decided on. What came of them is
    /// to be found out.
    pub fn take_left_over(&mut self) -> Vec<(u64, u32, Timestamp)> {
        std::mem::take(&mut self.left_over)
    }

    /// How many items wait, those under way included.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it holds as many items as it should.
    pub fn is_full(&self) -> bool {
        self.len() >= self.policy.bound
    }

    /// On how many lanes nobody answers.
    pub fn lanes_down(&self) -> usize {
        self.queue.lanes_down()
    }

    /// What was counted since it was opened.
    pub fn counts(&self) -> OutboxCounts {
        self.counts
    }

    /// Whether it is this worker that owns it.
    pub fn is_owned(&self) -> bool {
        self.owned
    }

    /// Whether it delivers at all.
    pub fn delivers(&self) -> bool {
        self.policy.delivers
    }

    /// Since when the oldest item waits.
    ///
    /// # Errors
    /// The store's.
    pub fn oldest(&mut self) -> Result<Option<Timestamp>> {
        let Some(seq) = self.queue.oldest() else { return Ok(None) };
        Ok(self.pending(seq)?.map(|pending| Timestamp::from_micros(pending.added)))
    }

    /// Writes what changed in `epoch`.
    ///
    /// # Errors
    /// The store's.
    pub fn checkpoint(&mut self, _: Epoch) -> Result<()> {
        self.items.checkpoint()?;
        if self.owned {
            let text = policy::note(self.next, self.arrival, self.born);
            self.local.note(Note { operator: self.id.clone(), scope: "outbox".to_owned(), text });
        }
        Ok(())
    }
}
