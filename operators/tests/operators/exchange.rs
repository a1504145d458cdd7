//! Exchange and merge: rows to their owners, control aligned.

use std::sync::Arc;

use headwater_operators::harness::{Collected, collector};
use headwater_operators::{
    Activity, Batch, Exchange, KeyBy, Kind, Merge, MergeInput, Message, Origin, Output, Result, Timestamp,
};
use headwater_state::{Epoch, Key, Shard};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn rows(numbers: &[u32]) -> Message<Vec<u32>> {
    Message::Batch(Batch::new(numbers.to_vec(), numbers.iter().map(|&n| at(n.into())).collect()))
}

#[test]
fn every_row_goes_to_the_owner_of_its_shard_with_its_time_and_hash() -> Result<()> {
    let owners: Arc<[u16]> = [0, 1, 2, 0, 1].into();
    let (outputs, seen): (Vec<_>, Vec<_>) = (0..3).map(|_| collector::<Vec<u32>>()).unzip();
    let outputs = outputs.into_iter().map(|output| Box::new(output) as _).collect();
    let mut exchange = Exchange::new(Arc::new(KeyBy::new(|n: &u32| *n)), Arc::clone(&owners), outputs)?;
    let numbers: Vec<u32> = (0..1_000).collect();
    exchange.send(rows(&numbers))?;
    let mut found = Vec::new();
    for (worker, seen) in seen.iter().enumerate() {
        for message in seen.take_messages() {
            let Message::Batch(batch) = message else { panic!("{message:?}") };
            let mut last = None;
            for ((&n, &time), &hash) in batch.records.iter().zip(&batch.times).zip(&batch.hashes) {
                assert_eq!((time, hash), (at(n.into()), n.hash64()));
                assert_eq!(usize::from(owners[usize::from(Shard::of(hash, 5).0)]), worker);
                assert!(last < Some(n), "the order stays");
                last = Some(n);
            }
            assert!(batch.len() > 100, "worker {worker} has {} rows", batch.len());
            found.extend(batch.records);
        }
    }
    found.sort_unstable();
    assert_eq!(found, numbers);
    exchange.send(Message::Watermark(at(1)))?;
    exchange.send(Message::Barrier(Epoch(1)))?;
    assert!(seen.iter().all(|seen| seen.take_messages().len() == 2), "control goes to all");
    Ok(())
}

#[test]
fn an_owner_that_does_not_exist_is_a_bug() {
    let exchange = Exchange::new(Arc::new(KeyBy::new(|n: &u32| *n)), [0, 1].into(), vec![Box::new(collector().0)]);
    assert_eq!(exchange.err().map(|error| error.kind()), Some(Kind::Bug));
}

fn merge(inputs: usize) -> (Vec<MergeInput<Vec<u32>>>, Collected<Vec<u32>>) {
    let (output, seen) = collector();
    (Merge::inputs(inputs, Box::new(output)), seen)
}

fn said(seen: &Collected<Vec<u32>>) -> Vec<String> {
    let text = |message: &Message<Vec<u32>>| match message {
        Message::Batch(batch) => format!("{:?}", batch.records),
        Message::Watermark(time) => format!("w {}", time.as_seconds()),
        Message::Tick(time) => format!("tick {}", time.as_seconds()),
        other => format!("{other:?}"),
    };
    seen.take_messages().iter().map(text).collect()
}

#[test]
fn the_least_watermark_passes_and_never_goes_back() -> Result<()> {
    let (mut inputs, seen) = merge(2);
    inputs[0].send(Message::Watermark(at(5)))?;
    assert_eq!(said(&seen), [""; 0], "the other holds");
    inputs[1].send(Message::Watermark(at(3)))?;
    inputs[1].send(Message::Watermark(at(9)))?;
    assert_eq!(said(&seen), ["w 3", "w 5"]);
    inputs[0].send(Message::Idle)?;
    inputs[0].send(Message::Watermark(at(6)))?;
    assert_eq!(said(&seen), ["w 9"], "it comes back behind the rest and holds from here on");
    inputs[1].send(Message::Watermark(at(20)))?;
    inputs[0].send(Message::Watermark(at(15)))?;
    assert_eq!(said(&seen), ["w 15"]);
    Ok(())
}

