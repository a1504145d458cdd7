//! What must hold however rows are batched, divided among workers, committed, evicted and cut by crashes: for every
//! aggregate and every trigger, against the [`Model`].

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use headwater_operators::{
    Aggregate, Avg, Count, EarlyEvery, Fold, Max, Min, OnClose, OnUpdate, Once, PaneKind, Sum, Trigger, When,
};
use proptest::prelude::*;

use crate::cluster::{Cluster, Plan, Row};
use crate::model::{Model, PaneId};

type Rows = Vec<Row>;

/// An aggregate, when `once` is to fire on it, and what it should be.
struct Case<A: Aggregate<Rows>> {
    aggregate: fn() -> A,
    once: fn(&A::Output) -> bool,
    naive: fn(&[Row]) -> A::Output,
}

fn plans() -> impl Strategy<Value = Plan> {
    let sizes = (1..40usize, 1..6u16, prop::collection::vec(1..4usize, 1..4), 0..4usize);
    let times = (0..12u64, prop_oneof![Just(5u64), Just(10), Just(60)], prop_oneof![Just(0u64), 1..25u64]);
    let state = (prop_oneof![Just(0usize), Just(1_000), Just(64 << 20)], 3..80u64);
    (any::<u64>(), sizes, times, state).prop_map(|(seed, sizes, times, state)| Plan {
        seed,
        batch_rows: sizes.0,
        shards: sizes.1,
        workers: sizes.2,
        crashes: sizes.3,
        lateness: times.0,
        window: times.1,
        allowed: times.2,
        memory_bytes: state.0,
        commit_steps: state.1,
    })
}

/// A stream whose time goes on, with each row up to `back` seconds behind it.
fn stream(length: usize, back: i64) -> impl Strategy<Value = Rows> {
    let row = (0..5u32, 0..4i64, 0..=back, 0..10i64);
    prop::collection::vec(row, 0..length).prop_map(|rows| {
        let mut now = 0;
        let row = |(key, step, back, amount)| {
            now += step;
            Row { key, at: now - back, amount }
        };
        rows.into_iter().map(row).collect()
    })
}

/// Late rows and all, from one partition: only then is there one right answer for them.
fn one_partition() -> impl Strategy<Value = (Plan, Vec<Rows>)> {
    (plans(), stream(200, 40).prop_map(|rows| vec![rows]))
}

/// Several partitions, each in order but for the lateness.
fn several_partitions() -> impl Strategy<Value = (Plan, Vec<Rows>)> {
    plans().prop_flat_map(|plan| {
        let streams = prop::collection::vec(stream(80, plan.lateness as i64), 1..4);
        (Just(plan), streams)
    })
}

type Said<V> = BTreeMap<PaneId, Vec<(PaneKind, V)>>;

fn run<A, T>(plan: &Plan, partitions: &[Rows], aggregate: A, trigger: T) -> (Said<A::Output>, Rows)
where
    A: Aggregate<Rows>,
    T: Trigger<A::Output>,
{
    let cluster = Cluster::run(plan, partitions, aggregate, trigger).unwrap();
    let mut said: Said<A::Output> = BTreeMap::new();
    for pane in cluster.panes {
        assert_eq!(pane.window.end, pane.window.start.plus(Duration::from_secs(plan.window)));
        said.entry((pane.key, pane.window.start.as_seconds())).or_default().push((pane.kind, pane.value));
    }
    let mut late: Rows = cluster.late.into_iter().map(|late| late.record).collect();
    late.sort();
    (said, late)
}

