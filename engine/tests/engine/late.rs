//! Which rows are late depends on the rows alone: not on batches, workers, commits or crashes.

use std::collections::BTreeMap;

use headwater::prelude::*;
use proptest::prelude::*;

use crate::flaky::{Flaky, Row, Way, way};

/// The rows in time of each pane, and the values of the late ones.
type Answer = (BTreeMap<(u8, i64), Vec<i64>>, Vec<i64>);

const LATENESS: i64 = 30;
const WINDOW: i64 = 60;

/// Rows of which many come after their window has closed, from the first ones on.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0u8..12, 0i64..200, 0i64..8), 1..200).prop_map(|steps| {
        let mut now = 1_000;
        let row = |(at, (key, behind, step)): (usize, (u8, i64, i64))| {
            now += step;
            (key, at as i64, now - behind)
        };
        steps.into_iter().enumerate().map(row).collect()
    })
}

fn model(rows: &[Row]) -> Answer {
    let mut newest = i64::MIN + LATENESS;
    let (mut panes, mut late) = (BTreeMap::<_, Vec<i64>>::new(), Vec::new());
    for &(key, value, time) in rows {
        newest = newest.max(time);
        let end = (time.div_euclid(WINDOW) + 1) * WINDOW;
        if end <= newest - LATENESS {
            late.push(value);
        } else {
            panes.entry((key, end)).or_default().push(value);
        }
    }
    (panes, late)
}

fn run(rows: &[Row], way: &Way) -> Answer {
    let job = Job::new("late");
    job.source(Topic::json::<Row>("rows"))
        .event_time(|row| Timestamp::from_seconds(row.2), Lateness::seconds(LATENESS.unsigned_abs()))
        .key_by(|row| row.0)
        .window(Tumbling::minutes(1))
        .late(Topic::json("late"))
        .fold(Vec::<i64>::new, |all: &mut Vec<i64>, row: &Row| all.push(row.1))
        .on_close()
        .map(|pane| (pane.key, pane.window.end.as_millis() / 1_000, pane.value))
        .sink(Topic::json("panes"));
    let (panes, late) = (Captured::<(u8, i64, Vec<i64>)>::new(), Captured::<Late<Row>>::new());
    job.bind_input("rows", Input::of(Flaky::new(rows, way)));
    job.bind_output("panes", Output::of(panes.clone()));
    job.bind_output("late", Output::of(late.clone()));
    let summary = job.run(&way.options(), &Control::default()).unwrap();
    let mut late: Vec<i64> = late.take().into_iter().map(|late| late.record.1).collect();
    assert_eq!(summary.committed.late, late.len() as u64);
    late.sort_unstable();
    (panes.take().into_iter().map(|(key, end, values)| ((key, end), values)).collect(), late)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_row_is_late_or_in_its_pane(rows in rows(), way in way()) {
        prop_assert_eq!(run(&rows, &way), model(&rows));
    }
}
