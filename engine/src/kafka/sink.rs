//! A Kafka topic as a sink: how records become rows of a chunk, and where the rows go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use headwater_operators::Timestamp;

use super::output::KafkaOutput;
use super::output_topic::{Found, client_record_bytes_max, find};
use super::plain::Plain;
use super::position::Identity;
use super::rows::{Encoded, Mark, Rows};
use crate::bad_record::shortened;
use crate::fields::Fields;
use crate::format::{Encode, Header};
use crate::sink::{Chunk, Refused, Sink, SinkCommitter, SinkWriter, Transaction, another};
use crate::{BadRecords, DeadLetter, Error, Result, Topic};

/// What a batch of one record takes beside key, value and headers, at most; and each header beside name and value.
const BATCH_OVERHEAD: usize = 61;
const RECORD_OVERHEAD: usize = 31;
const HEADER_OVERHEAD: usize = 10;

/// Writes records to a Kafka topic, with the key, headers and timestamp that their [`Topic`] makes of them.
///
/// * In the transaction of the run, where it has one: readers with `isolation.level=read_committed` see each record
///   once. Otherwise each is in the topic at least once, and all of an epoch before it commits.
/// * A record with a key is in the partition that Java's clients put it in.
/// * A value that is `null` and has a key is written as a tombstone.
pub struct KafkaSink<T, F> {
    output: KafkaOutput,
    topic: Topic<T, F>,
    /// Found when the topic was bound; looked for again at each further opening.
    found: Mutex<Option<Found>>,
    record_bytes_max: Arc<AtomicUsize>,
}

impl<T: 'static, F: Encode<T>> KafkaSink<T, F> {
    /// Writes the records of `topic` to a Kafka topic.
    pub fn new(output: KafkaOutput, topic: &Topic<T, F>) -> Self {
        let record_bytes_max = Arc::new(AtomicUsize::new(usize::MAX));
        Self { output, topic: topic.clone(), found: Mutex::default(), record_bytes_max }
    }

    /// Looks for the Kafka topic, and creates it where it is missing and that is allowed.
    ///
    /// # Errors
    /// `Config` where it is missing, may not be written, or an option is wrong; `Unavailable` where no broker answers.
    pub fn look(&self) -> Result<()> {
        let found = find(&self.output)?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(())
    }
}

impl<T: 'static, F: Encode<T>> Sink<T> for KafkaSink<T, F> {
    fn describe(&self) -> String {
        self.output.to_string()
    }

    fn writer(&self) -> Box<dyn SinkWriter<T>> {
        Box::new(Writer {
            topic: self.topic.name().to_owned(),
            kafka_topic: self.output.name.clone(),
            format: self.topic.format.clone(),
            fields: self.topic.fields.clone(),
            record_bytes_max: self.record_bytes_max.load(Ordering::Relaxed),
            policy: Arc::clone(&self.topic.too_large),
            refused: Refused::default(),
        })
    }

    fn open(&self, committed: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        self.open_in(committed, None)
    }

    fn open_in(&self, committed: Option<&str>, transaction: Option<&Transaction>) -> Result<Box<dyn SinkCommitter>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = found.map_or_else(|| find(&self.output), Ok)?;
        let identity = match committed {
            None => found.identity,
            Some(text) => same(&found.identity, text, &self.output.name)?,
        };
        let limit = match transaction {
            // One producer serves all topics, so its own limit holds, too.
            Some(_) => found.record_bytes_max.min(client_record_bytes_max(&self.output)),
            None => found.record_bytes_max,
        };
        self.record_bytes_max.store(limit, Ordering::Relaxed);
        let (plain, to): (Option<Arc<Plain>>, Transaction) = match transaction {
            Some(transaction) => (None, Arc::clone(transaction)),
            None => {
                let plain = Arc::new(Plain::new(&self.output.kafka, found.record_bytes_max)?);
                (Some(Arc::clone(&plain)), plain)
            }
        };
        Ok(Box::new(Committer { topic: self.output.name.clone(), identity: identity.to_string(), to, plain }))
    }
}

/// What a topic is that was written before, if it is the same now.
///
/// # Errors
/// `Config` where another one was.
fn same(now: &Identity, committed: &str, topic: &str) -> Result<Identity> {
    let before = written(committed).ok_or_else(|| another("a Kafka topic", committed))?;
    let differ = |before: &Option<String>, now: &Option<String>| match (before, now) {
        (Some(before), Some(now)) if before != now => Some((before.clone(), now.clone())),
        _ => None,
    };
    let remedy = "or start over with --fresh";
    if let Some((before, now)) = differ(&before.name, &now.name) {
        return Err(Error::config(format!(
            "what was written before is Kafka topic {before}, not {now}: the results until now are there; bind the \
             topic that was written, {remedy}"
        )));
    }
    if let Some((before, now)) = differ(&before.cluster, &now.cluster) {
        return Err(Error::config(format!(
            "the brokers are those of another Kafka cluster than {topic} was written to (id {before} then, {now} now): \
             the results until now are there; give the --brokers that were given before, {remedy}"
        )));
    }
    if let Some((before, now)) = differ(&before.topic, &now.topic) {
        tracing::warn!(
            "Kafka topic {topic} was deleted and created again (id {before} then, {now} now): the results until now are \
             gone with it, and are not written again but with --fresh"
        );
    }
    Ok(now.or(before))
}

/// Reads what an identity was written as.
fn written(committed: &str) -> Option<Identity> {
    let mut identity = Identity::default();
    for word in committed.strip_prefix("kafka ")?.split(' ') {
        let (key, value) = word.split_once('=')?;
        identity.take(key, value)?;
    }
    Some(identity)
}

