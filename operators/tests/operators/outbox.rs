//! Outboxes against a receiver that fails at random, under crashes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headwater_operators::harness::{Harness, HarnessOptions};
use headwater_operators::{
    Answer, Attempt, Batch, Chain, Entry, Failure, Message, Naming, Operator, OutboxPolicy, OutboxState, Outcome,
    Output, Progress, Result, Retry, Timestamp,
};
use headwater_state::{Epoch, Text};
use proptest::prelude::*;

/// What comes out of an outbox: attempts to be made, and items that are given up.
#[derive(Clone, Debug)]
enum Seen {
    Attempt(Attempt<u32>),
    Dead(u32),
}

/// Runs an outbox as an operator: answers come from outside, as they do in the engine.
struct Probe {
    outbox: OutboxState<u32>,
    answers: Rc<RefCell<Vec<Answer>>>,
    lost: Vec<(u64, u32, Timestamp)>,
    room: usize,
}

impl Probe {
    fn go_on(&mut self, out: &mut dyn Output<Vec<Seen>>) -> Result<Progress> {
        for (seq, number, at) in std::mem::take(&mut self.lost) {
            let outcome = Outcome::Failed(Failure::unknown("the process ended"));
            self.outbox.settle(Answer { seq, number, at, outcome })?;
        }
        for answer in self.answers.borrow_mut().drain(..) {
            self.outbox.settle(answer)?;
        }
        let mut seen: Vec<Seen> = self.outbox.take(self.room)?.into_iter().map(Seen::Attempt).collect();
        seen.extend(self.outbox.take_dead().into_iter().map(|dead| Seen::Dead(dead.item.parse().unwrap())));
        if !seen.is_empty() {
            let times = vec![Timestamp::MIN; seen.len()];
            out.send(Message::Batch(Batch::new(seen, times)))?;
        }
        Ok(Progress::Done)
    }
}

impl Operator<Vec<u32>, Vec<Seen>> for Probe {
    fn process(&mut self, batch: Batch<Vec<u32>>, _: &mut dyn Output<Vec<Seen>>) -> Result<()> {
        self.outbox.add(batch.records.into_iter().map(Entry::from).collect())
    }

    fn tick(&mut self, now: Timestamp, out: &mut dyn Output<Vec<Seen>>) -> Result<Progress> {
        self.outbox.tick(now);
        self.go_on(out)
    }

    fn checkpoint(&mut self, epoch: Epoch) -> Result<()> {
        self.outbox.checkpoint(epoch)
    }
}

/// An outbox, the receiver behind it, and what has happened between them.
struct World {
    harness: Harness<Vec<u32>, Vec<Seen>>,
    answers: Rc<RefCell<Vec<Answer>>>,
    now: i64,
    /// Committed and not answered.
    attempts: Vec<Attempt<u32>>,
    /// By item: numbers of attempts that were made.
    made: BTreeMap<u32, Vec<u32>>,
    keys: BTreeMap<u32, String>,
    order: Vec<u32>,
    delivered: BTreeSet<u32>,
    dead: Vec<u32>,
}

const ATTEMPTS: u32 = 3;

impl World {
    fn new(room: usize) -> Self {
        let answers = Rc::new(RefCell::new(Vec::new()));
        let asked = Rc::clone(&answers);
        let open = move |local: &headwater_state::LocalState, next: Box<dyn Output<Vec<Seen>>>| {
            let policy =
                OutboxPolicy { retry: Retry::schedule([0, 1, 2].map(Duration::from_secs)), ..OutboxPolicy::default() };
            // Every third item is ordered among those of its kind.
            let order = |item: &u32| item.is_multiple_of(3).then(|| Text::from("thirds"));
            let naming = Naming { order: Some(Arc::new(order)), ..Naming::new("job") };
            let mut outbox = OutboxState::open("post", policy, naming, local)?;
            let lost = outbox.take_left_over();
            let probe = Probe { outbox, answers: Rc::clone(&asked), lost, room };
            Ok(Box::new(Chain::new(probe, next)) as Box<dyn Output<Vec<u32>>>)
        };
        let harness = Harness::with(HarnessOptions { memory_bytes: 4096, ..HarnessOptions::default() }, open).unwrap();
        Self {
            harness,
            answers,
            now: 1_000,
            attempts: Vec::new(),
            made: BTreeMap::new(),
            keys: BTreeMap::new(),
            order: Vec::new(),
            delivered: BTreeSet::new(),
            dead: Vec::new(),
        }
    }

    fn add(&mut self, items: &[u32]) {
        let times = vec![Timestamp::MIN; items.len()];
        self.harness.push(Message::Batch(Batch::new(items.to_vec(), times))).unwrap();
    }

    fn tick(&mut self, seconds: i64) {
        self.now += seconds;
        self.harness.tick(Timestamp::from_seconds(self.now)).unwrap();
    }

