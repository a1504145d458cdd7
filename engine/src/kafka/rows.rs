//! Records of a chunk: where in its bytes each value is, and what goes with it.

use std::any::Any;
use std::ops::Range;

use headwater_operators::Timestamp;

use crate::format::Header;
use crate::sink::Outgoing;
use crate::{Error, Result};

/// The records of a chunk, whose bytes have the values.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
    keys: Vec<u8>,
    headers: Vec<Header>,
}

#[derive(Debug)]
struct Row {
    /// `None` is a tombstone.
    value: Option<Range<usize>>,
    key: Option<Range<usize>>,
    headers: Range<usize>,
    timestamp: Option<Timestamp>,
}

/// A record that is being encoded.
#[derive(Debug)]
pub(super) struct Encoded {
    pub value: Range<usize>,
    pub has_key: bool,
    pub is_tombstone: bool,
    pub timestamp: Option<Timestamp>,
}

/// Where the rows ended before a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    keys: usize,
    headers: usize,
}

impl Rows {
    /// Those that a chunk has got so far.
    pub fn take(typed: Option<Box<dyn Any + Send>>) -> Result<Box<Self>> {
        match typed {
            None => Ok(Box::default()),
            Some(rows) => rows.downcast().map_err(|_| Error::bug("a chunk for Kafka holds what another sink wrote")),
        }
    }

    pub fn mark(&self) -> Mark {
        Mark { keys: self.keys.len(), headers: self.headers.len() }
    }

    /// Forgets what came behind a mark.
    pub fn cut(&mut self, mark: Mark) {
        self.keys.truncate(mark.keys);
        self.headers.truncate(mark.headers);
    }

    /// Where the key of the next record goes.
    pub fn keys(&mut self) -> &mut Vec<u8> {
        &mut self.keys
    }

    pub fn key_from(&self, mark: Mark) -> &[u8] {
        &self.keys[mark.keys..]
    }

    pub fn add_headers(&mut self, headers: Vec<Header>) {
        self.headers.extend(headers);
    }

    pub fn headers_from(&self, mark: Mark) -> &[Header] {
        &self.headers[mark.headers..]
    }

    /// Adds a record whose key and headers stand behind a mark.
    pub fn push(&mut self, mark: Mark, record: Encoded) {
        self.rows.push(Row {
            value: (!record.is_tombstone).then_some(record.value),
            key: record.has_key.then_some(mark.keys..self.keys.len()),
            headers: mark.headers..self.headers.len(),
            timestamp: record.timestamp,
        });
    }

    /// The records, for a topic; `values` are the bytes of the chunk.
    pub fn outgoing<'a>(&'a self, topic: &'a str, values: &'a [u8]) -> impl Iterator<Item = Outgoing<'a>> {
        self.rows.iter().map(move |row| Outgoing {
            topic,
            key: row.key.clone().map(|key| &self.keys[key]),
            value: row.value.clone().map(|value| &values[value]),
            headers: &self.headers[row.headers.clone()],
            timestamp: row.timestamp,
        })
    }
}
