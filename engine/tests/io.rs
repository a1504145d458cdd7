//! Sources and sinks on a real file system: every message that a changed input or output brings, and that what was
//! committed is read and written once.

#![cfg(test)]

#[path = "io/changed_inputs.rs"]
mod changed_inputs;
#[path = "io/inputs.rs"]
mod inputs;
#[path = "io/made_inputs.rs"]
mod made_inputs;
#[path = "io/outputs.rs"]
mod outputs;

use std::fs;
use std::path::{Path, PathBuf};

use headwater::source::{Partition, Poll, Polled, Source};
use headwater::{Error, Kind};

/// A directory of a test's own.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn append(&self, name: &str, content: &str) {
        let mut old = self.read(name);
        old.push_str(content);
        // In place: the file stays the same one.
        let file = fs::OpenOptions::new().write(true).open(self.path(name)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, old.as_bytes(), 0).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// An error's message without the folder's own path.
    fn says(&self, error: &Error) -> String {
        let folder = format!("{}/", self.0.path().display());
        error.to_string().replace(&folder, "")
    }

    /// Asserts that an error asks to mend the job, with this message.
    #[track_caller]
    fn assert_config<T>(&self, result: headwater::Result<T>, message: &str) {
        let error = result.err().expect("this is refused");
        assert_eq!((error.kind(), self.says(&error).as_str()), (Kind::Config, message));
    }
}

/// Reads at most `rows` records more.
fn poll<T>(partition: &mut dyn Partition<T>, rows: usize) -> headwater::Result<(Vec<T>, Poll)> {
    let mut polled = Polled::default();
    let poll = partition.poll(&mut polled, rows)?;
    assert_eq!(polled.bad, []);
    Ok((polled.records, poll))
}

/// Reads to the end.
fn rest<T>(partition: &mut dyn Partition<T>) -> headwater::Result<Vec<T>> {
    let mut records = Vec::new();
    loop {
        let (more, found) = poll(partition, 7)?;
        records.extend(more);
        match found {
            Poll::Records => {}
            Poll::End => return Ok(records),
            Poll::Wait(_) | Poll::Quiet => panic!("this input is all there"),
        }
    }
}

/// A source of lines.
fn lines(pattern: impl AsRef<Path>) -> impl Source<String> {
    let pattern = pattern.as_ref().to_str().unwrap();
    headwater::source::FileSource::new(pattern, headwater::format::Lines)
}