#[test]
fn idle_passes_when_all_are_and_is_taken_back_by_any() -> Result<()> {
    let (mut inputs, seen) = merge(2);
    inputs[0].send(Message::Watermark(at(5)))?;
    inputs[0].send(Message::Idle)?;
    inputs[1].send(Message::Idle)?;
    inputs[1].send(Message::Idle)?;
    assert_eq!(said(&seen), ["w 5", "Idle"], "the greatest that any has reached");
    inputs[1].send(Message::Watermark(Timestamp::MIN))?;
    inputs[1].send(Message::Idle)?;
    inputs[0].send(rows(&[1]))?;
    assert_eq!(said(&seen), ["w 5", "Idle", "w 5", "[1]"]);
    Ok(())
}

#[test]
fn one_that_comes_back_from_idleness_far_behind_does_not_turn_time_back() -> Result<()> {
    let (mut inputs, seen) = merge(2);
    inputs[0].send(Message::Watermark(at(6)))?;
    inputs[0].send(Message::Idle)?;
    inputs[1].send(Message::Watermark(at(9)))?;
    inputs[1].send(Message::Idle)?;
    assert_eq!(said(&seen), ["w 9", "Idle"]);
    inputs[0].send(Message::Watermark(at(7)))?;
    inputs[1].send(Message::Watermark(at(30)))?;
    assert_eq!(said(&seen), ["w 9"], "no longer idle, no earlier, and it holds");
    Ok(())
}

#[test]
fn a_barrier_passes_when_all_have_delivered_it() -> Result<()> {
    let (mut inputs, seen) = merge(3);
    inputs[0].send(rows(&[1]))?;
    inputs[0].send(Message::Barrier(Epoch(7)))?;
    inputs[1].send(rows(&[2]))?;
    inputs[2].send(Message::End)?;
    inputs[2].send(Message::Barrier(Epoch(7)))?;
    assert_eq!(said(&seen), ["[1]", "[2]"]);
    assert_eq!(inputs[0].send(rows(&[3])).unwrap_err().kind(), Kind::Bug);
    inputs[1].send(Message::Barrier(Epoch(7)))?;
    // An epoch that changed nothing is not committed, and its number comes again.
    for input in &mut inputs {
        input.send(Message::Barrier(Epoch(7)))?;
    }
    assert_eq!(said(&seen), ["Barrier(Epoch(7))", "Barrier(Epoch(7))"]);
    Ok(())
}

#[test]
fn the_end_passes_when_all_have_ended() -> Result<()> {
    let (mut inputs, seen) = merge(2);
    inputs[0].send(Message::Watermark(Timestamp::MAX))?;
    inputs[0].send(Message::End)?;
    inputs[1].send(Message::Watermark(at(4)))?;
    assert_eq!(said(&seen), ["w 4"], "an ended input holds nothing");
    assert_eq!(inputs[0].send(rows(&[3])).unwrap_err().kind(), Kind::Bug);
    inputs[1].send(Message::Idle)?;
    inputs[1].send(Message::Watermark(Timestamp::MAX))?;
    inputs[1].send(Message::End)?;
    assert_eq!(said(&seen), ["Idle", &format!("w {}", Timestamp::MAX.as_seconds()), "End"]);
    Ok(())
}

#[test]
fn ticks_pass_when_all_have_told_them() -> Result<()> {
    let (mut inputs, seen) = merge(2);
    inputs[0].send(Message::Tick(at(2)))?;
    inputs[1].send(Message::Tick(at(1)))?;
    inputs[1].send(Message::Tick(at(3)))?;
    assert_eq!(said(&seen), ["tick 1", "tick 2"]);
    Ok(())
}

#[test]
fn a_union_before_event_time_passes_origins_on() -> Result<()> {
    let (mut inputs, seen) = merge(2);
    inputs[0].send(Message::Origin(Origin { id: 0, name: "a/0".into() }, Activity::Active))?;
    inputs[1].send(Message::Origin(Origin { id: 1, name: "b/0".into() }, Activity::Active))?;
    inputs[1].send(rows(&[1]))?;
    for input in &mut inputs {
        input.send(Message::End)?;
    }
    let messages = seen.take_messages();
    assert!(matches!(messages[..], [Message::Origin(..), Message::Origin(..), Message::Batch(_), ..]), "{messages:?}");
    assert!(matches!(messages.last(), Some(Message::End)));
    Ok(())
}
