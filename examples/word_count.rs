//! Counts words per minute of time.
//!
//!     cargo run --example word_count
//!     cargo run --example word_count -- --input lines.jsonl --output counts.jsonl --state counts.state
//!
//! A line becomes many words (`flat_map`), words of a kind come together (`key_by`), each minute has a count of its own
//! (`window`), which is sent when the minute is over (`on_close`). It is over when a line of a later minute has come: time
//! is what the lines say, not what the clock says, so the same lines give the same counts today and tomorrow.

use headwater::prelude::*;
use serde::{Deserialize, Serialize};

/// What is read: `{"at":"2026-03-01T09:00:00Z","text":"to be or not to be"}`.
#[derive(Clone, Deserialize)]
struct Line {
    at: Timestamp,
    text: String,
}

/// What is written.
#[derive(Debug, PartialEq, Serialize)]
struct WordCount {
    minute: Timestamp,
    word: String,
    count: u64,
}

fn job() -> Job {
    let job = Job::new("word-count");
    job.source(Topic::json::<Line>("lines"))
        .event_time(|line| line.at, Lateness::NONE)
        .flat_map(|line| line.text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>())
        .key_by(|word| word.clone())
        .window(Tumbling::minutes(1))
        .count()
        .on_close()
        .map(|pane| WordCount { minute: pane.window.start, word: pane.key, count: pane.value })
        .sink(Topic::json("counts"));

    job.bind_input("lines", Input::of(Rows::new(some_lines())));
    job.bind_output("counts", Output::Stdout);
    job
}

fn some_lines() -> Vec<Line> {
    let line =
        |second: i64, text: &str| Line { at: Timestamp::from_seconds(1_772_355_600 + second), text: text.into() };
    vec![line(0, "to be or not to be"), line(30, "that is the question"), line(65, "to die to sleep")]
}

fn main() -> ExitCode {
    job().main()
}

#[test]
fn words_are_counted_by_the_minute() {
    let (job, counts) = (job(), Captured::<WordCount>::new());
    job.bind_output("counts", Output::of(counts.clone()));
    job.run(&RunOptions::default(), &Control::default()).unwrap();
    let counts = counts.take();
    let count = |word: &str| counts.iter().filter(|row| row.word == word).map(|row| row.count).collect::<Vec<_>>();
    assert_eq!((count("to"), count("question")), (vec![2, 2], vec![1]));
}
