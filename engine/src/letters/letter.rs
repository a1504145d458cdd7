//! What a dead letter says, whatever it is of: one format for all of them.

use headwater_operators::{Failure, FailureKind, Late, Timestamp};
use headwater_state::hash_bytes;
use serde::{Deserialize, Serialize};

use super::Lettered;
use super::bytes::Bytes;
use crate::format::Header;
use crate::source::{BadRecord, chain};
use crate::{Error, Result};

/// What a dead letter is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LetterKind {
    /// A record that could not be decoded.
    #[default]
    BadRecord,
    /// A record that is larger than the Kafka topic takes which it was to be written to. Its payload may be cut.
    TooLarge,
    /// A record that came after its window had closed.
    #[serde(rename = "late")]
    LateRecord,
    /// An item of an outbox that was given up.
    FailedDelivery,
}

impl LetterKind {
    /// Its name, as in JSON and on the command line: `bad-record`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRecord => "bad-record",
            Self::TooLarge => "too-large",
            Self::LateRecord => "late",
            Self::FailedDelivery => "failed-delivery",
        }
    }
}

/// A record or an item that could not be processed, with where it came from and why.
///
/// As JSON it has what is known only, so what an older version wrote is read as well.
///
/// ```
/// use headwater::{DeadLetter, LetterKind};
/// let old = r#"{"topic":"orders","partition":"orders/0","place":"in.jsonl line 3","error":"EOF","payload":"{"}"#;
/// let letter: DeadLetter = serde_json::from_str(old)?;
/// assert_eq!((letter.kind, letter.bytes()), (LetterKind::BadRecord, Some(b"{".to_vec())));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What tells it from every other. The same record that fails in the same way again has the same, also after a crash;
    /// one that fails again after it was redriven has another. [`id`](Self::id) makes one for letters that have none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What it is of.
    #[serde(default)]
    pub kind: LetterKind,
    /// The operator that failed: the source topic, the sink topic, the window or the outbox.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// The topic of the job that it was read from, or was to be written to.
    pub topic: String,
    /// The partition, such as `transactions/0`; of a record to be written the Kafka topic: `Kafka topic alerts`.
    pub partition: String,
    /// Where in the partition: `orders.jsonl line 12 (byte 3045)`; of a record to be written its key: `output, key `ann``.
    pub place: String,
    /// What is wrong with it.
    pub error: String,
    /// What sort of error it is: `decode`, `too-large`, `late`, or of a delivery `transient`, `permanent`, `unreachable` or
    /// `unknown`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_type: String,
    /// What the error was caused by, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// Its bytes, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Its bytes as hexadecimal digits, where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_hex: Option<String>,
    /// How many bytes it had, where these are only the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_cut_from: Option<u64>,
    /// The bytes of its key, where it had one and they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The bytes of its key as hexadecimal digits, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hex: Option<String>,
    /// Its headers, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<LetterHeader>,
    /// Where it was in Kafka.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<LetterOrigin>,
    /// The key that the attempts to deliver it had, of an outbox's item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// How often it was tried, this time included.
    #[serde(default)]
    pub attempts: u32,
    /// When it was tried first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_attempt: Option<Timestamp>,
    /// When it was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<Timestamp>,
    /// When it became a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Timestamp>,
    /// The job that wrote the letter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub job: String,
    /// Which life of the job: another one after it has started over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// The instance of the job, where it has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The version of the job, where it says one: [`Job::version`](crate::Job::version).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A header of a record in a dead letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterHeader {
    /// Its name.
    pub name: String,
    /// Its bytes, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its bytes as hexadecimal digits, where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_hex: Option<String>,
}

/// Where a record was in Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterOrigin {
    /// The broker's name of the topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
}

