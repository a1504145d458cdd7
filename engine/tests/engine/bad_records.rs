//! Bad records are data with a place to go.

use std::fs;

use headwater::LetterKind;
use headwater::prelude::*;

const INPUT: &str = "1\n2\nthree\n4\n\"five\"\n";

fn job(policy: Option<BadRecords>) -> (Job, tempfile::TempDir, Captured<u64>) {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("numbers.jsonl");
    fs::write(&input, INPUT).unwrap();
    let job = Job::new("numbers").version("1.2.3");
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
    let options = RunOptions { instance: Some("left".to_owned()), ..options() };
    job.run(&options, &Control::default()).unwrap();
    assert_eq!(out.records(), [1, 2, 4]);
    let dead = dead.take();
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[0].partition, "numbers/0");
    assert!(dead[0].place.ends_with("numbers.jsonl line 3 (byte 4)"), "{}", dead[0].place);
    assert_eq!(dead[0].payload.as_deref(), Some("three"));
    assert!(dead[1].error.contains("invalid type: string \"five\", expected u64"), "{}", dead[1].error);
    for letter in &dead {
        assert_eq!((letter.kind, letter.error_type.as_str(), letter.attempts), (LetterKind::BadRecord, "decode", 1));
        assert_eq!((letter.operator(), letter.job.as_str()), ("numbers", "numbers"));
        assert_eq!((letter.version.as_deref(), letter.instance.as_deref()), (Some("1.2.3"), Some("left")));
        assert!(letter.first_attempt.is_some() && letter.first_attempt == letter.last_attempt);
    }
    assert_ne!(dead[0].id, dead[1].id);
}

#[test]
fn a_record_that_is_late_is_a_dead_letter_of_its_window() {
    let job = Job::new("visits");
    let at = |seconds| Timestamp::from_seconds(seconds);
    job.source(Topic::json::<(String, Timestamp)>("visits"))
        .event_time(|(_, at)| *at, Lateness::seconds(1))
        .key_by_ref(|(user, _)| user)
        .window(Tumbling::minutes(1))
        .id("visits a minute")
        .late_dead_letters(Topic::json("dead-letters"))
        .count()
        .on_close()
        .map(|pane| (pane.key, pane.value))
        .sink(Topic::json("totals"));
    let visits = [("ann", 10), ("ann", 100), ("bob", 20), ("ann", 101)];
    let visits = visits.map(|(user, seconds)| (user.to_owned(), at(seconds)));
    job.bind_input("visits", Input::of(Rows::new(visits.to_vec())));
    let (dead, totals) = (Captured::<DeadLetter>::new(), Captured::<(String, u64)>::new());
    job.bind_output("dead-letters", Output::of(dead.clone()));
    job.bind_output("totals", Output::of(totals.clone()));
    job.run(&options(), &Control::default()).unwrap();
    let [letter] = &dead.take()[..] else { panic!("one letter") };
    assert_eq!(
        (letter.kind, letter.operator(), letter.job.as_str()),
        (LetterKind::LateRecord, "visits a minute", "visits")
    );
    assert_eq!(letter.payload.as_deref(), Some("[\"bob\",\"1970-01-01T00:00:20Z\"]"));
    assert_eq!(letter.place, "window 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z, time 1970-01-01T00:00:20Z");
    assert!(
        letter.error.starts_with("its window had closed: the watermark was 1970-01-01T00:01:39Z"),
        "{}",
        letter.error
    );
    assert!(letter.last_attempt.is_some() && letter.id.starts_with("visits a minute-"));
}
