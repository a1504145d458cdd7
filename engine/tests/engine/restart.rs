//! Runs that follow each other over the same state directory.

use std::fs;
use std::path::Path;

use headwater::prelude::*;

use crate::flaky::{Flaky, Row, Way};

fn job(directory: &Path, input: &str) -> Job {
    let job = Job::new("copy");
    job.source(Topic::json::<u64>("numbers")).map(|number| number * 2).sink(Topic::json("out"));
    job.bind_input("numbers", Input::Files(directory.join(input).to_str().unwrap().to_owned()));
    job.bind_output("out", Output::File(directory.join("out.jsonl")));
    job
}

fn options(directory: &Path) -> RunOptions {
    RunOptions { state: Some(directory.join("state")), workers: 2, ..RunOptions::default() }
}

fn run(directory: &Path) -> Result<Summary> {
    job(directory, "in.jsonl").run(&options(directory), &Control::default())
}

#[test]
fn an_ended_job_does_nothing_the_second_time() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in.jsonl"), "1\n2\n").unwrap();
    assert_eq!(run(directory).unwrap().records_in, 2);
    let again = run(directory).unwrap();
    assert_eq!((again.records_in, again.epochs, again.committed.records_in), (0, 0, 2));
    assert_eq!(fs::read_to_string(directory.join("out.jsonl")).unwrap(), "2\n4\n");
}

#[test]
fn an_input_that_grew_after_the_end_stops_the_job() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in.jsonl"), "1\n2\n").unwrap();
    run(directory).unwrap();
    fs::write(directory.join("in.jsonl"), "1\n2\n3\n").unwrap();
    let error = run(directory).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("--fresh"), "{error}");
}

/// It would read what it writes, or write over what it reads.
#[test]
fn an_output_among_the_inputs_is_refused_before_anything_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in.jsonl"), "1\n2\n").unwrap();
    std::os::unix::fs::symlink(directory.join("in.jsonl"), directory.join("link")).unwrap();
    // Its name looks like a pattern, which would not name it.
    fs::write(directory.join("a[1].jsonl"), "1\n").unwrap();
    let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    for (input, output) in [
        ("in.jsonl", "in.jsonl"),
        ("in.jsonl", "./in.jsonl"),
        ("*.jsonl", "out.jsonl"),
        ("in.jsonl", "link"),
        ("a[1].jsonl", "a[1].jsonl"),
    ] {
        let job = Job::new("copy");
        job.source(Topic::json::<u64>("numbers")).sink(Topic::json("out"));
        job.bind_input("numbers", Input::Files(at(input)));
        job.bind_output("out", Output::File(at(output).into()));
        let error = job.run(&RunOptions { fresh: true, ..options(directory) }, &Control::default()).unwrap_err();
        assert_eq!(error.kind(), Kind::Config);
        assert!(error.message().contains("the job would read what it writes"), "{error}");
    }
    assert_eq!(fs::read_to_string(directory.join("in.jsonl")).unwrap(), "1\n2\n");
    assert!(!directory.join("state").exists());
}

#[test]
fn two_outputs_are_not_one_file() {
    let job = Job::new("copy");
    let numbers = job.source(Topic::json::<u64>("numbers"));
    numbers.clone().sink(Topic::json("a"));
    numbers.sink(Topic::json("b"));
    job.bind_input("numbers", Input::of(Rows::new(vec![1_u64])));
    job.bind_output("a", Output::File("out.jsonl".into()));
    job.bind_output("b", Output::File("./out.jsonl".into()));
    let error = job.run(&RunOptions::default(), &Control::default()).unwrap_err();
    assert!(error.message().contains("outputs a and b are one file"), "{error}");
}

#[test]
fn fresh_takes_a_directory_as_a_shell_completes_it() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in.jsonl"), "1\n").unwrap();
    run(directory).unwrap();
    let state = |path: &str| RunOptions { state: Some(path.into()), fresh: true, ..RunOptions::default() };
    let slash = format!("{}/", directory.join("state").display());
    job(directory, "in.jsonl").run(&state(&slash), &Control::default()).unwrap();
    assert!(directory.join("state.old-1").exists());
    let error = job(directory, "in.jsonl").run(&state(&format!("{slash}..")), &Control::default());
    // The directory above has no state, so there is nothing to move; it becomes one.
    assert!(error.is_ok(), "{error:?}");
    let error = job(directory, "in.jsonl").run(&state(&format!("{slash}..")), &Control::default()).unwrap_err();
    assert!(error.message().contains("call the state directory by its name"), "{error}");
}

/// Records that are read again after a failure are counted once.
#[test]
fn what_is_read_twice_is_counted_once() {
    let rows: Vec<Row> = (0..1_000).map(|n| (n as u8, 0, n)).collect();
    let way = Way { batch_rows: 10, workers: 2, memory_bytes: 1 << 30, commit_ms: 1, fail_at: vec![20, 50, 75] };
    let job = Job::new("counted");
    job.source(Topic::json::<Row>("rows")).sink(Topic::json("out"));
    job.bind_input("rows", Input::of(Flaky::new(&rows, &way)));
    job.bind_output("out", Output::of(Captured::<Row>::new()));
    let control = Control::default();
    let summary = job.run(&way.options(), &control).unwrap();
    assert_eq!((summary.restarts, summary.records_in, summary.committed.records_in), (3, 1_000, 1_000));
}

