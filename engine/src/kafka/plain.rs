//! A producer without transactions: what it is given is in the topic at least once, and all of it before a commit.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::config::Kafka;
use super::errors::{Described, refused_options, undelivered, unreachable};
use super::options::Role;
use super::told::Told;
use crate::sink::{Outgoing, Produce};
use crate::{Result, clock};

/// How long one look for delivery reports takes.
const LOOK: Duration = Duration::from_millis(2);
/// Records that wait to be delivered take at most this much memory.
const QUEUE_KBYTES: usize = 32 << 10;
/// As many as an epoch may have before it ends.
const QUEUE_RECORDS: usize = 250_000;
/// Batches are no larger than this, and no larger than the topic takes.
const BATCH_BYTES: usize = 1_000_000;
/// What librdkafka takes for `message.max.bytes`.
const RECORD_BYTES: (usize, usize) = (1_000, 1_000_000_000);

/// An idempotent producer for one topic.
pub(super) struct Plain {
    producer: BaseProducer<Deliveries>,
    brokers: String,
    patience: Duration,
}

impl Plain {
    /// A producer for a topic that takes records of at most `record_bytes_max`.
    ///
    /// # Errors
    /// `Config` where an option is wrong.
    pub fn new(kafka: &Kafka, record_bytes_max: usize) -> Result<Self> {
        let config = kafka.client_config(Role::Producer, &defaults(record_bytes_max))?;
        let producer = config.create_with_context(Deliveries::default()).map_err(|error| refused_options(&error))?;
        Ok(Self { producer, brokers: kafka.brokers().to_owned(), patience: kafka.patience })
    }

    /// Waits until every record is delivered.
    ///
    /// # Errors
    /// As [`Produce::send`], of any of them.
    pub fn flush(&self) -> Result<()> {
        let mut stall = self.stall();
        // Asked without a timeout: the binding would look for reports in steps of a tenth of a second.
        while self.producer.flush(Duration::ZERO).is_err() {
            self.producer.poll(LOOK);
            self.check()?;
            self.wait_on(&mut stall)?;
        }
        self.check()
    }

    /// The failure of a record, if one has failed.
    fn check(&self) -> Result<()> {
        match &*self.producer.context().failed() {
            None => Ok(()),
            Some(failed) => {
                let reason = self.producer.client().fatal_error().map(|(_, reason)| reason);
                Err(undelivered(failed.code, &failed.what, &self.brokers, reason))
            }
        }
    }

    fn stall(&self) -> Stall {
        Stall { left: self.producer.in_flight_count(), since: clock::now() }
    }

    /// Goes on waiting while records are delivered, or not for too long.
    fn wait_on(&self, stall: &mut Stall) -> Result<()> {
        let now = self.stall();
        if now.left < stall.left {
            *stall = now;
        } else if now.since - stall.since > self.patience {
            let reported = self.producer.context().told.last_error();
            return Err(unreachable(&self.brokers, reported.as_ref(), self.patience));
        }
        Ok(())
    }
}

impl Produce for Plain {
    fn send(&self, record: &Outgoing<'_>) -> Result<()> {
        let mut next = BaseRecord::<[u8], [u8]> {
            topic: record.topic,
            partition: None,
            payload: record.value,
            key: record.key,
            timestamp: record.timestamp.map(|time| time.as_millis()),
            headers: headers(record),
            delivery_opaque: (),
        };
        let mut stall = None;
        loop {
            let (error, back) = match self.producer.send(next) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
            if code != Code::QueueFull {
                return Err(undelivered(code, &Described::of(record), &self.brokers, None));
            }
            next = back;
            self.producer.poll(LOOK);
            self.check()?;
            self.wait_on(stall.get_or_insert_with(|| self.stall()))?;
        }
    }
}

/// Since when nothing was delivered.
struct Stall {
    left: i32,
    since: Instant,
}

fn defaults(record_bytes_max: usize) -> Vec<(&'static str, String)> {
    let batch_bytes = BATCH_BYTES.min(record_bytes_max).max(1);
    let record_bytes = record_bytes_max.clamp(RECORD_BYTES.0, RECORD_BYTES.1);
    vec![
        // As Java's clients: a record is in the same partition whoever writes it.
        ("partitioner", "murmur2_random".to_owned()),
        // Costs the least time of all, is in every build of every client, and halves JSON and more.
        ("compression.type", "lz4".to_owned()),
        ("linger.ms", "5".to_owned()),
        ("message.max.bytes", record_bytes.to_string()),
        // A broker refuses a batch as a whole, and librdkafka does not divide it.
        ("batch.size", batch_bytes.to_string()),
        ("queue.buffering.max.kbytes", QUEUE_KBYTES.to_string()),
        ("queue.buffering.max.messages", QUEUE_RECORDS.to_string()),
        ("reconnect.backoff.max.ms", "1000".to_owned()),
    ]
}

fn headers(record: &Outgoing<'_>) -> Option<OwnedHeaders> {
    if record.headers.is_empty() {
        return None;
    }
    let headers = OwnedHeaders::new_with_capacity(record.headers.len());
    Some(
        record.headers.iter().fold(headers, |headers, header| {
            headers.insert(Header { key: &header.name, value: header.value.as_deref() })
        }),
    )
}

struct Failed {
    code: Code,
    what: Described,
}

/// Takes what librdkafka reports of records and connections.
#[derive(Default)]
struct Deliveries {
    told: Told,
    /// The first record that was not delivered.
    failed: Mutex<Option<Failed>>,
}

impl Deliveries {
    fn failed(&self) -> MutexGuard<'_, Option<Failed>> {
        // Each change is whole by itself.
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let key = message.key().map(<[u8]>::to_vec);
        let bytes = message.key_len() + message.payload_len();
        let what = Described { topic: message.topic().to_owned(), key, bytes };
        self.failed().get_or_insert(Failed { code, what });
    }
}
