//! How records become bytes and back.

use std::sync::Arc;

use headwater_operators::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

pub use crate::fields::KeyBytes;
pub use crate::received::{Header, Whole};

/// Reads a record from a payload.
#[diagnostic::on_unimplemented(
    message = "a record of type `{T}` cannot be read as `{Self}`",
    note = "for `Topic::json` it derives `serde::Deserialize` and owns its text; for `Topic::lines` it is `From<String>`"
)]
pub trait Decode<T>: Clone + Send + Sync + 'static {
    /// Reads one.
    ///
    /// # Errors
    /// `Record` with the cause; the caller adds where the record stands.
    fn decode(&self, payload: &[u8]) -> Result<T>;

    /// Whether a line of a file is no record at all. Such lines are passed over.
    fn is_blank(&self, _line: &[u8]) -> bool {
        false
    }

    /// Reads one that a broker delivered, with all that came along. Unless a format says otherwise, it reads the value,
    /// and one without a value, a tombstone, is a bad record.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    fn decode_record(&self, record: &dyn RawRecord) -> Result<T> {
        match record.value() {
            Some(value) => self.decode(value),
            None => Err(Error::record("it is a tombstone: it has no value")),
        }
    }
}

/// A record as a broker delivered it.
pub trait RawRecord {
    /// Its value; `None` for a tombstone.
    fn value(&self) -> Option<&[u8]>;
    /// Its key.
    fn key(&self) -> Option<&[u8]>;
    /// Its headers, in their order.
    fn headers(&self) -> Vec<Header>;
    /// When it was made, or when the broker got it: the topic's `message.timestamp.type` says which.
    fn timestamp(&self) -> Option<Timestamp>;
    /// The broker's name of its topic.
    fn topic(&self) -> &Arc<str>;
    /// Its partition.
    fn partition(&self) -> i32;
    /// Its offset in the partition.
    fn offset(&self) -> i64;
}

/// Writes a record as a payload.
#[diagnostic::on_unimplemented(
    message = "a record of type `{T}` cannot be written as `{Self}`",
    note = "for `Topic::json` it derives `serde::Serialize`; for `Topic::lines` it is `AsRef<str>`, as a `String` is"
)]
pub trait Encode<T>: Clone + Send + Sync + 'static {
    /// Appends one, without a line's end.
    ///
    /// # Errors
    /// `Record` where the type's own `Serialize` fails.
    fn encode(&self, record: &T, out: &mut Vec<u8>) -> Result<()>;

    /// Whether a record that was written so and has a key goes to a broker as a tombstone: without a value.
    fn is_tombstone(&self, _payload: &[u8]) -> bool {
        false
    }
}

/// One JSON value per record.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned> Decode<T> for Json {
    fn decode(&self, payload: &[u8]) -> Result<T> {
        // Checked as a whole, UTF-8 costs a tenth of what it does string by string, names of fields included.
        let text = std::str::from_utf8(payload).map_err(|error| Error::record(error.to_string()))?;
        serde_json::from_str(text).map_err(|error| Error::record(in_one_line(&error)))
    }

    /// White space alone: there is no such value.
    fn is_blank(&self, line: &[u8]) -> bool {
        line.first().is_none_or(u8::is_ascii_whitespace) && line.trim_ascii().is_empty()
    }

    /// A tombstone is read as `null`: an `Option` is `None`, and for other types it is a bad record.
    fn decode_record(&self, record: &dyn RawRecord) -> Result<T> {
        match record.value() {
            Some(value) => self.decode(value),
            None => self.decode(b"null").map_err(|_| {
                Error::record("it is a tombstone: it has no value; read the topic as one of `Option`s to have these")
            }),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> Encode<T> for Json {
    fn encode(&self, record: &T, out: &mut Vec<u8>) -> Result<()> {
        serde_json::to_writer(out, record).map_err(|error| Error::record(error.to_string()))
    }

    /// `null` is: what a tombstone is read as. So an `Option` that is `None` deletes its key.
    fn is_tombstone(&self, payload: &[u8]) -> bool {
        payload == b"null"
    }
}

/// What is wrong with a value, and where in it. The line within a value that is one line says nothing.
fn in_one_line(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// One line of text per record, as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines;

#[diagnostic::do_not_recommend]
impl<T: From<String>> Decode<T> for Lines {
    fn decode(&self, payload: &[u8]) -> Result<T> {
        match std::str::from_utf8(payload) {
            Ok(text) => Ok(T::from(text.to_owned())),
            Err(error) => Err(Error::record(error.to_string())),
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T: AsRef<str>> Encode<T> for Lines {
    fn encode(&self, record: &T, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(record.as_ref().as_bytes());
        Ok(())
    }
}