#[test]
fn fresh_moves_state_and_output_aside() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in.jsonl"), "1\n2\n").unwrap();
    run(directory).unwrap();
    fs::write(directory.join("in.jsonl"), "5\n").unwrap();
    let fresh = RunOptions { fresh: true, ..options(directory) };
    let summary = job(directory, "in.jsonl").run(&fresh, &Control::default()).unwrap();
    assert_eq!(summary.records_in, 1);
    assert_eq!(fs::read_to_string(directory.join("out.jsonl")).unwrap(), "10\n");
    assert_eq!(fs::read_to_string(directory.join("out.jsonl.old-1")).unwrap(), "2\n4\n");
    assert!(directory.join("state.old-1").is_dir());
}

#[test]
fn state_of_another_job_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in.jsonl"), "1\n").unwrap();
    run(directory).unwrap();
    let other = Job::new("other");
    other.source(Topic::json::<u64>("numbers")).sink(Topic::json("out"));
    other.bind_input("numbers", Input::Files(directory.join("in.jsonl").to_str().unwrap().to_owned()));
    other.bind_output("out", Output::File(directory.join("out2.jsonl")));
    let error = other.run(&options(directory), &Control::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("copy") && error.to_string().contains("other"), "{error}");
}

#[test]
fn two_processes_cannot_share_a_state_directory() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let job = Job::new("copy");
    job.source(Topic::json::<u64>("numbers")).map(|number| number * 2).sink(Topic::json("out"));
    let (feed, source) = channel::<u64>();
    job.bind_input("numbers", Input::of(source));
    let out = Captured::<u64>::new();
    job.bind_output("out", Output::of(out.clone()));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            feed.send([1]);
            assert!(out.wait_for(1, Duration::from_secs(20)));
            fs::write(directory.join("in.jsonl"), "1\n").unwrap();
            let error = run(directory).unwrap_err();
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().contains("another process is running this job"), "{error}");
            feed.close();
        });
        job.run(&options(directory), &Control::default()).unwrap();
    });
}

#[test]
fn a_topic_bound_to_another_kind_of_input_is_a_mistake_not_damage() {
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions { state: Some(directory.path().join("state")), ..RunOptions::default() };
    let run = |input: Input| {
        let job = Job::new("rebound");
        job.source(Topic::json::<u64>("numbers")).sink(Topic::json("out"));
        job.bind_input("numbers", input);
        job.bind_output("out", Output::of(Captured::<u64>::new()));
        job.run(&options, &Control::default())
    };
    run(Input::of(Rows::new(vec![1_u64, 2]))).unwrap();
    let error = run(Input::of(Generator::new(1, |number, _| number).count(3))).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().contains("bind the topic as it was bound, or start over with --fresh"), "{error}");
}

/// Counts per minute under `id`, with windows of `minutes`.
fn counting(directory: &Path, id: &str, minutes: u64) -> Job {
    let job = Job::new("counting");
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| number % 3)
        .window(Tumbling::minutes(minutes))
        .id(id)
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("out"));
    job.bind_input("numbers", Input::Files(directory.join("in.jsonl").to_str().unwrap().to_owned()));
    job.bind_output("out", Output::File(directory.join("out.jsonl")));
    job
}

#[test]
fn a_changed_pipeline_is_refused_with_the_difference() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fs::write(directory.join("in.jsonl"), "1\n2\n").unwrap();
    let run = |job: Job, options: RunOptions| job.run(&options, &Control::default());
    run(counting(directory, "per-window", 1), options(directory)).unwrap();

    let error = run(counting(directory, "per-window", 5), options(directory)).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let text = error.to_string();
    assert!(
        text.contains("1 minute") && text.contains("5 minutes") || text.contains("1 min") && text.contains("5 min"),
        "{text}"
    );

    let error = run(counting(directory, "renamed", 1), options(directory)).unwrap_err();
    assert!(error.to_string().contains("--drop per-window/panes"), "{error}");

    let dropping = RunOptions { drop_tables: vec!["per-window/panes".into()], ..options(directory) };
    let summary = run(counting(directory, "renamed", 1), dropping).unwrap();
    assert_eq!(summary.records_in, 0, "positions stay: only the table goes");
}

#[test]
fn a_job_that_fails_says_why_however_many_workers_there_are() {
    let rows: Vec<Row> = (0..40).map(|second| (second as u8 % 8, 1, second)).collect();
    for run in 0..200 {
        let way = Way { batch_rows: 1, workers: 4, memory_bytes: 1 << 20, commit_ms: 0, fail_at: vec![run % 37] };
        let job = Job::new("failing");
        job.source(Topic::json::<Row>("rows"))
            .event_time(|row| Timestamp::from_seconds(row.2), Lateness::seconds(1))
            .key_by(|row| row.0)
            .window(Tumbling::seconds(1))
            .count()
            .on_update()
            .map(|pane| pane.value)
            .sink(Topic::json("counts"));
        job.bind_input("rows", Input::of(Flaky::new(&rows, &way)));
        job.bind_output("counts", Output::of(Captured::<u64>::new()));
        let error = job.run(&RunOptions { restarts_max: 0, ..way.options() }, &Control::default()).unwrap_err();
        assert!(format!("{error:?}").contains("the test pulled the plug"), "run {run}: {error:?}");
    }
}
