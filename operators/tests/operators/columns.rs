//! Record batches through the same operators as rows.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use headwater_operators::harness::{Harness, collector};
use headwater_operators::{
    Chain, Count, Counter, EventTime, Exchange, Filter, Fork, KeyByRef, KeyColumn, Keying, Kind, Late, LateOutput,
    LateRecords, LateRows, Lateness, Merge, Message, OnClose, Once, Output, Pane, Records, Result, SideOutput,
    TimeColumn, Times, Timestamp, Trigger, Tumbling, WindowAggregate,
};
use headwater_state::{LocalState, Text};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Visit {
    user: Text,
    at: i64,
}

fn batch_of(visits: &[Visit]) -> RecordBatch {
    let users: StringArray = visits.iter().map(|visit| Some(&*visit.user)).collect();
    let times: TimestampMillisecondArray = visits.iter().map(|visit| Some(visit.at * 1_000)).collect();
    RecordBatch::try_from_iter([("user", Arc::new(users) as ArrayRef), ("at", Arc::new(times))]).unwrap()
}

type Out = Vec<Pane<Text, u64>>;
type Late2<R> = (Box<dyn LateOutput<R>>, Box<dyn Output<Out>>);

/// Event time, an exchange whose two ways meet again, and a window count.
fn pipeline<R, G, F, T>(
    keying: G,
    times: F,
    trigger: T,
    local: &LocalState,
    (late, next): Late2<R>,
) -> Result<Box<dyn Output<R>>>
where
    R: Records,
    G: Keying<R, Key = Text>,
    F: Times<R>,
    T: Trigger<u64>,
{
    let counts = WindowAggregate {
        id: "visits".to_owned(),
        keying: Arc::new(keying),
        windows: Arc::new(Tumbling::seconds(10)),
        aggregate: Arc::new(Count),
        trigger: Arc::new(trigger),
        allowed_lateness: Duration::from_secs(5),
    };
    let chain = Chain::new(counts.open(local, Some(late), Counter::new())?, next);
    let inputs = Merge::inputs(2, Box::new(chain)).into_iter().map(|input| Box::new(input) as _).collect();
    let exchange = Exchange::new(Arc::clone(&counts.keying), [0, 1, 0, 1].into(), inputs)?;
    Ok(Box::new(EventTime::new("time", Arc::new(times), Lateness::seconds(3), local, Box::new(exchange))))
}

/// What one trigger says, sorted, and how many rows were late: for rows, then for columns.
fn both<T: Trigger<u64> + Copy>(batches: &[Vec<Visit>], trigger: T) -> [(Vec<String>, usize); 2] {
    let (to_late, late) = collector::<Vec<Late<Visit>>>();
    let mut rows: Harness<Vec<Visit>, Out> = Harness::new(move |local, next| {
        let side = SideOutput::new(Box::new(to_late.clone()));
        let keying = KeyByRef::new(|visit: &Visit| &visit.user);
        let times = |visit: &Visit| Timestamp::from_seconds(visit.at);
        let next = Box::new(Fork::new(next, side.clone()));
        pipeline(keying, times, trigger, local, (Box::new(LateRows(side)), next))
    })
    .unwrap();
    let (to_late, late_columns) = collector::<RecordBatch>();
    let mut columns: Harness<RecordBatch, Out> = Harness::new(move |local, next| {
        let side = SideOutput::new(Box::new(to_late.clone()));
        let next = Box::new(Fork::new(next, side.clone()));
        let late = Box::new(LateRecords(side));
        pipeline(KeyColumn::<Text>::named("user"), TimeColumn::named("at"), trigger, local, (late, next))
    })
    .unwrap();
    rows.origin("visits/0").unwrap();
    columns.origin("visits/0").unwrap();
    for visits in batches {
        rows.rows(visits.iter().cloned()).unwrap();
        columns.push(untimed(batch_of(visits))).unwrap();
    }
    rows.end().unwrap();
    columns.end().unwrap();
    let text = |panes: Out| {
        let mut said: Vec<String> = panes.into_iter().map(|pane| format!("{pane:?}")).collect();
        said.sort();
        said
    };
    let late_rows =
        |message| if let Message::Batch(batch) = message { RecordBatch::num_rows(&batch.records) } else { 0 };
    let late_columns = late_columns.take_messages().into_iter().map(late_rows).sum();
    [(text(rows.take()), late.take().len()), (text(columns.take()), late_columns)]
}

