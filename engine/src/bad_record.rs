//! What becomes of records that cannot be read.

use crate::source::BadRecord;
use crate::{DeadLetter, Error, Result};

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
            Self::DeadLetter(_) => {
                Ok(bad.into_iter().map(|record| DeadLetter::bad_record(topic, partition, record)).collect())
            }
        }
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
