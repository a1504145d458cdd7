//! Late rows: where they go, what they correct, and that a restart forgets none of it.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::harness::{Collected, Harness, HarnessOptions, collector};
use headwater_operators::{
    Activity, Batch, Chain, Count, Counter, EventTime, Fork, KeyBy, KeyByRef, Late, LateRows, Lateness, Message,
    OnClose, Output, Pane, PaneKind, Result, SideOutput, Timestamp, Tumbling, Window, WindowAggregate,
};
use headwater_state::{Epoch, Key, LocalOptions, LocalState, MemoryStore, Note, Shard};

type Visit = (String, i64);

struct Visits {
    harness: Harness<Vec<Visit>, Vec<Pane<String, u64>>>,
    late: Collected<Vec<Late<Visit>>>,
    late_rows: Counter,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// Visits per user and ten seconds, from one partition whose rows may be three seconds behind.
fn visits(allowed_s: u64, batch_rows: usize) -> Result<Visits> {
    let late_rows = Counter::new();
    let definition = WindowAggregate {
        id: "visits".to_owned(),
        keying: Arc::new(KeyByRef::new(|(user, _): &Visit| user)),
        windows: Arc::new(Tumbling::seconds(10)),
        aggregate: Arc::new(Count),
        trigger: Arc::new(OnClose),
        allowed_lateness: Duration::from_secs(allowed_s),
    };
    let (to_late, late) = collector();
    let options = HarnessOptions { batch_rows, ..HarnessOptions::default() };
    let counted = late_rows.clone();
    let mut harness = Harness::with(options, move |local, next| {
        let side = SideOutput::new(Box::new(to_late.clone()));
        let operator = definition.open(local, Some(Box::new(LateRows(side.clone()))), counted.clone())?;
        let chain = Chain::new(operator, Box::new(Fork::new(next, side)));
        let times = Arc::new(|(_, seconds): &Visit| at(*seconds));
        Ok(Box::new(EventTime::new("time", times, Lateness::seconds(3), local, Box::new(chain))))
    })?;
    harness.origin("visits/0")?;
    Ok(Visits { harness, late, late_rows })
}

fn visit(user: &str, seconds: i64) -> Visit {
    (user.to_owned(), seconds)
}

fn said(panes: Vec<Pane<String, u64>>) -> Vec<String> {
    let text = |pane: Pane<String, u64>| {
        format!("{} {} {} {:?}", pane.key, pane.window.start.as_seconds(), pane.value, pane.kind)
    };
    panes.into_iter().map(text).collect()
}

#[test]
fn a_late_row_is_counted_and_set_aside_with_its_reason() -> Result<()> {
    for batch_rows in [1, 2, 100] {
        let mut visits = visits(0, batch_rows)?;
        visits.harness.rows([visit("ada", 1), visit("ada", 13), visit("bob", 9), visit("ada", 14)])?;
        visits.harness.end()?;
        assert_eq!(said(visits.harness.take()), ["ada 0 1 OnTime", "ada 10 2 OnTime"]);
        let late = Late {
            record: visit("bob", 9),
            time: at(9),
            window: Window { start: at(0), end: at(10) },
            watermark: at(10),
        };
        assert_eq!((visits.late.take(), visits.late_rows.get()), (vec![late], 1), "in batches of {batch_rows}");
    }
    Ok(())
}

#[test]
fn a_row_within_the_lateness_is_in_time() -> Result<()> {
    let mut visits = visits(0, 1)?;
    visits.harness.rows([visit("ada", 12), visit("bob", 9)])?;
    visits.harness.end()?;
    assert_eq!(visits.late_rows.get(), 0);
    Ok(())
}

#[test]
fn an_allowed_late_row_corrects_at_once() -> Result<()> {
    for batch_rows in [1, 100] {
        let mut visits = visits(5, batch_rows)?;
        let rows = [visit("ada", 1), visit("ada", 13), visit("ada", 9), visit("bob", 8), visit("bob", 7)];
        visits.harness.rows(rows)?;
        let expected = ["ada 0 1 OnTime", "ada 0 2 Correction", "bob 0 1 OnTime", "bob 0 2 Correction"];
        assert_eq!(said(visits.harness.take()), expected, "in batches of {batch_rows}");
        // The window is gone at 15, which the watermark reaches with 18.
        visits.harness.rows([visit("ada", 17), visit("ada", 9), visit("ada", 18), visit("ada", 9)])?;
        assert_eq!(said(visits.harness.take()), ["ada 0 3 Correction"]);
        assert_eq!(visits.late_rows.get(), 1);
    }
    Ok(())
}

#[test]
fn a_restart_forgets_no_lateness_and_opens_no_window_again() -> Result<()> {
    let mut visits = visits(0, 100)?;
    visits.harness.rows([visit("ada", 1), visit("ada", 13)])?;
    visits.harness.commit()?;
    assert_eq!(said(visits.harness.take()), ["ada 0 1 OnTime"]);
    visits.harness.crash()?;
    visits.harness.rows([visit("bob", 9)])?;
    visits.harness.end()?;
    assert_eq!(said(visits.harness.take()), ["ada 10 1 OnTime"]);
    assert_eq!(visits.late_rows.get(), 1);
    Ok(())
}

#[test]
fn a_correction_is_one_after_a_restart_too() -> Result<()> {
    let mut visits = visits(50, 100)?;
    visits.harness.rows([visit("ada", 1), visit("ada", 13), visit("bob", 2)])?;
    visits.harness.commit()?;
    visits.harness.take();
    visits.harness.crash()?;
    visits.harness.rows([visit("ada", 2), visit("bob", 3), visit("eve", 3)])?;
    let expected = ["ada 0 2 Correction", "bob 0 2 Correction", "eve 0 1 OnTime"];
    assert_eq!(said(visits.harness.take()), expected);
    visits.harness.end()?;
    assert_eq!(said(visits.harness.take()), ["ada 10 1 OnTime"], "what was emitted is not emitted again");
    Ok(())
}

#[test]
fn shards_of_different_workers_keep_their_own_watermark() -> Result<()> {
    // Two workers stood at 40 and at 20 when the job was stopped, and one goes on with the shards of both.
    let note = |scope: &str, seconds: i64| {
        let micros = seconds * 1_000_000;
        Note { operator: "numbers".to_owned(), scope: scope.to_owned(), text: format!("{micros} {micros}") }
    };
    let owned = vec![Shard(0), Shard(1)];
    let options = LocalOptions { shards: 2, owned, committed: Epoch(0), memory_bytes: 1 << 20 };
    let notes = vec![note("shard 0", 40), note("shard 1", 20)];
    let local = LocalState::new(Arc::new(MemoryStore::new()), options, notes);
    let late_rows = Counter::new();
    let definition = WindowAggregate {
        id: "numbers".to_owned(),
        keying: Arc::new(KeyBy::new(|n: &u32| *n)),
        windows: Arc::new(Tumbling::seconds(10)),
        aggregate: Arc::new(Count),
        trigger: Arc::new(OnClose),
        allowed_lateness: Duration::ZERO,
    };
    let (output, seen) = collector();
    let mut chain = Chain::new(definition.open(&local, None, late_rows.clone())?, Box::new(output));
    let in_first = (0..100u32).filter(|n| Shard::of(n.hash64(), 2) == Shard(0)).count();
    chain.send(Message::Batch(Batch::new((0..100).collect(), vec![at(35); 100])))?;
    assert_eq!(late_rows.get(), in_first as u64);
    chain.send(Message::Watermark(at(30)))?;
    chain.send(Message::Batch(Batch::new((0..100).collect(), vec![at(35); 100])))?;
    assert_eq!((seen.take().len(), late_rows.get()), (0, 2 * in_first as u64), "neither goes back");
    chain.send(Message::Watermark(at(45)))?;
    assert_eq!(seen.take().len(), 100 - in_first);
    Ok(())
}

#[test]
fn control_reaches_the_late_output() -> Result<()> {
    let mut visits = visits(0, 100)?;
    visits.harness.rows([visit("ada", 13)])?;
    visits.harness.activity("visits/0", Activity::Idle)?;
    visits.harness.commit()?;
    visits.harness.end()?;
    let control: Vec<String> = visits.late.take_messages().iter().map(|message| format!("{message:?}")).collect();
    let expected = ["Watermark(1970-01-01T00:00:10Z)", "Idle", "Barrier(Epoch(1))", "Watermark(+∞)", "End"];
    assert_eq!(control, expected);
    let kinds: Vec<PaneKind> = visits.harness.take().into_iter().map(|pane| pane.kind).collect();
    assert_eq!(kinds, [PaneKind::OnTime]);
    Ok(())
}
