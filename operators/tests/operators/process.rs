//! Processes: state and timers per key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headwater_operators::harness::{Harness, HarnessOptions};
use headwater_operators::{Batch, Chain, Clock, KeyBy, Message, Process, Progress, Result, StepFns, Timestamp, Turn};
use headwater_state::Store;
use proptest::prelude::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A row sets or cancels a timer of its key, in milliseconds.
#[derive(Clone, Debug)]
struct Row {
    key: u32,
    clock: Clock,
    set: bool,
    time: i64,
}

/// Key, which timer of the key it is, and its time in milliseconds.
type Fired = (u32, u64, i64);
type Timers = Harness<Vec<Row>, Vec<Fired>>;

/// Fires what rows set, and counts per key.
fn timers(memory_bytes: usize) -> Result<Timers> {
    let process = Process::new(
        "timers",
        Arc::new(KeyBy::new(|row: &Row| row.key)),
        Arc::new(StepFns::new(
            |turn: &mut Turn<'_, u32, u64, Fired>, row: &Row| {
                let time = Timestamp::from_millis(row.time);
                if row.set {
                    turn.set_timer(row.clock, time)
                } else {
                    turn.cancel_timer(row.clock, time)
                }
                Ok(())
            },
            |turn: &mut Turn<'_, u32, u64, Fired>, time: Timestamp, _| {
                let fired = turn.state().copied().unwrap_or(0) + 1;
                *turn.state_mut() = Some(fired);
                turn.emit((*turn.key(), fired, time.as_millis()));
                Ok(())
            },
        )),
    );
    let options = HarnessOptions { memory_bytes, ..HarnessOptions::default() };
    Harness::with(options, move |local, next| Ok(Box::new(Chain::new(process.open(local)?, next))))
}

fn set(key: u32, seconds: i64) -> (Timestamp, Row) {
    (at(0), Row { key, clock: Clock::Event, set: true, time: seconds * 1_000 })
}

#[test]
fn timers_fire_in_the_order_of_their_times() -> Result<()> {
    let mut timers = timers(1 << 20)?;
    timers.timed([set(1, 30), set(2, 10), set(1, 20), set(1, 20), set(3, 99)])?;
    timers.watermark(at(9))?;
    assert_eq!(timers.take(), []);
    timers.watermark(at(30))?;
    assert_eq!(timers.take(), [(2, 1, 10_000), (1, 1, 20_000), (1, 2, 30_000)]);
    Ok(())
}

#[test]
fn a_timer_that_is_due_already_fires_without_a_new_watermark() -> Result<()> {
    let mut timers = timers(1 << 20)?;
    timers.watermark(at(50))?;
    timers.timed([set(1, 30)])?;
    assert_eq!(timers.take(), [(1, 1, 30_000)]);
    Ok(())
}

#[test]
fn wall_clock_timers_go_by_ticks_alone() -> Result<()> {
    let mut timers = timers(1 << 20)?;
    timers.timed([(at(0), Row { key: 1, clock: Clock::Wall, set: true, time: 5_000 })])?;
    timers.watermark(at(50))?;
    assert_eq!(timers.take(), []);
    timers.tick(at(6))?;
    assert_eq!(timers.take(), [(1, 1, 5_000)]);
    Ok(())
}

#[test]
fn nothing_follows_the_end() -> Result<()> {
    let mut timers = timers(1 << 20)?;
    timers.timed([set(1, 30), (at(0), Row { key: 2, clock: Clock::Wall, set: true, time: 5_000 })])?;
    timers.end()?;
    assert_eq!(timers.take(), [(1, 1, 30_000)], "without event time the end is its end, too");
    timers.tick(at(6))?;
    assert_eq!(timers.take(), [], "the clock goes on, and the stream does not");
    Ok(())
}

#[test]
fn timers_survive_a_crash_and_fire_once() -> Result<()> {
    let mut timers = timers(0)?;
    timers.timed([set(1, 10), set(2, 20)])?;
    timers.commit()?;
    timers.write_back()?;
    timers.timed([set(3, 5)])?;
    timers.crash()?;
    timers.watermark(at(15))?;
    assert_eq!(timers.take(), [(1, 1, 10_000)], "that of 3 was not committed");
    timers.commit()?;
    timers.crash()?;
    timers.watermark(at(25))?;
    assert_eq!(timers.take(), [(2, 1, 20_000)]);
    Ok(())
}