    fn commit(&mut self) {
        self.harness.commit().unwrap();
        for seen in self.harness.take() {
            match seen {
                Seen::Attempt(attempt) => self.attempts.push(attempt),
                Seen::Dead(item) => self.dead.push(item),
            }
        }
    }

    /// Makes the first attempt that is committed.
    fn make(&mut self, failure: Option<Failure>) {
        if self.attempts.is_empty() {
            return;
        }
        let attempt = self.attempts.remove(0);
        let was_sent =
            failure.as_ref().is_none_or(|failure| failure.kind != headwater_operators::FailureKind::Unreachable);
        if was_sent {
            self.made.entry(attempt.item).or_default().push(attempt.number);
            self.order.push(attempt.item);
        }
        let key = self.keys.entry(attempt.item).or_insert_with(|| attempt.idempotency_key.clone());
        assert_eq!(*key, attempt.idempotency_key, "an item keeps its key");
        if failure.is_none() {
            self.delivered.insert(attempt.item);
        }
        let outcome = failure.map_or(Outcome::Delivered, Outcome::Failed);
        self.answers.borrow_mut().push(Answer { seq: attempt.seq, number: attempt.number, at: attempt.at, outcome });
    }

    /// The process ends: what was not committed is gone, and so are answers.
    fn crash(&mut self) {
        self.attempts.clear();
        self.answers.borrow_mut().clear();
        self.harness.crash().unwrap();
        self.harness.write_back().unwrap();
    }

    fn check(&self, items: &[u32]) {
        for item in items {
            let made = self.made.get(item).map_or(&[] as &[u32], Vec::as_slice);
            assert!(made.len() <= ATTEMPTS as usize, "item {item} was sent {made:?}");
            assert!(made.is_sorted_by(|a, b| a < b), "no attempt is made twice: item {item}, {made:?}");
            let dead = self.dead.iter().filter(|other| *other == item).count();
            assert!(dead <= 1, "item {item} died {dead} times");
            assert!(dead == 1 || self.delivered.contains(item), "item {item} is lost");
        }
        // Of ordered items a later one is sent for the first time after the earlier ones for the last time.
        let thirds: Vec<u32> = self.order.iter().copied().filter(|item| item.is_multiple_of(3)).collect();
        assert!(thirds.is_sorted(), "out of order: {thirds:?}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Tick(u8),
    Commit,
    Deliver,
    Fail(u8),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u8..6).prop_map(Step::Add),
        4 => (0u8..4).prop_map(Step::Tick),
        5 => Just(Step::Commit),
        4 => Just(Step::Deliver),
        3 => (0u8..3).prop_map(Step::Fail),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_item_is_delivered_or_dead_within_its_attempts(
        steps in prop::collection::vec(step(), 1..120), room in 1usize..6
    ) {
        let mut world = World::new(room);
        let (mut committed, mut running, mut next) = (Vec::new(), Vec::new(), 0u32);
        world.tick(0);
        for step in steps {
            match step {
                Step::Add(count) => {
                    let items: Vec<u32> = (next..next + u32::from(count)).collect();
                    next += u32::from(count);
                    world.add(&items);
                    running.extend(items);
                }
                Step::Tick(seconds) => world.tick(i64::from(seconds)),
                Step::Commit => {
                    world.commit();
                    committed.append(&mut running);
                }
                Step::Deliver => world.make(None),
                Step::Fail(kind) => world.make(Some(match kind {
                    0 => Failure::transient("busy"),
                    1 => Failure::permanent("refused"),
                    _ => Failure::unreachable("nobody"),
                })),
                Step::Crash => {
                    world.crash();
                    // They come again, as they do from a source.
                    let again = std::mem::take(&mut running);
                    world.tick(0);
                    world.add(&again);
                    running = again;
                }
            }
        }
        world.commit();
        committed.append(&mut running);
        for _ in 0..150 {
            while !world.attempts.is_empty() {
                world.make(None);
            }
            world.tick(1);
            world.commit();
        }
        world.check(&committed);
    }
}

#[test]
fn a_lane_on_which_nobody_answers_is_asked_less_and_less_often() {
    let mut world = World::new(8);
    world.tick(0);
    world.add(&[1, 2, 4]);
    let mut asked = Vec::new();
    for second in 0..120 {
        world.tick(1);
        world.commit();
        while !world.attempts.is_empty() {
            asked.push(second);
            world.make(Some(Failure::unreachable("nobody")));
        }
    }
    // All three at once before anything is known, then one at a time: after 1, 2, 4, 8, 16, 30 and 30 seconds.
    assert_eq!(asked.len(), 3 + 7, "{asked:?}");
    assert!(world.made.is_empty() && world.dead.is_empty());
    world.tick(30);
    world.commit();
    for _ in 0..3 {
        world.make(None);
        world.tick(1);
        world.commit();
    }
    while !world.attempts.is_empty() {
        world.make(None);
    }
    assert_eq!(world.delivered.len(), 3);
}
