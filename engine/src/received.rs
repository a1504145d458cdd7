//! Records with what a broker knows of them.

use std::sync::Arc;

use headwater_operators::Timestamp;

use crate::Result;
use crate::format::{Decode, RawRecord};

/// A record with its key, headers, timestamp and place, of a topic that was made by [`Topic::received`].
///
/// From other inputs than Kafka it has its value only: no key, no headers, no timestamp, an empty topic, and 0 for
/// partition and offset.
///
/// [`Topic::received`]: crate::Topic::received
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received<T> {
    /// What the topic's format reads.
    pub value: T,
    /// The bytes of its key.
    pub key: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<Header>,
    /// When it was made, or when the broker got it: the topic's `message.timestamp.type` says which.
    pub timestamp: Option<Timestamp>,
    /// The broker's name of its topic.
    pub topic: Arc<str>,
    /// Its partition.
    pub partition: i32,
    /// Its offset in the partition.
    pub offset: i64,
}

/// A header of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name; several may have the same.
    pub name: String,
    /// Its bytes.
    pub value: Option<Vec<u8>>,
}

impl Header {
    /// A header with a value.
    pub fn new(name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), value: Some(value.into()) }
    }
}

impl<T> Received<T> {
    /// The value of the last header with this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|header| header.name == name)?.value.as_deref()
    }
}

/// Reads what another format reads, and what came along.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whole<F>(pub F);

// Nobody whose records cannot be read is helped by this one.
#[diagnostic::do_not_recommend]
impl<T, F: Decode<T>> Decode<Received<T>> for Whole<F> {
    fn decode(&self, payload: &[u8]) -> Result<Received<T>> {
        Ok(Received {
            value: self.0.decode(payload)?,
            key: None,
            headers: Vec::new(),
            timestamp: None,
            topic: "".into(),
            partition: 0,
            offset: 0,
        })
    }

    fn is_blank(&self, line: &[u8]) -> bool {
        self.0.is_blank(line)
    }

    fn decode_record(&self, record: &dyn RawRecord) -> Result<Received<T>> {
        Ok(Received {
            value: self.0.decode_record(record)?,
            key: record.key().map(<[u8]>::to_vec),
            headers: record.headers(),
            timestamp: record.timestamp(),
            topic: Arc::clone(record.topic()),
            partition: record.partition(),
            offset: record.offset(),
        })
    }
}
