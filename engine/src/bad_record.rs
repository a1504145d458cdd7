//! What becomes of records that cannot be read.

use serde::{Deserialize, Serialize};

use crate::source::BadRecord;
use crate::{Error, Result};

/// How many characters of a bad record an error or a log line shows.
const SHOWN_CHARS_MAX: usize = 120;

/// What becomes of a record that cannot be decoded, or is too large for the Kafka topic it is to be written to. It is
/// counted in any case.
#[derive(Clone, Debug, Default)]
pub enum BadRecords {
    /// The job stops, naming the record. Nothing of its epoch is committed.
    #[default]
    Fail,
    /// It is logged and left out.
    Skip,
    /// It goes to this topic with the reason, in the same commit as everything else.
    DeadLetter(crate::Topic<DeadLetter>),
}

/// A record that could not be processed, with where it came from and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The topic of the job that it was read from, or was to be written to.
    pub topic: String,
    /// The partition, such as `transactions/0`; of a record to be written the Kafka topic: `Kafka topic alerts`.
    pub partition: String,
    /// Where in the partition: `orders.jsonl line 12 (byte 3045)`; of a record to be written its key: `output, key `ann``.
    pub place: String,
    /// What is wrong with it.
    pub error: String,
    /// Its bytes, where they are UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Its bytes as hexadecimal digits, where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_hex: Option<String>,
}

impl BadRecords {
    /// Turns bad records into dead letters, or into the error that stops the job.
    pub(crate) fn judge(&self, topic: &str, partition: &str, bad: Vec<BadRecord>) -> Result<Vec<DeadLetter>> {
        match self {
            Self::Fail => match bad.first() {
                Some(first) => Err(Error::record(format!(
                    "decode {partition} at {}: {}; the record is {}; correct it, or choose another policy with \
                     `.on_bad_record(BadRecords::Skip)` or `::DeadLetter(topic)`",
                    first.place,
                    first.cause,
                    shortened(&first.payload)
                ))),
                None => Ok(Vec::new()),
            },
            Self::Skip => {
                for record in &bad {
                    tracing::warn!(
                        partition,
                        place = record.place,
                        cause = record.cause,
                        record = shortened(&record.payload),
                        "skipped a bad record"
                    );
                }
                Ok(Vec::new())
            }
            Self::DeadLetter(_) => Ok(bad.into_iter().map(|record| dead_letter(topic, partition, record)).collect()),
        }
    }
}

/// How much of its value the dead letter of a record has that is too large, so that it is not so itself.
#[cfg(feature = "kafka")]
const PAYLOAD_BYTES_MAX: usize = 16 << 10;

/// A dead letter with the beginning of a record.
#[cfg(feature = "kafka")]
pub(crate) fn cut_dead_letter(topic: &str, partition: &str, mut record: BadRecord) -> DeadLetter {
    let bytes = record.payload.len();
    if bytes > PAYLOAD_BYTES_MAX {
        record.payload.truncate(PAYLOAD_BYTES_MAX);
        // A letter may be cut in two.
        if let Err(error) = std::str::from_utf8(&record.payload)
            && error.error_len().is_none()
        {
            record.payload.truncate(error.valid_up_to());
        }
        record.cause += &format!("; the payload here is the first {} of {bytes} bytes", record.payload.len());
    }
    dead_letter(topic, partition, record)
}

fn dead_letter(topic: &str, partition: &str, record: BadRecord) -> DeadLetter {
    let (payload, payload_hex) = match String::from_utf8(record.payload) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect())),
    };
    DeadLetter {
        topic: topic.into(),
        partition: partition.into(),
        place: record.place,
        error: record.cause,
        payload,
        payload_hex,
    }
}

/// The beginning of a payload, fit for a line of text.
pub(crate) fn shortened(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        shown.push('…');
    }
    // Quotes stay as they are: most records are full of them.
    let escape = |letter: char| match letter {
        '"' | '\'' | '\\' => letter.to_string(),
        _ => letter.escape_debug().to_string(),
    };
    format!("`{}`", shown.chars().map(escape).collect::<String>())
}
