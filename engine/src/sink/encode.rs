//! The writer of sinks that take bytes: a line per record.

use std::marker::PhantomData;

use super::{Chunk, SinkWriter};
use crate::format::Encode;
use crate::{Error, Result};

/// Encodes records as lines.
pub(super) struct LineWriter<T, F> {
    format: F,
    records: PhantomData<fn(T)>,
}

impl<T, F> LineWriter<T, F> {
    pub fn new(format: F) -> Self {
        Self { format, records: PhantomData }
    }
}

impl<T, F: Encode<T>> SinkWriter<T> for LineWriter<T, F> {
    fn write(&mut self, records: Vec<T>, chunk: &mut Chunk) -> Result<()> {
        for record in records {
            let start = chunk.bytes.len();
            let encoded = self.format.encode(&record, &mut chunk.bytes).and_then(|()| one_line(&chunk.bytes[start..]));
            if let Err(error) = encoded {
                chunk.bytes.truncate(start);
                return Err(error);
            }
            chunk.bytes.push(b'\n');
            chunk.records += 1;
        }
        Ok(())
    }
}

/// A line that holds a line's end would be read as two.
fn one_line(line: &[u8]) -> Result<()> {
    match memchr::memchr(b'\n', line) {
        None => Ok(()),
        Some(_) => Err(Error::record(format!("a record's line has a line's end in it: {}", line.escape_ascii()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use crate::format::Lines;

    #[test]
    fn a_record_that_is_not_one_line_leaves_nothing_behind() {
        let mut chunk = Chunk::default();
        let error = LineWriter::new(Lines).write(vec!["one", "t\nwo", "three"], &mut chunk).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Record, r"a record's line has a line's end in it: t\nwo"));
        assert_eq!((chunk.records, chunk.bytes.as_slice()), (1, b"one\n".as_slice()));
    }
}
