//! State directories that are old, damaged, of another job or of another kind; and none.

use std::fs;

use headwater::prelude::*;

use super::broker::Broker;
use super::commits::{Counting, Instance};
use super::operator::{copy_directory, tables};

#[test]
fn the_directory_of_another_job_is_refused() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "other-id");
    let file = counting.state("a").join("changelog.json");
    let mut checkpoint: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    checkpoint["job"] = "0123456789abcdef".into();
    fs::write(&file, serde_json::to_vec(&checkpoint).unwrap()).unwrap();
    let error = counting.refused("a");
    assert!(error.kind() == Kind::Config && error.to_string().contains("another job with the same name"), "{error}");
    // One of another name is refused by its manifest.
    let other = Counting::begun(broker, "other-name");
    copy_directory(&other.state("a"), &counting.state("a"));
    let error = counting.refused("a");
    assert!(error.kind() == Kind::Config && error.to_string().contains("job: was other-name"), "{error}");
    counting.run("b", 1100);
    counting.assert_exact(1100);
}

#[test]
fn tables_that_are_older_than_their_checkpoint_are_made_anew() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "older");
    copy_directory(&counting.state("a").join("db"), &counting.directory.path().join("db"));
    counting.run("a", 1100);
    copy_directory(&counting.directory.path().join("db"), &counting.state("a").join("db"));
    broker.write(counting.input_name(), 0, 1100..1200);
    let said = counting.run("a", 1200);
    assert!(said.contains("made anew from the changelog: they are older"), "{said}");
    counting.assert_exact(1200);
}

#[test]
fn a_whole_directory_that_is_older_reads_on() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "whole-older");
    copy_directory(&counting.state("a"), &counting.state("old"));
    counting.run("a", 1100);
    broker.write(counting.input_name(), 0, 1100..1200);
    let said = counting.run("old", 1200);
    assert!(!said.contains("made anew"), "{said}");
    counting.run("new", 1200);
    assert_eq!(tables(&counting.state("old")), tables(&counting.state("new")));
    counting.assert_exact(1200);
}

#[test]
fn a_damaged_checkpoint_makes_the_tables_anew() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "damaged");
    for (round, text) in ["", "{", "{\"epoch\": 3}"].into_iter().enumerate() {
        fs::write(counting.state("a").join("changelog.json"), text).unwrap();
        let numbers = 1100 + round as u64 * 10;
        broker.write(counting.input_name(), 0, numbers..numbers + 10);
        let said = counting.run("a", numbers + 10);
        assert!(said.contains("made anew from the changelog: how far they are is not known"), "{said}");
    }
    counting.assert_exact(1130);
}

#[test]
fn the_directory_of_a_job_that_commits_elsewhere_is_refused() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "kinds");
    let here = |options: &mut RunOptions| (options.transactions, options.leave) = (None, true);
    let files = |state: &str, input: Input| {
        let mut options = counting.options(&counting.state(state));
        here(&mut options);
        let (name, output) = (counting.name.clone(), counting.directory.path().join("counts.jsonl"));
        Instance::of(options, move || {
            let job = super::commits::counting(&name, input, "");
            job.bind_output("counts", Output::File(output));
            job
        })
    };
    let rows = || Input::of(Rows::new(vec![1_u64]));
    let error = files("a", rows()).join().unwrap_err();
    assert!(error.to_string().contains("of a job whose outputs are in Kafka"), "{error}");
    files("files", rows()).join().unwrap();
    let error = counting.refused("files");
    assert!(error.kind() == Kind::Config && error.to_string().contains("whose outputs are files"), "{error}");
    assert!(error.to_string().contains("--fresh"), "{error}");
    counting.run("a", 1100);
    counting.assert_exact(1100);
}

#[test]
fn starting_over_is_exact_and_old_directories_stay_old() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "fresh");
    copy_directory(&counting.state("a"), &counting.state("old"));
    counting.start_over("a", 1100);
    broker.write(counting.input_name(), 0, 1100..1200);
    // An empty one, and one of before.
    counting.run("empty", 1200);
    broker.write(counting.input_name(), 0, 1200..1300);
    let said = counting.run("old", 1300);
    assert!(said.contains("made anew from the changelog"), "{said}");
    let counted = counting.counted();
    assert_eq!(counted.len(), 1000 + 1300);
    // The second beginning: each number once, and each count.
    let mut counts: Vec<(u64, u64)> = counted[..].iter().map(|(key, _, count)| (*key, *count)).collect();
    counts.sort_unstable();
    counts.dedup();
    assert_eq!(counts.len(), 1300);
}

#[test]
fn a_job_without_a_directory_has_its_state_in_the_changelog() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "nowhere", 1);
    let nowhere = |options: &mut RunOptions| (options.state, options.leave) = (None, true);
    for part in 0..3 {
        broker.write(counting.input_name(), 0, part * 1000..(part + 1) * 1000);
        counting.start_with("", nowhere).wait_for((part + 1) * 1000).stop().unwrap();
    }
    // Beside one that has, and after it.
    broker.write(counting.input_name(), 0, 3000..3500);
    let first = counting.start_with("a", |options| options.leave = true).wait_for(3500);
    let second = counting.start_with("", nowhere);
    second.said.wait_for("standing by: another instance");
    first.stop().unwrap();
    broker.write(counting.input_name(), 0, 3500..4000);
    second.wait_for(4000).stop().unwrap();
    counting.assert_exact(4000);
}