/// Whether a trigger said of a pane what it should have.
fn check_pane<A>(when: When, case: &Case<A>, said: &[(PaneKind, A::Output)], model: &Model, id: PaneId)
where
    A: Aggregate<Rows, Output: PartialEq + Debug + Clone>,
{
    let (rows, results) = (&model.rows[&id], &model.results[&id]);
    let after_close = model.after_close.get(&id).copied().unwrap_or(0);
    let after = |count: usize| (case.naive)(&rows[..count]);
    let expected: Vec<_> = results.iter().map(|&(kind, count)| (kind, after(count))).collect();
    let (early, rest): (Vec<_>, Vec<_>) = said.iter().cloned().partition(|(kind, _)| *kind == PaneKind::Early);
    for (_, value) in &early {
        assert!((1..=rows.len()).any(|count| after(count) == *value), "{value:?} was never the value of {rows:?}");
    }
    match when {
        When::Close => assert_eq!(said, expected),
        When::Early => {
            assert_eq!(rest, expected);
            assert_eq!(said[..early.len()], early, "early results come first");
        }
        When::Update => {
            assert_eq!(said.last().map(|(_, value)| value.clone()), Some(after(rows.len())));
            assert_eq!(rest.len(), after_close, "every row after the close is answered");
        }
        When::Once => {
            let fires = (1..=rows.len()).map(after).find(|value| (case.once)(value));
            assert_eq!(said, fires.map(|value| (PaneKind::OnTime, value)).into_iter().collect::<Vec<_>>());
        }
    }
}

fn check_one<A>(plan: &Plan, partitions: &[Rows], case: &Case<A>)
where
    A: Aggregate<Rows, Output: PartialEq + Debug + Clone>,
{
    let model = Model::of(plan, &partitions[0]);
    let mut expected_late = model.late.clone();
    expected_late.sort();
    let check = |when, (said, late): (Said<A::Output>, Rows)| {
        assert_eq!(late, expected_late, "late rows of {when:?}");
        for id in model.rows.keys() {
            let of_pane = said.get(id).map_or(&[][..], Vec::as_slice);
            check_pane(when, case, of_pane, &model, *id);
        }
        for id in said.keys() {
            assert!(model.rows.contains_key(id), "{id:?} has no row");
        }
    };
    check(When::Close, run(plan, partitions, (case.aggregate)(), OnClose));
    check(When::Update, run(plan, partitions, (case.aggregate)(), OnUpdate));
    check(When::Once, run(plan, partitions, (case.aggregate)(), Once(case.once)));
    check(When::Early, run(plan, partitions, (case.aggregate)(), EarlyEvery(Duration::from_secs(2))));
}

/// Rows of several partitions meet in any order: only what does not depend on it is compared.
fn check_several<A>(plan: &Plan, partitions: &[Rows], case: &Case<A>)
where
    A: Aggregate<Rows, Output: PartialEq + Debug + Clone>,
{
    let mut panes: BTreeMap<PaneId, Rows> = BTreeMap::new();
    for row in partitions.iter().flatten() {
        let start = row.at.div_euclid(plan.window as i64) * plan.window as i64;
        panes.entry((row.key, start)).or_default().push(row.clone());
    }
    let expected: BTreeMap<_, _> = panes.iter().map(|(id, rows)| (*id, (case.naive)(rows))).collect();
    let last = |(said, late): (Said<A::Output>, Rows)| -> BTreeMap<PaneId, A::Output> {
        assert_eq!(late, [], "no row is late");
        said.into_iter().map(|(id, said)| (id, said.last().unwrap().1.clone())).collect()
    };
    assert_eq!(last(run(plan, partitions, (case.aggregate)(), OnClose)), expected);
    assert_eq!(last(run(plan, partitions, (case.aggregate)(), OnUpdate)), expected);
    assert_eq!(last(run(plan, partitions, (case.aggregate)(), EarlyEvery(Duration::from_secs(1)))), expected);
    let (fired, _) = run(plan, partitions, (case.aggregate)(), Once(case.once));
    for (id, value) in &expected {
        assert_eq!(fired.get(id).map_or(0, Vec::len), usize::from((case.once)(value)), "{id:?} ended at {value:?}");
    }
}

fn count() -> Case<Count> {
    Case { aggregate: || Count, once: |count| *count > 3, naive: |rows| rows.len() as u64 }
}

fn sum() -> Case<impl Aggregate<Rows, Output = i128>> {
    Case {
        aggregate: || Sum::of(|row: &Row| row.amount),
        once: |sum| *sum > 9,
        naive: |rows| rows.iter().map(|row| i128::from(row.amount)).sum(),
    }
}

