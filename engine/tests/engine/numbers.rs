//! A job that reads numbers, and after it was mended also words: for what becomes of its dead letters.

use headwater::prelude::*;

/// A number; also the word `five`, for a job that is mended.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Number {
    Digits(u64),
    Word(String),
}

/// Reads `numbers` into `out`, and what it cannot read into `dead`.
pub fn job(name: &str, mended: bool) -> Job {
    let job = Job::new(name);
    let letters = || BadRecords::DeadLetter(Topic::json("dead"));
    if mended {
        let number = |number| match number {
            Number::Digits(digits) => digits,
            Number::Word(word) => word.len() as u64 + 1,
        };
        job.source(Topic::json::<Number>("numbers")).on_bad_record(letters()).map(number).sink(Topic::json("out"));
    } else {
        job.source(Topic::json::<u64>("numbers")).on_bad_record(letters()).sink(Topic::json("out"));
    }
    job
}
