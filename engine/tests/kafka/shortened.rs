//! A changelog that the job shortens, and what somebody else has cut of it.

use headwater::prelude::*;

use super::broker::Broker;
use super::commits::Counting;
use super::operator::{copy_directory, tables};
use super::running::wait_until;

const LOG_BYTES: u64 = 64 << 10;

#[test]
fn a_changelog_stays_short_and_restores_everything() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "shortened", 2);
    let short = |options: &mut RunOptions| (options.leave, options.changelog_bytes_min) = (true, LOG_BYTES);
    let state = counting.state_topic();
    let mut numbers = 0;
    let mut instance = counting.start_with("a", short);
    let more = |from: u64| broker.write(counting.input_name(), 0, from..from + 200);
    let begins = || broker.watermarks(&state);
    let mut rounds = 0;
    while rounds == 0 || begins().iter().any(|(low, _)| *low == 0) {
        rounds += 1;
        assert!(rounds < 500, "{:?}", begins());
        more(numbers);
        numbers += 200;
        instance = instance.wait_for(numbers);
    }
    // It goes on being shortened.
    let first: i64 = begins().iter().map(|(low, _)| low).sum();
    for _ in 0..2 * rounds {
        more(numbers);
        numbers += 200;
        instance = instance.wait_for(numbers);
    }
    instance.stop().unwrap();
    assert!(begins().iter().map(|(low, _)| low).sum::<i64>() > first, "shortened once more");
    let kept: usize = broker.read(&state, 1).iter().map(|record| record.value.as_ref().unwrap().len()).sum();
    assert!(kept as u64 <= 4 * LOG_BYTES, "{kept} bytes");

    counting.start_with("b", short).wait_for(numbers).stop().unwrap();
    let (running, rebuilt) = (tables(&counting.state("a")), tables(&counting.state("b")));
    assert!(!running.is_empty() && running == rebuilt, "{} rows, rebuilt {}", running.len(), rebuilt.len());
    more(numbers);
    counting.start_with("c", short).wait_for(numbers + 200).stop().unwrap();
    counting.assert_exact(numbers + 200);
}

#[test]
fn a_directory_that_ends_before_the_changelog_begins_is_made_anew() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "behind", 1);
    let state = counting.state_topic();
    broker.write(counting.input_name(), 0, 0..1000);
    counting.run("old", 1000);
    let short = |options: &mut RunOptions| (options.leave, options.changelog_bytes_min) = (true, LOG_BYTES);
    let mut instance = counting.start_with("a", short);
    let before: Vec<i64> = broker.watermarks(&state).iter().map(|(_, high)| *high).collect();
    let mut numbers = 1000;
    while broker.watermarks(&state).iter().zip(&before).any(|((low, _), before)| low < before) {
        broker.write(counting.input_name(), 0, numbers..numbers + 200);
        numbers += 200;
        assert!(numbers < 200_000);
        instance = instance.wait_for(numbers);
    }
    instance.stop().unwrap();
    broker.write(counting.input_name(), 0, numbers..numbers + 50);
    let said = counting.run("old", numbers + 50);
    assert!(said.contains("made anew from the changelog: the changelog begins at offset"), "{said}");
    counting.assert_exact(numbers + 50);
}

/// Nothing but the tables that a rotation begins with may be on disk when it is complete.
#[test]
fn tables_that_are_as_old_as_the_changelog_are_kept() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "as-old", 1);
    let short = |options: &mut RunOptions| (options.leave, options.changelog_bytes_min) = (true, LOG_BYTES);
    let mut instance = counting.start_with("a", short);
    let mut numbers = 0;
    while numbers == 0 || broker.watermarks(&counting.state_topic()).iter().any(|(low, _)| *low == 0) {
        broker.write(counting.input_name(), 0, numbers..numbers + 200);
        numbers += 200;
        assert!(numbers < 200_000);
        instance = instance.wait_for(numbers);
    }
    // It goes back to its last commit.
    let id = std::fs::read_to_string(counting.state("a").join("instance")).unwrap();
    drop(broker.transactional(&format!("{}/{id}", counting.name)));
    broker.write(counting.input_name(), 0, numbers..numbers + 200);
    let instance = instance.wait_for(numbers + 200);
    let said = instance.said.text();
    assert!(said.contains("going back to the last commit") && !said.contains("made anew"), "{said}");
    instance.stop().unwrap();
    counting.assert_exact(numbers + 200);
}

#[test]
fn a_changelog_that_was_cut_to_its_end_is_refused() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "cut", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    counting.run("a", 1000);
    let before = tables(&counting.state("a"));
    for (partition, (_, high)) in broker.watermarks(&counting.state_topic()).into_iter().enumerate() {
        broker.delete_records(&counting.state_topic(), partition as i32, high);
    }
    let error = counting.refused("a");
    assert!(error.kind() == Kind::Corrupt && error.to_string().contains("deleted commits; bring"), "{error}");
    assert_eq!(tables(&counting.state("a")), before, "the last copy is kept");
    let error = counting.refused("b");
    assert!(error.kind() == Kind::Corrupt && error.to_string().contains("ends with nothing"), "{error}");
    assert!(error.to_string().contains("--fresh"), "{error}");
    counting.assert_exact(1000);
    counting.start_over("a", 1000);
    counting.assert_times(1000, 2);
}

#[test]
fn a_changelog_whose_beginning_was_cut_restores_nothing() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "beginning", 1);
    for part in 0..3 {
        broker.write(counting.input_name(), 0, part * 1000..(part + 1) * 1000);
        counting.run("a", (part + 1) * 1000);
    }
    let state = counting.state_topic();
    copy_directory(&counting.state("a"), &counting.state("copy"));
    for (partition, (low, high)) in broker.watermarks(&state).into_iter().enumerate() {
        broker.delete_records(&state, partition as i32, low + (high - low) / 2);
    }
    let error = counting.refused("b");
    assert!(error.kind() == Kind::Corrupt && error.to_string().contains("begins with commit"), "{error}");
    assert!(error.to_string().contains("somebody else has deleted records; bring"), "{error}");
    // One that is up to date needs no beginning.
    broker.write(counting.input_name(), 0, 3000..4000);
    counting.run("a", 4000);
    counting.assert_exact(4000);
}

#[test]
fn an_idle_job_shortens_its_changelog_as_well() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "idle-short", 1);
    broker.write(counting.input_name(), 0, 0..100);
    let instance = counting.start_with("a", |options| {
        options.leave = true;
        options.changelog_bytes_min = 1 << 10;
        options.recommit_interval = Duration::from_millis(50);
    });
    let instance = instance.wait_for(100);
    let begins = || broker.watermarks(&counting.state_topic());
    assert!(wait_until(|| begins().iter().all(|(low, _)| *low > 0)), "{:?}", begins());
    instance.stop().unwrap();
    counting.run("b", 100);
    assert_eq!(tables(&counting.state("a")), tables(&counting.state("b")));
    counting.assert_exact(100);
}