impl DeadLetter {
    /// Of a record that could not be decoded.
    pub(crate) fn bad_record(topic: &str, partition: &str, record: BadRecord) -> Self {
        let BadRecord { place, cause, causes, payload, received } = record;
        let mut letter = Self {
            operator: topic.into(),
            topic: topic.into(),
            partition: partition.into(),
            error: cause,
            error_type: "decode".into(),
            causes,
            attempts: 1,
            ..Self::default()
        };
        let is_tombstone = received.as_ref().is_some_and(|received| received.value.is_none());
        letter.id = match &received {
            // A topic that was created again has the same offsets.
            Some(at) => format!("{partition}@{}-{:08x}", at.offset, hash_bytes(&payload) as u32),
            None => identify(partition, &[place.as_bytes(), &payload]),
        };
        if let Some(received) = received {
            letter.keep_key(received.key);
            letter.headers = received.headers.into_iter().map(LetterHeader::from).collect();
            letter.origin = Some(LetterOrigin {
                topic: received.topic.to_string(),
                partition: received.partition,
                offset: received.offset,
                timestamp: received.timestamp,
            });
        }
        letter.place = place;
        if !is_tombstone {
            letter.keep(payload);
        }
        letter
    }

    /// Of a record that is too large for the Kafka topic that it was to be written to.
    #[cfg(feature = "kafka")]
    pub(crate) fn too_large(
        topic: &str,
        partition: String,
        (place, cause): (String, String),
        (key, headers, value): (Option<&[u8]>, &[Header], &[u8]),
    ) -> Self {
        let mut letter = Self {
            id: identify(topic, &[key.unwrap_or_default(), value]),
            kind: LetterKind::TooLarge,
            operator: topic.into(),
            topic: topic.into(),
            partition,
            place,
            error: cause,
            error_type: "too-large".into(),
            headers: headers.iter().cloned().map(LetterHeader::from).collect(),
            attempts: 1,
            ..Self::default()
        };
        letter.keep_key(key.map(|key| cut(key).to_vec()));
        let kept = cut(value);
        if kept.len() < value.len() {
            letter.payload_cut_from = Some(value.len() as u64);
            letter.error += &format!("; the payload here is the first {} of {} bytes", kept.len(), value.len());
        }
        letter.keep(kept.to_vec());
        letter
    }

    /// Of a record that came after its window had closed; `operator` is the window's id.
    ///
    /// # Errors
    /// `Record` where the record cannot be written as JSON.
    pub(crate) fn late<T: Lettered>(operator: &str, late: &Late<T>) -> Result<Self> {
        let (window, time) = (late.window, late.time);
        let place = format!("window {} to {}, time {time}", window.start, window.end);
        let mut letter = Self {
            kind: LetterKind::LateRecord,
            operator: operator.into(),
            topic: operator.into(),
            partition: "window".into(),
            error: format!("its window had closed: the watermark was {}", late.watermark),
            error_type: "late".into(),
            place,
            attempts: 1,
            ..Self::default()
        };
        late.record.keep_in(&mut letter)?;
        letter.id = identify(operator, &[letter.place.as_bytes(), &letter.bytes().unwrap_or_default()]);
        Ok(letter)
    }

    /// Of an item that an outbox has given up: the outbox, the item's number there and its idempotency key; itself as JSON;
    /// why the last attempt failed; how many attempts there were, and when the first and the last of them were made.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let at = Some(Timestamp::from_seconds(60));
    /// let failure = Failure::permanent("550 no such user");
    /// let letter = DeadLetter::failed_delivery(("mail", 17, "job/mail/17"), b"{\"to\":\"ann\"}".to_vec(), &failure, (4, at, at));
    /// assert_eq!((letter.operator(), letter.error_type.as_str()), ("mail", "permanent"));
    /// assert!(letter.id.starts_with("mail#17-"));
    /// ```
    pub fn failed_delivery(
        (outbox, seq, key): (&str, u64, &str),
        payload_json: Vec<u8>,
        failure: &Failure,
        (attempts, first, last): (u32, Option<Timestamp>, Option<Timestamp>),
    ) -> Self {
        let error_type = match failure.kind {
            FailureKind::Transient => "transient",
            FailureKind::Permanent => "permanent",
            FailureKind::Unreachable => "unreachable",
            FailureKind::Unknown => "unknown",
        };
        let mut letter = Self {
            // Numbers begin anew with a job that starts over; keys do not.
            id: format!("{outbox}#{seq}-{:08x}", hash_bytes(key.as_bytes()) as u32),
            kind: LetterKind::FailedDelivery,
            operator: outbox.into(),
            topic: outbox.into(),
            partition: format!("outbox {outbox}"),
            place: format!("item {key}, after {attempts} attempts"),
            error: failure.to_string(),
            error_type: error_type.into(),
            causes: failure.causes.clone(),
            idempotency_key: Some(key.to_owned()),
            attempts,
            first_attempt: first,
            last_attempt: last,
            ..Self::default()
        };
        letter.keep(payload_json);
        letter
    }

