//! Watermarks: per partition, merged, idle, cut and restored.

use std::sync::Arc;

use headwater_operators::harness::Harness;
use headwater_operators::{Activity, Batch, EventTime, Kind, Lateness, Message, Result, Timestamp};

/// Numbers are their own times in seconds, ten of which they may be behind.
fn numbers() -> Result<Harness<Vec<i64>, Vec<i64>>> {
    Harness::new(|local, next| {
        let times = Arc::new(|seconds: &i64| Timestamp::from_seconds(*seconds));
        Ok(Box::new(EventTime::new("time", times, Lateness::seconds(10), local, next)))
    })
}

fn send(harness: &mut Harness<Vec<i64>, Vec<i64>>, origin: u32, rows: &[i64]) -> Result<()> {
    let mut batch = Batch::new(rows.to_vec(), vec![Timestamp::MIN; rows.len()]);
    batch.origin = origin;
    harness.push(Message::Batch(batch))
}

fn said(harness: &mut Harness<Vec<i64>, Vec<i64>>) -> Vec<String> {
    let text = |message: &Message<Vec<i64>>| match message {
        Message::Batch(batch) => format!("{:?}", batch.records),
        Message::Watermark(Timestamp::MAX) => "end of time".to_owned(),
        Message::Watermark(time) => format!("w {}", time.as_seconds()),
        other => format!("{other:?}"),
    };
    harness.take_messages().iter().map(text).collect()
}

#[test]
fn the_slowest_partition_holds_the_watermark() -> Result<()> {
    let mut harness = numbers()?;
    harness.origin("a")?;
    harness.origin("b")?;
    send(&mut harness, 0, &[100, 105])?;
    assert_eq!(said(&mut harness), ["[100, 105]"], "b has said nothing yet");
    send(&mut harness, 1, &[50])?;
    assert_eq!(said(&mut harness), ["[50]", "w 40"]);
    send(&mut harness, 1, &[200])?;
    assert_eq!(said(&mut harness), ["[200]", "w 95"]);
    Ok(())
}

#[test]
fn an_idle_or_ended_partition_holds_nothing() -> Result<()> {
    let mut harness = numbers()?;
    for name in ["a", "b", "c"] {
        harness.origin(name)?;
    }
    send(&mut harness, 0, &[100])?;
    harness.activity("b", Activity::Idle)?;
    assert_eq!(said(&mut harness), ["[100]"]);
    harness.activity("c", Activity::Ended)?;
    assert_eq!(said(&mut harness), ["w 90"]);
    harness.activity("a", Activity::Idle)?;
    assert_eq!(said(&mut harness), ["Idle"]);
    // Before its row comes the watermark it holds at, to all, wherever the row goes.
    send(&mut harness, 1, &[120])?;
    assert_eq!(said(&mut harness), ["w 90", "[120]", "w 110"]);
    send(&mut harness, 0, &[121])?;
    harness.activity("b", Activity::Idle)?;
    assert_eq!(said(&mut harness), ["[121]", "w 111"]);
    Ok(())
}

#[test]
fn partitions_that_are_announced_together_decide_together() -> Result<()> {
    let mut harness = numbers()?;
    harness.origin("a")?;
    harness.origin("b")?;
    send(&mut harness, 0, &[100])?;
    send(&mut harness, 1, &[50])?;
    harness.commit()?;
    harness.crash()?;
    harness.take_messages();
    // a alone stood at 90.
    harness.tick(Timestamp::from_seconds(1))?;
    assert_eq!(said(&mut harness), ["w 40", "Tick(1970-01-01T00:00:01Z)"]);
    Ok(())
}

#[test]
fn a_worker_without_a_partition_is_idle() -> Result<()> {
    let mut harness = numbers()?;
    harness.tick(Timestamp::from_seconds(1))?;
    harness.commit()?;
    harness.end()?;
    let expected = ["Idle", "Tick(1970-01-01T00:00:01Z)", "Barrier(Epoch(1))", "end of time", "End"];
    assert_eq!(said(&mut harness), expected);
    Ok(())
}

#[test]
fn a_row_behind_the_lateness_comes_after_the_watermark() -> Result<()> {
    let mut harness = numbers()?;
    harness.origin("a")?;
    send(&mut harness, 0, &[100, 89, 120, 119, 109, 108, 130])?;
    let expected = ["[100]", "w 90", "[89, 120, 119]", "w 110", "[109, 108, 130]", "w 120"];
    assert_eq!(said(&mut harness), expected);
    send(&mut harness, 0, &[1])?;
    assert_eq!(said(&mut harness), ["[1]"], "the watermark is there already");
    Ok(())
}

#[test]
fn the_newest_time_of_a_partition_is_committed() -> Result<()> {
    let mut harness = numbers()?;
    harness.origin("a")?;
    send(&mut harness, 0, &[100])?;
    harness.commit()?;
    send(&mut harness, 0, &[500])?;
    harness.crash()?;
    harness.take_messages();
    send(&mut harness, 0, &[80])?;
    assert_eq!(said(&mut harness), ["w 90", "[80]"]);
    Ok(())
}

#[test]
fn no_record_can_claim_the_end_of_time() -> Result<()> {
    let mut harness = Harness::new(|local, next| {
        let times = Arc::new(|time: &Timestamp| *time);
        Ok(Box::new(EventTime::new("time", times, Lateness::NONE, local, next)))
    })?;
    harness.origin("a")?;
    harness.rows([Timestamp::MAX, Timestamp::MIN])?;
    let watermarks = harness.take_messages().into_iter().filter_map(|message| match message {
        Message::Watermark(time) => Some(time),
        _ => None,
    });
    assert!(watermarks.max().is_some_and(|time| time < Timestamp::MAX));
    Ok(())
}

#[test]
fn what_no_source_may_do_is_a_bug() -> Result<()> {
    let mut harness = numbers()?;
    let unknown = send(&mut harness, 7, &[1]).unwrap_err();
    assert_eq!(unknown.kind(), Kind::Bug);
    harness.origin("a")?;
    harness.activity("a", Activity::Ended)?;
    assert_eq!(send(&mut harness, 0, &[1]).unwrap_err().to_string(), "a has ended and sent a batch");
    Ok(())
}
