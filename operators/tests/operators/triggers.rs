//! When results leave.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::harness::{Harness, HarnessOptions};
use headwater_operators::{
    Chain, Count, Counter, EarlyEvery, KeyByRef, OnUpdate, Once, Pane, Result, Timestamp, Trigger, Tumbling,
    WindowAggregate,
};
use headwater_state::Text;

type Out = Vec<Pane<Text, u64>>;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// Counts of words per ten seconds.
fn words(trigger: impl Trigger<u64>, batch_rows: usize) -> Result<Harness<Vec<Text>, Out>> {
    let definition = WindowAggregate {
        id: "words".to_owned(),
        keying: Arc::new(KeyByRef::new(|word: &Text| word)),
        windows: Arc::new(Tumbling::seconds(10)),
        aggregate: Arc::new(Count),
        trigger: Arc::new(trigger),
        allowed_lateness: Duration::ZERO,
    };
    let options = HarnessOptions { batch_rows, ..HarnessOptions::default() };
    Harness::with(options, move |local, next| {
        Ok(Box::new(Chain::new(definition.open(local, None, Counter::new())?, next)))
    })
}

fn send(harness: &mut Harness<Vec<Text>, Out>, seconds: i64, words: &str) -> Result<()> {
    harness.timed(words.split(' ').map(|word| (at(seconds), Text::from(word))))
}

fn said(harness: &mut Harness<Vec<Text>, Out>) -> Vec<String> {
    let panes = harness.take().into_iter();
    panes.map(|pane| format!("{} {} {:?}", pane.key, pane.value, pane.kind)).collect()
}

#[test]
fn once_fires_after_the_very_row_however_rows_are_batched() -> Result<()> {
    for batch_rows in 1..8 {
        let mut harness = words(Once(|count: &u64| *count >= 2), batch_rows)?;
        send(&mut harness, 1, "a b a a b a c")?;
        assert_eq!(said(&mut harness), ["a 2 OnTime", "b 2 OnTime"]);
        harness.commit()?;
        harness.crash()?;
        send(&mut harness, 2, "a c b")?;
        assert_eq!(said(&mut harness), ["c 2 OnTime"], "in batches of {batch_rows}");
        harness.watermark(at(10))?;
        assert_eq!(said(&mut harness), [""; 0]);
        send(&mut harness, 11, "a a")?;
        assert_eq!(said(&mut harness), ["a 2 OnTime"], "in the next window");
    }
    Ok(())
}

#[test]
fn an_update_comes_once_per_key_and_batch() -> Result<()> {
    let mut harness = words(OnUpdate, 4)?;
    send(&mut harness, 1, "a b a a b")?;
    assert_eq!(said(&mut harness), ["a 3 Early", "b 1 Early", "b 2 Early"]);
    harness.commit()?;
    harness.crash()?;
    send(&mut harness, 2, "b")?;
    harness.watermark(at(10))?;
    assert_eq!(said(&mut harness), ["b 3 Early"]);
    Ok(())
}

#[test]
fn early_results_come_with_ticks_where_something_changed_and_at_the_close() -> Result<()> {
    let mut harness = words(EarlyEvery(Duration::from_secs(5)), 100)?;
    harness.tick(at(1_001))?;
    send(&mut harness, 1, "a b a")?;
    harness.tick(at(1_004))?;
    assert_eq!(said(&mut harness), [""; 0], "not due yet");
    harness.tick(at(1_005))?;
    let mut both = said(&mut harness);
    both.sort();
    assert_eq!(both, ["a 2 Early", "b 1 Early"]);
    send(&mut harness, 2, "b b")?;
    harness.tick(at(1_009))?;
    assert_eq!(said(&mut harness), [""; 0], "not due again yet");
    harness.tick(at(1_017))?;
    assert_eq!(said(&mut harness), ["b 3 Early"]);
    harness.tick(at(1_020))?;
    assert_eq!(said(&mut harness), [""; 0], "nothing changed");
    harness.watermark(at(10))?;
    let mut both = said(&mut harness);
    both.sort();
    assert_eq!(both, ["a 2 OnTime", "b 3 OnTime"]);
    Ok(())
}

#[test]
fn what_waits_for_an_early_result_waits_through_a_crash() -> Result<()> {
    let mut harness = words(EarlyEvery(Duration::from_secs(5)), 100)?;
    harness.tick(at(1_000))?;
    send(&mut harness, 1, "a a")?;
    harness.commit()?;
    harness.write_back()?;
    harness.crash()?;
    harness.tick(at(1_006))?;
    assert_eq!(said(&mut harness), [""; 0], "the first tick says only where the clock is");
    harness.tick(at(1_010))?;
    assert_eq!(said(&mut harness), ["a 2 Early"]);
    harness.commit()?;
    harness.crash()?;
    harness.tick(at(1_011))?;
    harness.tick(at(1_015))?;
    harness.take();
    assert_eq!(said(&mut harness), [""; 0], "it is not said twice");
    Ok(())
}

#[test]
fn many_early_results_come_in_pieces() -> Result<()> {
    let mut harness = words(EarlyEvery(Duration::from_secs(1)), 1000)?;
    harness.tick(at(1_000))?;
    harness.timed((0..5_000).map(|n| (at(1), Text::from(format!("word-{n}").as_str()))))?;
    harness.push(headwater_operators::Message::Tick(at(1_001)))?;
    let first = harness.take().len();
    assert!((1..=2048).contains(&first), "{first} at once");
    // A key that changes while the round is under way has its turn in this one or in the next.
    send(&mut harness, 2, "word-0 word-4999")?;
    harness.settle()?;
    harness.tick(at(1_002))?;
    let rest = harness.take();
    assert!((4_998..=5_004).contains(&(first + rest.len())), "{first} and {}", rest.len());
    let last = |word: &str| rest.iter().filter(|pane| &*pane.key == word).map(|pane| pane.value).next_back();
    assert_eq!((last("word-0"), last("word-4999")), (Some(2), Some(2)));
    Ok(())
}
