//! Operators without state, and what carries messages between operators.

use std::sync::Arc;

use headwater_operators::harness::{Harness, collector};
use headwater_operators::{
    Batch, Branch, Chain, Counter, Credit, Filter, FlatMap, Inspect, Kind, Map, Message, Operator, Output, Progress,
    Records, Result, Tee, Timestamp,
};
use headwater_state::Epoch;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// Four rows at the times 0 to 3 with hashes 10 to 13, holding a credit.
fn batch(credit: &Arc<()>) -> Batch<Vec<u32>> {
    let mut batch = Batch::new((0..4).collect(), (0..4).map(at).collect());
    batch.hashes = (10..14).collect();
    batch.origin = 3;
    batch.credit = Credit::holding(Arc::clone(credit));
    batch
}

fn through<O: 'static>(
    operator: impl Operator<Vec<u32>, O> + 'static,
    batch: Batch<Vec<u32>>,
) -> Result<Vec<Batch<O>>> {
    let (output, seen) = collector();
    Chain::new(operator, Box::new(output)).send(Message::Batch(batch))?;
    let batches = seen.take_messages().into_iter().map(|message| match message {
        Message::Batch(batch) => batch,
        other => panic!("not a batch: {:?}", other.control::<()>()),
    });
    Ok(batches.collect())
}

#[test]
fn a_filter_keeps_times_hashes_and_credit() -> Result<()> {
    let (credit, dropped) = (Arc::new(()), Counter::new());
    let filter = Filter::new(Arc::new(|n: &u32| n % 2 == 1)).counted(dropped.clone());
    let out = through(filter, batch(&credit))?.remove(0);
    assert_eq!((&*out.records, &*out.hashes, out.origin), (&[1, 3][..], &[11, 13][..], 3));
    assert_eq!(out.times, [at(1), at(3)]);
    assert_eq!((dropped.get(), Arc::strong_count(&credit)), (2, 2));
    drop(out);
    assert_eq!(Arc::strong_count(&credit), 1, "the credit is given back with the last row");
    Ok(())
}

#[test]
fn a_filter_sends_nothing_where_nothing_is_left() -> Result<()> {
    let credit = Arc::new(());
    assert_eq!(through(Filter::new(Arc::new(|_: &u32| false)), batch(&credit))?.len(), 0);
    assert_eq!(Arc::strong_count(&credit), 1);
    Ok(())
}

#[test]
fn a_map_drops_the_hashes_of_the_old_keys() -> Result<()> {
    let out = through(Map::new(Arc::new(|n: u32| n.to_string())), batch(&Arc::new(())))?.remove(0);
    assert_eq!((out.records.join(""), out.hashes.len(), out.origin), ("0123".to_owned(), 0, 3));
    assert_eq!(out.times, [at(0), at(1), at(2), at(3)]);
    Ok(())
}

#[test]
fn a_flat_map_leaves_in_batches_of_bounded_size() -> Result<()> {
    let credit = Arc::new(());
    let out = through(FlatMap::new(Arc::new(|n: u32| vec![n; 3_000])), batch(&credit))?;
    let sizes: Vec<usize> = out.iter().map(Batch::len).collect();
    assert_eq!(sizes, [4096, 4096, 12_000 - 8192]);
    assert!(out.iter().all(|batch| batch.hashes.is_empty() && batch.origin == 3));
    assert_eq!(out[1].times[0], at(i64::from(out[1].records[0])));
    let last = out.into_iter().next_back();
    assert_eq!(Arc::strong_count(&credit), 2, "every part holds the credit");
    drop(last);
    assert_eq!(Arc::strong_count(&credit), 1);
    Ok(())
}

#[test]
fn an_inspection_changes_nothing() -> Result<()> {
    let seen = Counter::new();
    let counter = seen.clone();
    let out =
        through(Inspect::new(Arc::new(move |n: &u32| counter.add(u64::from(*n)))), batch(&Arc::new(())))?.remove(0);
    assert_eq!((out.len(), out.hashes.len(), seen.get()), (4, 4, 6));
    Ok(())
}

