//! Everything that can be wrong in a pipeline is reported before anything runs.

use headwater::prelude::*;

fn message(job: &Job) -> String {
    let error = job.run(&RunOptions::default(), &Control::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    error.to_string()
}

#[test]
fn a_stream_that_goes_nowhere() {
    let job = Job::new("nowhere");
    drop(job.source(Topic::json::<u64>("numbers")).map(|number| number + 1));
    assert_eq!(message(&job), "the stream after `map` (numbers/map) goes nowhere: end it with `.sink(…)`");
}

#[test]
fn a_job_without_a_pipeline() {
    assert_eq!(
        message(&Job::new("empty")),
        "the job has no source: begin with `job.source(Topic::json::<T>(\"name\"))`"
    );
}

#[test]
fn a_name_that_cannot_be_a_directory() {
    let job = Job::new("a/b");
    job.source(Topic::json::<u64>("numbers")).sink(Topic::json("out"));
    assert_eq!(message(&job), "the job's name `a/b` must be made of letters, digits, `-`, `_` and `.`");
}

#[test]
fn a_topic_that_is_bound_to_nothing() {
    let job = Job::new("unbound");
    job.source(Topic::json::<u64>("numbers")).sink(Topic::json("out"));
    assert_eq!(
        message(&job),
        "topic `numbers` is bound to nothing: give it `--input numbers=FILE`, or `--brokers HOST:PORT`"
    );
}

#[test]
fn a_binding_for_a_topic_that_is_not_there() {
    let job = Job::new("typo");
    job.source(Topic::json::<u64>("numbers")).sink(Topic::json("out"));
    job.bind_input("numbrs", Input::Files("x.jsonl".into()));
    assert_eq!(message(&job), "the job has no source called `numbrs`; it has: numbers");
}

#[test]
fn one_topic_written_twice() {
    let job = Job::new("twice");
    let (even, odd) = job.source(Topic::json::<u64>("numbers")).branch(|number: &u64| number.is_multiple_of(2));
    even.sink(Topic::json("out"));
    odd.sink(Topic::json("out"));
    assert_eq!(message(&job), "topic `out` is written by two sinks: unite the streams with `.union(…)` first");
}

#[test]
fn a_bad_record_policy_in_the_wrong_place() {
    let job = Job::new("late-policy");
    job.source(Topic::json::<u64>("numbers"))
        .map(|number| number)
        .on_bad_record(BadRecords::Skip)
        .sink(Topic::json("out"));
    assert_eq!(message(&job), "`.on_bad_record(…)` must follow `source(…)` at once: only there records are decoded");
}

#[test]
fn all_mistakes_are_listed_at_once() {
    let job = Job::new("a b");
    drop(job.source(Topic::json::<u64>("numbers")));
    let text = message(&job);
    assert!(text.starts_with("the pipeline has 2 mistakes:\n  - "), "{text}");
}

fn counted(job: &Job, topic: &str, id: Option<&str>) {
    let windows = job
        .source(Topic::json::<u64>(topic))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| number % 3)
        .window(Tumbling::minutes(1));
    let windows = match id {
        Some(id) => windows.id(id),
        None => windows,
    };
    windows.count().on_close().map(|pane| pane.value).sink(Topic::json(format!("{topic}-counts")));
}

#[test]
fn two_operators_with_one_id() {
    let job = Job::new("twins");
    counted(&job, "a", Some("per-minute"));
    counted(&job, "b", Some("per-minute"));
    assert_eq!(
        message(&job),
        "two operators with state have the id `per-minute` (a window and a window): give each its own with `.id(\"…\")`"
    );
}

#[test]
fn an_operator_without_an_id() {
    let job = Job::new("nameless");
    counted(&job, "a", Some(""));
    assert_eq!(message(&job), "the id of a window is empty: give it one with `.id(\"…\")`");
}

#[test]
fn a_window_without_event_time() {
    let job = Job::new("timeless");
    job.source(Topic::json::<u64>("numbers"))
        .key_by(|number| number % 3)
        .window(Tumbling::minutes(1))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("counts"));
    let text = message(&job);
    assert!(text.starts_with("the window `numbers` has no event time: say when records happened"), "{text}");
}

#[test]
fn windows_of_no_length() {
    let job = Job::new("empty-windows");
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| number % 3)
        .window(Tumbling::seconds(0))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("counts"));
    assert!(message(&job).starts_with("the window `numbers`: "), "{}", message(&job));
}

#[test]
fn event_time_given_twice() {
    let job = Job::new("timed-twice");
    let time = |second: &i64| Timestamp::from_seconds(*second);
    let timed = job.source(Topic::json::<i64>("one")).event_time(time, Lateness::NONE);
    timed.union(job.source(Topic::json("other"))).event_time(time, Lateness::NONE).sink(Topic::json("out"));
    assert_eq!(
        message(&job),
        "`one+other/event_time` gives event time to records that have it: keep one `.event_time(…)`"
    );
}