fn untimed(records: RecordBatch) -> Message<RecordBatch> {
    let times = vec![Timestamp::MIN; records.num_rows()];
    Message::Batch(headwater_operators::Batch::new(records, times))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_and_columns_give_the_same_panes(
        rows in prop::collection::vec(("[ab]{0,2}", 0..4i64, 0..30i64), 1..150),
        batch_rows in 1..50usize,
    ) {
        let mut now = 0;
        let visits: Vec<Visit> = rows.into_iter().map(|(user, step, back)| {
            now += step;
            Visit { user: Text::from(user.as_str()), at: now - back }
        }).collect();
        let batches: Vec<_> = visits.chunks(batch_rows).map(<[Visit]>::to_vec).collect();
        let [rows, columns] = both(&batches, OnClose);
        prop_assert_eq!(rows, columns);
        let [rows, columns] = both(&batches, Once(|count: &u64| *count > 2));
        prop_assert_eq!(rows, columns);
    }
}

#[test]
fn a_filter_takes_a_mask() -> Result<()> {
    let even = |records: &RecordBatch| {
        let numbers = records.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        Ok(numbers.iter().map(|n| n.map(|n| n % 2 == 0)).collect::<BooleanArray>())
    };
    let filter = Filter::new(Arc::new(even));
    let mut harness = Harness::of(move |_| Ok(filter.clone()))?;
    let numbers: Int64Array = [Some(1), Some(2), None, Some(4)].into_iter().collect();
    harness.push(untimed(RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef)]).unwrap()))?;
    let Some(Message::Batch(batch)) = harness.take_messages().pop() else { panic!("no batch") };
    assert_eq!(batch.records.column(0).as_ref(), &Int64Array::from(vec![2, 4]) as &dyn arrow_array::Array);
    Ok(())
}

#[test]
fn columns_are_taken_cut_and_divided_as_rows_are() -> Result<()> {
    let numbers = |range: std::ops::Range<i64>| {
        let array = Arc::new(Int64Array::from_iter_values(range));
        RecordBatch::try_from_iter([("n", array as ArrayRef)]).unwrap()
    };
    let list = |records: &RecordBatch| {
        let array = records.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
        array.values().to_vec()
    };
    assert_eq!(list(&Records::take(numbers(0..5), &[1, 4])?), [1, 4]);
    let mut head = numbers(0..5);
    let tail = Records::split_off(&mut head, 2)?;
    assert_eq!((list(&head), list(&tail)), (vec![0, 1], vec![2, 3, 4]));
    let parts = numbers(0..5).divide(&[2, 0, 2, 0, 2], 3)?;
    assert_eq!(parts.iter().map(list).collect::<Vec<_>>(), [vec![1, 3], vec![], vec![0, 2, 4]]);
    assert_eq!(Records::take(numbers(0..5), &[5]).unwrap_err().kind(), Kind::Bug);
    assert_eq!(Records::split_off(&mut numbers(0..5), 6).unwrap_err().kind(), Kind::Bug);
    assert_eq!(numbers(0..5).divide(&[3; 5], 3).unwrap_err().kind(), Kind::Bug);
    Ok(())
}

#[test]
fn a_column_that_cannot_be_a_key_says_why() {
    let numbers: Int64Array = [Some(1), None].into_iter().collect();
    let batch = RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef)]).unwrap();
    let of = |error: headwater_operators::Error| (error.kind(), error.to_string());
    let missing = KeyColumn::<Text>::named("user").hashes(&batch, &mut Vec::new()).unwrap_err();
    assert_eq!(of(missing), (Kind::Config, "there is no column user, only n".to_owned()));
    let null = KeyColumn::<i64>::named("n").hashes(&batch, &mut Vec::new()).unwrap_err();
    assert_eq!(of(null), (Kind::Record, "column n is null in row 1".to_owned()));
    let text = KeyColumn::<Text>::named("n").hashes(&batch.slice(0, 1), &mut Vec::new()).unwrap_err();
    assert_eq!(of(text), (Kind::Config, "column n is Int64, not one of text keys".to_owned()));
    let time = TimeColumn::named("n").times(&batch.slice(0, 1), &mut Vec::new()).unwrap_err();
    assert_eq!(of(time), (Kind::Config, "column n is Int64, not a timestamp".to_owned()));
}