#[test]
fn a_branch_and_a_tee_send_control_both_ways() -> Result<()> {
    let ((left, left_seen), (right, right_seen)) = (collector(), collector());
    let branch = Branch::new(Arc::new(|n: &u32| *n > 1), Box::new(left), Box::new(right));
    let (copy, copy_seen) = collector();
    let mut tee = Tee::new(vec![Box::new(branch), Box::new(copy)]);
    tee.send(Message::Batch(batch(&Arc::new(()))))?;
    tee.send(Message::Watermark(at(9)))?;
    tee.send(Message::Barrier(Epoch(1)))?;
    tee.send(Message::End)?;
    for (seen, rows) in [(left_seen, &[2, 3][..]), (right_seen, &[0, 1]), (copy_seen, &[0, 1, 2, 3])] {
        let messages = seen.take_messages();
        assert!(matches!(&messages[0], Message::Batch(batch) if batch.records == rows), "{messages:?}");
        assert!(matches!(messages[1..], [Message::Watermark(_), Message::Barrier(_), Message::End]));
    }
    Ok(())
}

#[test]
fn rows_that_do_not_exist_are_a_bug() {
    let numbers = || vec![1, 2, 3];
    assert_eq!(Records::take(numbers(), &[0, 3]).unwrap_err().kind(), Kind::Bug);
    assert_eq!(Records::split_off(&mut numbers(), 4).unwrap_err().kind(), Kind::Bug);
    assert_eq!(numbers().divide(&[0, 1], 2).unwrap_err().kind(), Kind::Bug);
    assert_eq!(numbers().divide(&[0, 1, 2], 2).unwrap_err().kind(), Kind::Bug);
}

/// Needs two pieces of work for each watermark.
struct Slow(u8);

impl Operator<Vec<u32>, Vec<u32>> for Slow {
    fn process(&mut self, batch: Batch<Vec<u32>>, out: &mut dyn Output<Vec<u32>>) -> Result<()> {
        out.send(Message::Batch(batch))
    }

    fn advance(&mut self, _: Timestamp, _: &mut dyn Output<Vec<u32>>) -> Result<Progress> {
        self.0 = 2;
        Ok(Progress::Pending)
    }

    fn tick(&mut self, _: Timestamp, _: &mut dyn Output<Vec<u32>>) -> Result<Progress> {
        Ok(if self.0 == 0 { Progress::Done } else { Progress::Pending })
    }

    fn work(&mut self, _: &mut dyn Output<Vec<u32>>) -> Result<Progress> {
        self.0 -= 1;
        Ok(if self.0 == 0 { Progress::Done } else { Progress::Pending })
    }
}

#[test]
fn a_chain_holds_back_what_must_not_overtake_a_watermark() -> Result<()> {
    let mut harness = Harness::of(|_| Ok(Slow(0)))?;
    harness.push(Message::Watermark(at(1)))?;
    harness.push(Message::Tick(at(100)))?;
    harness.push(Message::Idle)?;
    harness.push(Message::Barrier(Epoch(1)))?;
    harness.push(Message::End)?;
    let early: Vec<String> = harness.take_messages().iter().map(|message| format!("{message:?}")).collect();
    assert_eq!(early, ["Tick(1970-01-01T00:01:40Z)", "Barrier(Epoch(1))"]);
    assert_eq!(harness.work()?, Progress::Pending);
    assert_eq!(harness.work()?, Progress::Done);
    let rest: Vec<String> = harness.take_messages().iter().map(|message| format!("{message:?}")).collect();
    assert_eq!(rest, ["Watermark(1970-01-01T00:00:01Z)", "Idle", "End"]);
    Ok(())
}

#[test]
fn idle_that_waited_is_taken_back_by_a_row() -> Result<()> {
    let mut harness = Harness::of(|_| Ok(Slow(0)))?;
    harness.push(Message::Watermark(at(1)))?;
    harness.push(Message::Idle)?;
    harness.rows([1])?;
    assert!(!harness.take_messages().iter().any(|message| matches!(message, Message::Idle)));
    Ok(())
}
