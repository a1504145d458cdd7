//! Bad records are data with a place to go.

use std::fs;

use headwater::prelude::*;

const INPUT: &str = "1\n2\nthree\n4\n\"five\"\n";

fn job(policy: Option<BadRecords>) -> (Job, tempfile::TempDir, Captured<u64>) {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("numbers.jsonl");
    fs::write(&input, INPUT).unwrap();
    let job = Job::new("numbers");
    let source = job.source(Topic::json::<u64>("numbers"));
    match policy {
        Some(policy) => source.on_bad_record(policy).sink(Topic::json("out")),
        None => source.sink(Topic::json("out")),
    }
    job.bind_input("numbers", Input::Files(input.to_str().unwrap().to_owned()));
    let out = Captured::new();
    job.bind_output("out", Output::of(out.clone()));
    (job, directory, out)
}

fn options() -> RunOptions {
    RunOptions { workers: 2, ..RunOptions::default() }
}

#[test]
fn by_default_the_job_stops_and_names_the_record() {
    let (job, _directory, out) = job(None);
    let error = job.run(&options(), &Control::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Record);
    let text = error.to_string();
    assert!(text.starts_with("decode numbers/0 at "), "{text}");
    assert!(text.contains("numbers.jsonl line 3 (byte 4): expected ident at column 2;"), "{text}");
    assert!(text.contains("the record is `three`"), "{text}");
    assert!(text.contains(".on_bad_record(BadRecords::Skip)"), "{text}");
    assert!(out.records().is_empty(), "nothing of its epoch is committed");
}

#[test]
fn skipped_ones_are_counted() {
    let (job, _directory, out) = job(Some(BadRecords::Skip));
    let summary = job.run(&options(), &Control::default()).unwrap();
    assert_eq!(out.records(), [1, 2, 4]);
    assert_eq!((summary.committed.bad, summary.committed.records_in), (2, 5));
}

#[test]
fn dead_letters_say_where_they_came_from_and_why() {
    let (job, _directory, out) = job(Some(BadRecords::DeadLetter(Topic::json("dead-letters"))));
    let dead = Captured::<DeadLetter>::new();
    job.bind_output("dead-letters", Output::of(dead.clone()));
    job.run(&options(), &Control::default()).unwrap();
    assert_eq!(out.records(), [1, 2, 4]);
    let dead = dead.take();
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].partition, "numbers/0");
    assert!(dead[0].place.ends_with("numbers.jsonl line 3 (byte 4)"), "{}", dead[0].place);
    assert_eq!(dead[0].payload.as_deref(), Some("three"));
    assert!(dead[1].error.contains("invalid type: string \"five\", expected u64"), "{}", dead[1].error);
}