#[test]
fn many_timers_fire_in_pieces_and_leave_nothing_behind() -> Result<()> {
    let mut timers = timers(1 << 20)?;
    timers.timed((0..10_000).map(|key| set(key, i64::from(key % 7))))?;
    timers.push(Message::Watermark(at(100)))?;
    let mut fired = timers.take();
    let mut pieces = 1;
    loop {
        // A crash after every piece: each goes on where the last one was committed.
        timers.commit()?;
        timers.crash()?;
        let progress = timers.work()?;
        let piece = timers.take();
        assert!(piece.len() <= 1024, "{} in one piece", piece.len());
        fired.extend(piece);
        pieces += 1;
        if progress == Progress::Done {
            break;
        }
    }
    assert!((10..30).contains(&pieces), "{pieces} pieces");
    assert!(fired.is_sorted_by_key(|fired| fired.2));
    assert_eq!(fired.len(), 10_000);
    timers.commit()?;
    timers.write_back()?;
    let mut left = 0;
    timers.store().scan("timers/event-timers", &[], &[u8::MAX; 4], &mut |_, _| {
        left += 1;
        std::ops::ControlFlow::Continue(())
    })?;
    assert_eq!(left, 0);
    Ok(())
}

#[test]
fn a_timer_can_take_a_later_one_back() -> Result<()> {
    let process = Process::new(
        "chain",
        Arc::new(KeyBy::new(|key: &u32| *key)),
        Arc::new(StepFns::new(
            |turn: &mut Turn<'_, u32, (), i64>, _: &u32| {
                turn.set_timer(Clock::Event, at(1));
                turn.set_timer(Clock::Event, at(2));
                Ok(())
            },
            |turn: &mut Turn<'_, u32, (), i64>, time: Timestamp, _| {
                turn.emit(time.as_seconds());
                turn.cancel_timer(Clock::Event, at(2));
                turn.set_timer(Clock::Event, time.plus(Duration::from_secs(10)));
                Ok(())
            },
        )),
    );
    let mut harness = Harness::of(move |local| process.open(local))?;
    harness.timed([(at(0), 7)])?;
    harness.watermark(at(25))?;
    assert_eq!(harness.take(), [1, 11, 21]);
    Ok(())
}

#[derive(Clone, Debug)]
enum Action {
    Rows(Vec<Row>),
    Watermark(i64),
    Tick(i64),
    Work,
    Commit,
    WriteBack,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let clock = prop_oneof![Just(Clock::Event), Just(Clock::Wall)];
    let row = (0..4u32, clock, prop::bool::weighted(0.7), 0..6_000i64).prop_map(|(key, clock, set, time)| Row {
        key,
        clock,
        set,
        time: time / 100 * 100,
    });
    let action = prop_oneof![
        4 => prop::collection::vec(row, 1..8).prop_map(Action::Rows),
        2 => (0..7_000i64).prop_map(Action::Watermark),
        2 => (0..7_000i64).prop_map(Action::Tick),
        2 => Just(Action::Work),
        1 => Just(Action::Commit),
        1 => Just(Action::WriteBack),
    ];
    prop::collection::vec(action, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Everything settles after each action, and every commit is followed by a crash. The clock goes on then, as it
    /// does in a job: what no step has seen of it is not remembered.
    #[test]
    fn timers_fire_as_a_list_of_them_would(actions in actions(), memory in prop_oneof![Just(0usize), Just(1 << 20)]) {
        let mut harness = timers(memory).unwrap();
        let mut lists = [BTreeSet::new(), BTreeSet::new()];
        let mut times = [i64::MIN, i64::MIN];
        let mut counts = BTreeMap::new();
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        for action in actions {
            match action {
                Action::Rows(rows) => {
                    for row in &rows {
                        let list = &mut lists[row.clock as usize];
                        if row.set { list.insert((row.time, row.key)) } else { list.remove(&(row.time, row.key)) };
                    }
                    let times = vec![at(0); rows.len()];
                    harness.push(Message::Batch(Batch::new(rows, times))).unwrap();
                }
                Action::Watermark(to) => {
                    times[0] = times[0].max(to);
                    harness.push(Message::Watermark(Timestamp::from_millis(to))).unwrap();
                }
                Action::Tick(to) => {
                    times[1] = times[1].max(to);
                    harness.push(Message::Tick(Timestamp::from_millis(to))).unwrap();
                }
                Action::Work => assert_eq!(harness.work().unwrap(), Progress::Done),
                Action::Commit => {
                    harness.settle().unwrap();
                    harness.commit().unwrap();
                    harness.crash().unwrap();
                    harness.push(Message::Tick(Timestamp::from_millis(times[1]))).unwrap();
                }
                Action::WriteBack => harness.write_back().unwrap(),
            }
            harness.settle().unwrap();
            for (list, now) in lists.iter_mut().zip(times) {
                while let Some(&(time, key)) = list.first().filter(|(time, _)| *time <= now) {
                    list.pop_first();
                    let count = counts.entry(key).or_insert(0u64);
                    *count += 1;
                    expected.push((key, *count, time));
                }
            }
            let mut now = harness.take();
            // Keys of the same time are in no order that matters.
            now.sort_by_key(|fired| fired.1);
            found.extend(now);
        }
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}
