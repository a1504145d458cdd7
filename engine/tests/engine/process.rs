//! State and timers in the user's hands.

use std::collections::BTreeMap;

use headwater::prelude::*;
use proptest::prelude::*;

use crate::flaky::{Flaky, Row, Way, way};

const SILENCE: Duration = Duration::from_secs(60);

/// A key, when it fell silent, and how many rows it had sent by then.
type Alarm = (u8, i64, u64);
type Alarms<'a> = Turn<'a, u8, (Timestamp, u64), Alarm>;

fn ring(turn: &mut Alarms<'_>) {
    if let Some((at, rows)) = turn.state_mut().take() {
        let alarm = (*turn.key(), at.as_seconds(), rows);
        turn.emit(alarm);
    }
}

/// An alarm for every stretch of a key's rows that a silence ends.
fn silences(way: &Way, rows: &[Row]) -> Vec<Alarm> {
    let job = Job::new("silences");
    let alarms = Captured::<Alarm>::new();
    job.source(Topic::json::<Row>("rows"))
        .event_time(|row| Timestamp::from_seconds(row.2), Lateness::NONE)
        .key_by(|row| row.0)
        .process(
            "silence",
            |turn: &mut Alarms<'_>, _| {
                let now = turn.time();
                let before = turn.state().copied();
                if let Some((at, _)) = before {
                    turn.cancel_timer(Clock::Event, at);
                    // Whether the timer or the row that is later comes first depends on how rows are batched.
                    if at <= now {
                        ring(turn);
                    }
                }
                let rows = turn.state().map_or(0, |(_, rows)| *rows);
                *turn.state_mut() = Some((now.plus(SILENCE), rows + 1));
                turn.set_timer(Clock::Event, now.plus(SILENCE));
                Ok(())
            },
            |turn, _, clock| {
                assert_eq!(clock, Clock::Event);
                ring(turn);
                Ok(())
            },
        )
        .sink(Topic::json("alarms"));
    job.bind_input("rows", Input::of(Flaky::new(rows, way)));
    job.bind_output("alarms", Output::of(alarms.clone()));
    job.run(&way.options(), &Control::default()).unwrap();
    let mut alarms = alarms.take();
    alarms.sort_unstable();
    alarms
}

fn expected(rows: &[Row]) -> Vec<Alarm> {
    let mut open: BTreeMap<u8, (i64, u64)> = BTreeMap::new();
    let mut alarms = Vec::new();
    for &(key, _, time) in rows {
        let stretch = open.entry(key).or_insert((time, 0));
        if stretch.1 > 0 && stretch.0 <= time {
            alarms.push((key, stretch.0, stretch.1));
            stretch.1 = 0;
        }
        *stretch = (time + 60, stretch.1 + 1);
    }
    alarms.extend(open.into_iter().map(|(key, (at, rows))| (key, at, rows)));
    alarms.sort_unstable();
    alarms
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn timers_and_state_survive_crashes(
        way in way(),
        steps in prop::collection::vec((0u8..6, 0i64..40), 1..300),
    ) {
        let mut now = 0;
        let rows: Vec<Row> = steps
            .into_iter()
            .map(|(key, step)| {
                now += step;
                (key, 0, now)
            })
            .collect();
        prop_assert_eq!(silences(&way, &rows), expected(&rows));
    }
}

#[test]
fn a_process_without_a_name_is_refused() {
    let job = Job::new("nameless");
    job.source(Topic::json::<u64>("numbers"))
        .key_by(|number| *number)
        .process("", |_: &mut Turn<'_, u64, (), u64>, _| Ok(()), |_, _, _| Ok(()))
        .sink(Topic::json("out"));
    assert!(job.check().unwrap_err().to_string().contains("empty"));
}

/// A timer of the wall clock fires without any further record.
#[test]
fn wall_timers_fire_while_nothing_comes() {
    let job = Job::new("reminder");
    let (feed, rows) = headwater::prelude::channel::<u64>();
    let reminders = Captured::<u64>::new();
    job.source(Topic::json::<u64>("numbers"))
        .key_by(|number| *number)
        .process(
            "reminder",
            |turn: &mut Turn<'_, u64, (), u64>, _| {
                assert!(
                    turn.now() > Timestamp::from_seconds(1_700_000_000),
                    "a record before the first word of the clock"
                );
                turn.set_timer(Clock::Wall, turn.now().plus(Duration::from_millis(50)));
                Ok(())
            },
            |turn, _, clock| {
                assert_eq!(clock, Clock::Wall);
                let number = *turn.key();
                turn.emit(number);
                Ok(())
            },
        )
        .sink(Topic::json("reminders"));
    job.bind_input("numbers", Input::of(rows));
    job.bind_output("reminders", Output::of(reminders.clone()));
    feed.send([7]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The input ends whether or not the reminder came.
            let came = reminders.wait_for(1, Duration::from_secs(30));
            feed.close();
            assert!(came, "no reminder came");
        });
        job.run(&RunOptions::default(), &Control::default()).unwrap();
    });
    assert_eq!(reminders.take(), [7]);
}