/// Encodes records on a worker.
struct Writer<T, F> {
    topic: String,
    kafka_topic: String,
    format: F,
    fields: Fields<T>,
    record_bytes_max: usize,
    policy: Arc<BadRecords>,
    refused: Refused,
}

impl<T, F: Encode<T>> SinkWriter<T> for Writer<T, F> {
    fn write(&mut self, records: Vec<T>, chunk: &mut Chunk) -> Result<()> {
        let mut rows = Rows::take(chunk.typed.take())?;
        let mut written = Ok(());
        for record in records {
            let (start, mark) = (chunk.bytes.len(), rows.mark());
            match self.encode(&record, &mut chunk.bytes, &mut rows) {
                Ok(Some(encoded)) => {
                    // A line each, for the live view.
                    chunk.bytes.push(b'\n');
                    chunk.records += 1;
                    rows.push(mark, encoded);
                }
                Ok(None) => {
                    chunk.bytes.truncate(start);
                    rows.cut(mark);
                }
                Err(error) => {
                    chunk.bytes.truncate(start);
                    rows.cut(mark);
                    written = Err(error);
                    break;
                }
            }
        }
        chunk.typed = Some(rows);
        written
    }

    fn refused(&mut self) -> Refused {
        std::mem::take(&mut self.refused)
    }
}

impl<T, F: Encode<T>> Writer<T, F> {
    /// Appends a record's value, key and headers; `None` where it is too large and left out.
    fn encode(&mut self, record: &T, values: &mut Vec<u8>, rows: &mut Rows) -> Result<Option<Encoded>> {
        let (start, mark) = (values.len(), rows.mark());
        self.format.encode(record, values)?;
        let has_key = self.fields.key.as_ref().is_some_and(|key| key(record, rows.keys()));
        if let Some(headers) = &self.fields.headers {
            rows.add_headers(headers(record));
        }
        let timestamp = self.fields.timestamp.as_ref().map(|timestamp| timestamp(record));
        if let Some(timestamp) = timestamp {
            check_timestamp(timestamp, &self.kafka_topic)?;
        }
        let value = &values[start..];
        let is_tombstone = has_key && self.format.is_tombstone(value);
        let bytes = size(value.len(), rows, mark);
        if bytes > self.record_bytes_max {
            let key = has_key.then(|| rows.key_from(mark));
            self.refuse(bytes, (key, rows.headers_from(mark), value))?;
            return Ok(None);
        }
        Ok(Some(Encoded { value: start..values.len(), has_key, is_tombstone, timestamp }))
    }

    fn refuse(&mut self, bytes: usize, record: (Option<&[u8]>, &[Header], &[u8])) -> Result<()> {
        let (limit, kafka_topic) = (self.record_bytes_max, &self.kafka_topic);
        let key = record.0.map_or_else(|| "no key".to_owned(), |key| format!("key {}", shortened(key)));
        let cause = format!(
            "a record of {bytes} bytes with {key} is too large for Kafka topic {kafka_topic}, which takes {limit}"
        );
        self.refused.records += 1;
        match &*self.policy {
            BadRecords::Fail => Err(Error::record(format!(
                "{cause}; raise max.message.bytes of the topic, beyond 1 MB with --kafka message.max.bytes, or choose another policy with \
                 `.too_large(BadRecords::Skip)` or `::DeadLetter(topic)`"
            ))),
            BadRecords::Skip => {
                tracing::warn!(record = shortened(record.2), "skipped: {cause}");
                Ok(())
            }
            BadRecords::DeadLetter(_) => {
                let (partition, place) = (format!("Kafka topic {kafka_topic}"), format!("output, {key}"));
                let letter = DeadLetter::too_large(&self.topic, partition, (place, cause), record);
                self.refused.dead_letters.push(letter);
                Ok(())
            }
        }
    }
}

/// What a record takes at most in a batch of its own.
fn size(value: usize, rows: &Rows, mark: Mark) -> usize {
    let header = |header: &Header| HEADER_OVERHEAD + header.name.len() + header.value.as_ref().map_or(0, Vec::len);
    let headers: usize = rows.headers_from(mark).iter().map(header).sum();
    BATCH_OVERHEAD + RECORD_OVERHEAD + value + rows.key_from(mark).len() + headers
}

/// Kafka's timestamps are milliseconds after 1970, and librdkafka takes 0 for the time at which a record is sent.
fn check_timestamp(timestamp: Timestamp, topic: &str) -> Result<()> {
    if timestamp.as_millis() > 0 && timestamp != Timestamp::MAX {
        return Ok(());
    }
    Err(Error::record(format!(
        "a record for Kafka topic {topic} has the timestamp {timestamp}, which Kafka cannot keep: it must be after \
         1970-01-01T00:00:00Z; correct what `.timestamp(…)` of the topic gives"
    )))
}

/// Sends rows on, in the coordinator.
struct Committer {
    topic: String,
    /// What the commit says.
    identity: String,
    to: Transaction,
    /// The same where the run has no transaction.
    plain: Option<Arc<Plain>>,
}

impl SinkCommitter for Committer {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        let rows = Rows::take(chunk.typed)?;
        rows.outgoing(&self.topic, &chunk.bytes).try_for_each(|record| self.to.send(&record))
    }

    fn prepare(&mut self) -> Result<String> {
        if let Some(plain) = &self.plain {
            plain.flush()?;
        }
        Ok(format!("kafka{}", self.identity))
    }

    fn committed(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
