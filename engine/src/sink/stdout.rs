//! Standard output, after each commit.

use std::io::{self, Write};
use std::marker::PhantomData;

use super::encode::LineWriter;
use super::{Chunk, Sink, SinkCommitter, SinkWriter};
use crate::format::Encode;
use crate::{Error, Result};

/// Writes records to standard output, a line each, when their epoch has committed.
///
/// It is best effort: nothing is printed that is not committed, but what was committed just before a crash may not
/// have been printed. What must be whole goes to a file.
#[derive(Debug)]
pub struct StdoutSink<T, F> {
    format: F,
    records: PhantomData<fn(T)>,
}

impl<T, F: Encode<T>> StdoutSink<T, F> {
    /// Records in this format.
    pub fn new(format: F) -> Self {
        Self { format, records: PhantomData }
    }
}

impl<T: 'static, F: Encode<T>> Sink<T> for StdoutSink<T, F> {
    fn describe(&self) -> String {
        "standard output".to_owned()
    }

    fn writer(&self) -> Box<dyn SinkWriter<T>> {
        Box::new(LineWriter::new(self.format.clone()))
    }

    fn open(&self, committed: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        super::nothing_committed("standard output", committed)?;
        Ok(Box::new(AfterCommit { out: io::stdout(), pending: Vec::new() }))
    }
}

/// Holds an epoch's lines back until it has committed.
struct AfterCommit<W> {
    out: W,
    pending: Vec<u8>,
}

impl<W: Write + Send> SinkCommitter for AfterCommit<W> {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        self.pending.extend_from_slice(&chunk.bytes);
        Ok(())
    }

    fn prepare(&mut self) -> Result<String> {
        Ok(String::new())
    }

    fn committed(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let printed = self.out.write_all(&self.pending).and_then(|()| self.out.flush());
        self.pending.clear();
        printed.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Error::config("standard output was closed by what reads it"),
            _ => Error::config("standard output cannot be written").caused_by(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn chunk(text: &str) -> Chunk {
        Chunk { records: 1, bytes: text.into(), typed: None }
    }

    #[test]
    fn lines_are_printed_once_and_after_the_commit() {
        let mut sink = AfterCommit { out: Vec::new(), pending: Vec::new() };
        sink.append(chunk("one\n")).unwrap();
        sink.prepare().unwrap();
        assert!(sink.out.is_empty());
        sink.committed().unwrap();
        sink.committed().unwrap();
        assert_eq!(sink.out, b"one\n");
    }

    #[test]
    fn a_closed_reader_is_named() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut sink = AfterCommit { out: writer, pending: Vec::new() };
        sink.append(chunk("one\n")).unwrap();
        let error = sink.committed().unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Config, "standard output was closed by what reads it"));
    }
}