    /// Its id; of a letter that an older version wrote, one that is made of where it came from.
    pub fn id(&self) -> String {
        if self.id.is_empty() {
            let payload = self.bytes().unwrap_or_default();
            return identify(&self.partition, &[self.place.as_bytes(), &payload]);
        }
        self.id.clone()
    }

    /// The operator that failed; of a letter that an older version wrote, its topic.
    pub fn operator(&self) -> &str {
        if self.operator.is_empty() { &self.topic } else { &self.operator }
    }

    /// When it became a dead letter; of one that an older version wrote, when it was tried last.
    pub fn written(&self) -> Option<Timestamp> {
        self.written.or(self.last_attempt)
    }

    /// The bytes that could not be processed; `None` of a tombstone.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        Bytes::get(self.payload.as_deref(), self.payload_hex.as_deref())
    }

    /// The bytes of its key, if it had one.
    pub fn key_bytes(&self) -> Option<Vec<u8>> {
        Bytes::get(self.key.as_deref(), self.key_hex.as_deref())
    }

    /// The letter of what was redriven and has failed again.
    pub(crate) fn again(&self, error: &Error) -> Self {
        // `numbers/0@12-7f3a~2` failed at the third time.
        let id = self.id();
        let base = id.rsplit_once('~').map_or(id.as_str(), |(base, _)| base);
        let attempts = self.attempts.max(1);
        Self {
            id: format!("{base}~{attempts}"),
            error: error.to_string(),
            causes: chain(error),
            attempts: attempts + 1,
            last_attempt: None,
            written: None,
            ..self.clone()
        }
    }

    pub(super) fn keep(&mut self, payload: Vec<u8>) {
        Bytes::from(Some(payload)).put(&mut self.payload, &mut self.payload_hex);
    }

    pub(super) fn keep_key(&mut self, key: Option<Vec<u8>>) {
        Bytes::from(key).put(&mut self.key, &mut self.key_hex);
    }
}

impl From<Header> for LetterHeader {
    fn from(header: Header) -> Self {
        let mut kept = Self { name: header.name, ..Self::default() };
        Bytes::from(header.value).put(&mut kept.value, &mut kept.value_hex);
        kept
    }
}

impl From<&LetterHeader> for Header {
    fn from(kept: &LetterHeader) -> Self {
        let value = Bytes::get(kept.value.as_deref(), kept.value_hex.as_deref());
        Self { name: kept.name.clone(), value }
    }
}

/// An id of what has no place of its own that is sure to stay.
fn identify(of: &str, parts: &[&[u8]]) -> String {
    format!("{of}-{:016x}", hash_bytes(&parts.join(&0)))
}

/// How much of its value the dead letter of a record has that is too large, so that it is not so itself.
#[cfg_attr(not(feature = "kafka"), expect(dead_code, reason = "only Kafka has a bound"))]
const PAYLOAD_BYTES_MAX: usize = 16 << 10;

/// The beginning of what may be too large.
#[cfg(feature = "kafka")]
pub(crate) fn cut(value: &[u8]) -> &[u8] {
    if value.len() <= PAYLOAD_BYTES_MAX {
        return value;
    }
    let kept = &value[..PAYLOAD_BYTES_MAX];
    // A letter may be cut in two.
    match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() => &kept[..error.valid_up_to()],
        _ => kept,
    }
}

#[cfg(test)]
#[path = "letter_tests.rs"]
mod tests;
