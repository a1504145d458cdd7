//! Where in a list of files reading stands, and whether the files are still those that were read.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::lines::Lines;
use crate::source::another;
use crate::{Error, Result};

/// A place in a file, with what tells the file from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The file, by its path as given.
    pub path: String,
    /// How many bytes were read.
    pub bytes: u64,
    /// How many lines that is.
    pub lines: u64,
    /// Of the file's first bytes, at most 4 KB and none that were not read.
    pub head: u32,
    /// Of the last bytes read, at most 4 KB.
    pub tail: u32,
}

impl Mark {
    /// The beginning of a file.
    pub fn start(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }
}

/// A place in a list of files.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Position {
    /// Files before the current one, read to their ends.
    pub finished: Vec<Mark>,
    /// The file being read.
    pub current: Mark,
}

impl Position {
    /// Reads what [`Finished::position`] wrote.
    pub fn parse(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|_| another("files", text))
    }

    /// Checks that every file read before the current one is in `files`, unchanged, and that none came before them.
    pub fn check(&self, files: &[String]) -> Result<()> {
        let read = || self.finished.iter().chain([&self.current]);
        if let Some(gone) = read().find(|mark| !files.contains(&mark.path)) {
            return Err(changed(&gone.path, "was read and is not among the input files any more"));
        }
        if let Some((new, read)) = files.iter().zip(read()).find(|(file, mark)| **file != mark.path) {
            let what = format!("is new, and comes before {}, which was read", read.path);
            return Err(mismatch(new, what, "take it away or name it to come later"));
        }
        self.finished.iter().try_for_each(check_finished)
    }
}

fn check_finished(mark: &Mark) -> Result<()> {
    let grown = Lines::open(mark)?.has_grown()?;
    if !grown {
        return Ok(());
    }
    let what = format!("has grown after its end was read, at {} bytes", mark.bytes);
    Err(mismatch(&mark.path, what, "put what was appended into a file that comes later"))
}

/// The files read to their ends, kept as the text that a position begins with: a position is taken at every commit.
#[derive(Debug, Default)]
pub(super) struct Finished(String);

impl Finished {
    /// Adds a file.
    pub fn push(&mut self, mark: &Mark) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&json(mark));
    }

    /// The position at `current` in the file after these.
    pub fn position(&self, current: &Mark) -> String {
        format!(r#"{{"finished":[{}],"current":{}}}"#, self.0, json(current))
    }
}

fn json(mark: &Mark) -> String {
    serde_json::to_string(mark).expect("a mark has string keys only")
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// An input file is not what it was.
pub(super) fn changed(path: &str, what: impl fmt::Display) -> Error {
    mismatch(path, what, "restore the file as it was")
}

fn mismatch(path: &str, what: impl fmt::Display, remedy: &str) -> Error {
    Error::config(format!("input {path} {what}; {remedy}, or start over with --fresh"))
}
