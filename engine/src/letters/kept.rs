//! A dead letter as the record that it was.

use std::sync::Arc;

use headwater_operators::Timestamp;

use super::DeadLetter;
use crate::format::{Header, RawRecord};

/// What a format reads again. Of a record that was not in Kafka it has the value only.
pub(crate) struct Kept<'a> {
    letter: &'a DeadLetter,
    value: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    topic: Arc<str>,
}

impl<'a> Kept<'a> {
    pub fn new(letter: &'a DeadLetter) -> Self {
        let topic = letter.origin.as_ref().map_or("", |origin| origin.topic.as_str());
        Self { letter, value: letter.bytes(), key: letter.key_bytes(), topic: topic.into() }
    }
}

impl RawRecord for Kept<'_> {
    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn headers(&self) -> Vec<Header> {
        self.letter.headers.iter().map(Header::from).collect()
    }

    fn timestamp(&self) -> Option<Timestamp> {
        self.letter.origin.as_ref()?.timestamp
    }

    fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    fn partition(&self) -> i32 {
        self.letter.origin.as_ref().map_or(0, |origin| origin.partition)
    }

    fn offset(&self) -> i64 {
        self.letter.origin.as_ref().map_or(0, |origin| origin.offset)
    }
}
