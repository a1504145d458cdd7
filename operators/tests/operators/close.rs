//! Closing windows: in order, a bounded piece at a time, across epochs and crashes.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::harness::Harness;
use headwater_operators::{
    Batch, Count, Counter, KeyBy, Message, OnClose, Pane, PaneKind, Progress, Result, Timestamp, Tumbling,
    WindowAggregate,
};
use headwater_state::Store;

type Out = Vec<Pane<u32, u64>>;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// Counts the numbers of each ten seconds, each by itself.
fn counts(allowed_s: u64) -> Result<Harness<Vec<u32>, Out>> {
    let definition = WindowAggregate {
        id: "counts".to_owned(),
        keying: Arc::new(KeyBy::new(|n: &u32| *n)),
        windows: Arc::new(Tumbling::seconds(10)),
        aggregate: Arc::new(Count),
        trigger: Arc::new(OnClose),
        allowed_lateness: Duration::from_secs(allowed_s),
    };
    Harness::of(move |local| definition.open(local, None, Counter::new()))
}

fn summary(panes: Out) -> Vec<(u32, i64, u64, PaneKind)> {
    panes.into_iter().map(|pane| (pane.key, pane.window.start.as_seconds(), pane.value, pane.kind)).collect()
}

#[test]
fn windows_close_in_the_order_of_their_ends() -> Result<()> {
    let mut harness = counts(0)?;
    harness.timed([(at(21), 7), (at(1), 7), (at(11), 7), (at(12), 7)])?;
    harness.watermark(at(20))?;
    let on_time = PaneKind::OnTime;
    assert_eq!(summary(harness.take()), [(7, 0, 1, on_time), (7, 10, 2, on_time)]);
    harness.watermark(at(30))?;
    assert_eq!(summary(harness.take()), [(7, 20, 1, on_time)]);
    Ok(())
}

#[test]
fn a_result_has_the_last_moment_of_its_window_as_its_time() -> Result<()> {
    let mut harness = counts(0)?;
    harness.timed([(at(1), 7)])?;
    harness.watermark(at(15))?;
    let times: Vec<Timestamp> = harness.take_messages().into_iter().flat_map(times_of).collect();
    assert_eq!(times, [Timestamp::from_micros(9_999_999)]);
    Ok(())
}

fn times_of(message: Message<Out>) -> Vec<Timestamp> {
    if let Message::Batch(batch) = message { batch.times } else { Vec::new() }
}

/// A harness with ten thousand panes in one window.
fn many(allowed_s: u64) -> Result<Harness<Vec<u32>, Out>> {
    let mut harness = counts(allowed_s)?;
    harness.timed((0..10_000).map(|n| (at(5), n)))?;
    harness.commit()?;
    Ok(harness)
}

#[test]
fn the_watermark_follows_the_last_pane_and_every_piece_is_bounded() -> Result<()> {
    let mut harness = many(0)?;
    harness.push(Message::Watermark(at(10)))?;
    let mut pieces = vec![harness.take_messages()];
    while harness.work()? == Progress::Pending {
        pieces.push(harness.take_messages());
    }
    pieces.push(harness.take_messages());
    let mut panes = 0;
    for piece in &pieces {
        let batches =
            piece.iter().filter_map(|message| if let Message::Batch(batch) = message { Some(batch) } else { None });
        let sizes: Vec<usize> = batches.map(Batch::len).collect();
        assert!(sizes.iter().all(|&rows| rows <= 1024), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() <= 4096, "{sizes:?}");
        panes += sizes.iter().sum::<usize>();
    }
    assert_eq!(panes, 10_000);
    assert!(pieces.len() > 2);
    let is_watermark = |message: &Message<Out>| matches!(message, Message::Watermark(time) if *time == at(10));
    assert!(pieces.pop().unwrap().last().is_some_and(is_watermark));
    assert!(!pieces.iter().flatten().any(is_watermark));
    Ok(())
}

