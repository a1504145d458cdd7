//! The answer does not depend on batches, workers, memory, commits or crashes: every aggregate and trigger against a
//! model that knows nothing of them.

use std::collections::BTreeMap;

use headwater::operators::Keying;
use headwater::prelude::*;
use headwater::{KeyedStream, WindowedStream};
use proptest::prelude::*;

use crate::flaky::{Flaky, Row, Way, way};

type Answer = BTreeMap<(u8, i64), String>;

/// Rows (key, value, time in seconds), each at most 30 seconds behind the newest before it.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0u8..12, -50i64..50, 0i64..30, 0i64..4), 1..400).prop_map(|steps| {
        let mut now = 1_000;
        let row = |(key, value, behind, step): (u8, i64, i64, i64)| {
            now += step;
            (key, value, now - behind)
        };
        steps.into_iter().map(row).collect()
    })
}

fn run<G, A>(
    rows: &[Row],
    way: &Way,
    pipeline: impl FnOnce(WindowedStream<Vec<Row>, G>) -> Stream<Vec<Pane<u8, A>>>,
    keyed: impl FnOnce(Stream<Vec<Row>>) -> KeyedStream<Vec<Row>, G>,
) -> Vec<(u8, i64, String)>
where
    G: Keying<Vec<Row>, Key = u8>,
    A: std::fmt::Debug + Send + 'static,
{
    let job = Job::new("way");
    let source = job.source(Topic::json::<Row>("rows"));
    let timed = source.event_time(|row| Timestamp::from_seconds(row.2), Lateness::seconds(30));
    pipeline(keyed(timed).window(Tumbling::minutes(1)))
        .map(|pane| (pane.key, pane.window.end.as_millis() / 1_000, format!("{:?}", pane.value)))
        .sink(Topic::json("out"));
    let source = Flaky::new(rows, way);
    job.bind_input("rows", Input::of(source));
    let out = Captured::<(u8, i64, String)>::new();
    job.bind_output("out", Output::of(out.clone()));
    let summary = job.run(&way.options(), &Control::default()).unwrap();
    assert_eq!(summary.committed.late, 0);
    assert_eq!(summary.committed.records_in, rows.len() as u64);
    out.take()
}

/// One result per pane, or the duplicate.
fn once_each(results: Vec<(u8, i64, String)>) -> Answer {
    let mut answer = Answer::new();
    for (key, end, value) in results {
        let before = answer.insert((key, end), value);
        assert_eq!(before, None, "two results for key {key} and the window that ends at {end}");
    }
    answer
}

/// The last result of each pane.
fn last_each(results: Vec<(u8, i64, String)>) -> Answer {
    results.into_iter().map(|(key, end, value)| ((key, end), value)).collect()
}

/// The values of each pane, in the order of rows.
fn panes(rows: &[Row]) -> BTreeMap<(u8, i64), Vec<i64>> {
    let mut panes: BTreeMap<_, Vec<i64>> = BTreeMap::new();
    for &(key, value, time) in rows {
        panes.entry((key, time.div_euclid(60) * 60 + 60)).or_default().push(value);
    }
    panes
}

fn model<V: std::fmt::Debug>(rows: &[Row], value: impl Fn(&[i64]) -> Option<V>) -> Answer {
    let panes = panes(rows).into_iter();
    panes.filter_map(|(pane, values)| Some((pane, format!("{:?}", value(&values)?)))).collect()
}

macro_rules! on_close {
    ($rows:expr, $way:expr, $pipeline:expr, $model:expr) => {
        let found = run($rows, $way, |windows| $pipeline(windows).on_close(), |stream| stream.key_by(|row| row.0));
        prop_assert_eq!(once_each(found), model($rows, $model));
        let found =
            run($rows, $way, |windows| $pipeline(windows).on_update(), |stream| stream.key_by_ref(|row| &row.0));
        prop_assert_eq!(last_each(found), model($rows, $model));
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn count_and_sum(rows in rows(), way in way()) {
        on_close!(&rows, &way, |windows: WindowedStream<_, _>| windows.count(), |values: &[i64]| Some(values.len() as u64));
        on_close!(&rows, &way, |windows: WindowedStream<_, _>| windows.sum(|row: &Row| row.1),
            |values: &[i64]| Some(values.iter().sum::<i64>()));
    }

    #[test]
    fn min_max_and_avg(rows in rows(), way in way()) {
        on_close!(&rows, &way, |windows: WindowedStream<_, _>| windows.min(|row: &Row| row.1), |values: &[i64]| values.iter().min().copied());
        on_close!(&rows, &way, |windows: WindowedStream<_, _>| windows.max(|row: &Row| row.1), |values: &[i64]| values.iter().max().copied());
        on_close!(&rows, &way, |windows: WindowedStream<_, _>| windows.avg(|row: &Row| row.1),
            |values: &[i64]| Some(values.iter().sum::<i64>() as f64 / values.len() as f64));
    }

    #[test]
    fn a_fold_that_depends_on_order(rows in rows(), way in way()) {
        on_close!(&rows, &way,
            |windows: WindowedStream<_, _>| windows.fold(Vec::<i64>::new, |all: &mut Vec<i64>, row: &Row| all.push(row.1)),
            |values: &[i64]| Some(values.to_vec()));
    }

    #[test]
    fn a_tuple_of_aggregates(rows in rows(), way in way()) {
        on_close!(&rows, &way,
            |windows: WindowedStream<_, _>| windows.aggregate((Count, Sum::of(|row: &Row| row.1))),
            |values: &[i64]| Some((values.len() as u64, values.iter().sum::<i64>())));
    }

    #[test]
    fn once_is_exact_per_row(rows in rows(), way in way(), limit in 1i128..40) {
        let found = run(&rows, &way, |windows| windows.sum(|row: &Row| row.1).once(move |sum| *sum > limit), |stream| stream.key_by(|row| row.0));
        // The sum just after the row with which it first passes the limit, whatever came in the same batch.
        let first = |values: &[i64]| {
            let sums = values.iter().scan(0i128, |sum, value| { *sum += i128::from(*value); Some(*sum) });
            sums.into_iter().find(|sum| *sum > limit)
        };
        prop_assert_eq!(once_each(found), model(&rows, first));
    }

    #[test]
    fn early_results_end_with_the_right_one(rows in rows(), way in way()) {
        let found = run(&rows, &way, |windows| windows.count().early_every(Duration::from_millis(1)), |stream| stream.key_by(|row| row.0));
        prop_assert_eq!(last_each(found), model(&rows, |values| Some(values.len() as u64)));
    }

    #[test]
    fn order_within_lateness_does_not_matter(rows in rows(), way in way(), seed in any::<u64>()) {
        // Rows of the same second stand in any order; none moves past the lateness.
        let mut shuffled = rows.clone();
        let mut random = Random::new(seed, 0);
        shuffled.sort_by_cached_key(|row| (row.2, random.any()));
        let count = |rows: &[Row]| run(rows, &way, |windows| windows.count().on_close(), |stream| stream.key_by(|row| row.0));
        prop_assert_eq!(once_each(count(&shuffled)), once_each(count(&rows)));
    }
}