fn min() -> Case<impl Aggregate<Rows, Output = i64>> {
    Case {
        aggregate: || Min::of(|row: &Row| row.amount),
        once: |min| *min < 2,
        naive: |rows| rows.iter().map(|row| row.amount).min().unwrap(),
    }
}

fn max() -> Case<impl Aggregate<Rows, Output = f64>> {
    Case {
        aggregate: || Max::of(|row: &Row| row.amount as f64),
        once: |max| *max > 6.0,
        naive: |rows| rows.iter().map(|row| row.amount as f64).fold(f64::MIN, f64::max),
    }
}

fn avg() -> Case<impl Aggregate<Rows, Output = f64>> {
    Case {
        aggregate: || Avg::of(|row: &Row| row.amount),
        once: |avg| *avg > 5.0,
        naive: |rows| rows.iter().map(|row| row.amount).sum::<i64>() as f64 / rows.len() as f64,
    }
}

/// Remembers every row in order.
fn fold() -> Case<impl Aggregate<Rows, Output = Vec<i64>>> {
    Case {
        aggregate: || Fold::new(Vec::new, |all: &mut Vec<i64>, row: &Row| all.push(row.amount)),
        once: |all| all.len() > 2,
        naive: |rows| rows.iter().map(|row| row.amount).collect(),
    }
}

fn tuple() -> Case<impl Aggregate<Rows, Output = (u64, i64, i128, i64)>> {
    Case {
        aggregate: || {
            let amount = |row: &Row| row.amount;
            (Count, Max::of(amount), Sum::of(amount), Min::of(amount))
        },
        once: |(count, max, ..)| *count > 1 && *max > 4,
        naive: |rows| {
            let amounts = || rows.iter().map(|row| row.amount);
            let sum = amounts().map(i128::from).sum();
            (rows.len() as u64, amounts().max().unwrap(), sum, amounts().min().unwrap())
        },
    }
}

/// One case runs dozens of pipelines. `PROPTEST_CASES=5000` makes it a long test.
fn config(share: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: (config.cases / share).max(4), failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config(5))]

    #[test]
    fn every_row_is_answered_as_if_rows_came_one_by_one((plan, rows) in one_partition()) {
        check_one(&plan, &rows, &count());
        check_one(&plan, &rows, &sum());
        check_one(&plan, &rows, &min());
        check_one(&plan, &rows, &max());
        check_one(&plan, &rows, &avg());
        check_one(&plan, &rows, &fold());
        check_one(&plan, &rows, &tuple());
    }

    #[test]
    fn partitions_may_meet_in_any_order((plan, rows) in several_partitions()) {
        check_several(&plan, &rows, &count());
        check_several(&plan, &rows, &sum());
        check_several(&plan, &rows, &min());
        check_several(&plan, &rows, &max());
        check_several(&plan, &rows, &tuple());
    }
}

/// So many keys that closing a window takes several pieces, with rows, commits and crashes between them.
fn many_keys() -> impl Strategy<Value = (Plan, Vec<Rows>)> {
    let rows = prop::collection::vec((0..15_000u32, 0..3_000i64), 12_000..24_000).prop_map(|rows| {
        let row = |(i, (key, back)): (usize, (u32, i64))| Row { key, at: (i as i64 - back).max(0) / 4, amount: 1 };
        rows.into_iter().enumerate().map(row).collect()
    });
    let plan = (plans(), 1_500..4_000u64, prop_oneof![1 => Just(0u64), 3 => 500..3_000u64], 200..1_000usize);
    (plan, rows).prop_map(|((plan, window, allowed, batch_rows), rows): (_, Rows)| {
        (Plan { window, allowed, batch_rows, lateness: 20, shards: 2, commit_steps: 20, ..plan }, vec![rows])
    })
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn a_close_of_many_panes_may_be_cut_anywhere((plan, rows) in many_keys()) {
        check_one(&plan, &rows, &count());
        check_one(&plan, &rows, &fold());
    }
}