#[test]
fn a_close_goes_on_after_a_crash_where_the_last_commit_left_it() -> Result<()> {
    let mut harness = many(0)?;
    harness.push(Message::Watermark(at(10)))?;
    let mut pieces = 0;
    loop {
        harness.commit()?;
        harness.write_back()?;
        let lost = harness.work()?;
        harness.crash()?;
        pieces += 1;
        // Without a new watermark: what was pending is known from the state.
        let again = harness.work()?;
        assert_eq!(again, lost, "the same piece once more");
        if again == Progress::Done {
            break;
        }
    }
    assert!(pieces > 1);
    harness.commit()?;
    let mut keys: Vec<u32> = harness.take().into_iter().map(|pane| pane.key).collect();
    keys.sort_unstable();
    assert_eq!(keys, (0..10_000).collect::<Vec<u32>>());
    Ok(())
}

#[test]
fn the_end_of_the_input_waits_for_the_last_pane() -> Result<()> {
    let mut harness = many(0)?;
    harness.push(Message::Watermark(Timestamp::MAX))?;
    harness.push(Message::Idle)?;
    harness.push(Message::End)?;
    assert!(!harness.take_messages().iter().any(|message| matches!(message, Message::End | Message::Idle)));
    harness.settle()?;
    let messages = harness.take_messages();
    let tail: Vec<String> = messages.iter().rev().take(3).map(|message| format!("{message:?}")).collect();
    assert_eq!(tail, ["End", "Idle", "Watermark(+∞)"]);
    Ok(())
}

#[test]
fn a_row_for_a_window_that_is_closing_is_late() -> Result<()> {
    let mut harness = many(0)?;
    harness.push(Message::Watermark(at(10)))?;
    harness.push(Message::Batch(Batch::new(vec![1, 9_999, 20_000], vec![at(5); 3])))?;
    harness.settle()?;
    let panes = summary(harness.take());
    assert_eq!(panes.len(), 10_000);
    assert!(panes.iter().all(|&(.., count, kind)| count == 1 && kind == PaneKind::OnTime));
    Ok(())
}

#[test]
fn a_correction_during_a_close_comes_after_the_result() -> Result<()> {
    let mut harness = many(60)?;
    harness.push(Message::Watermark(at(10)))?;
    // Some of them were emitted by the first piece, others were not; the last is new.
    let corrected = [0, 1, 5_000, 9_998, 9_999, 20_000];
    harness.push(Message::Batch(Batch::new(corrected.to_vec(), vec![at(5); 6])))?;
    harness.settle()?;
    let panes = summary(harness.take());
    for key in corrected {
        let said: Vec<_> = panes.iter().filter(|pane| pane.0 == key).map(|pane| (pane.2, pane.3)).collect();
        let expected = if key == 20_000 {
            vec![(1, PaneKind::OnTime)]
        } else {
            vec![(1, PaneKind::OnTime), (2, PaneKind::Correction)]
        };
        assert_eq!(said, expected, "of {key}");
    }
    assert_eq!(panes.len(), 10_000 + 5 + 1);
    Ok(())
}

#[test]
fn nothing_is_left_when_every_window_has_closed() -> Result<()> {
    let mut harness = many(60)?;
    harness.watermark(at(10))?;
    harness.commit()?;
    harness.write_back()?;
    assert_eq!(stored(&harness)?, 10_000, "kept for the allowed lateness");
    harness.watermark(at(70))?;
    harness.commit()?;
    harness.write_back()?;
    assert_eq!(stored(&harness)?, 0);
    assert_eq!(harness.local().used_bytes(), 0);
    Ok(())
}

fn stored(harness: &Harness<Vec<u32>, Out>) -> Result<usize> {
    let mut keys = 0;
    harness.store().scan("counts/panes", &[], &[u8::MAX; 4], &mut |_, _| {
        keys += 1;
        std::ops::ControlFlow::Continue(())
    })?;
    Ok(keys)
}
