//! The transactional producer of an instance: records and offsets of an epoch, visible together or not at all.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode as Code;

use super::config::Kafka;
use super::errors::{Described, lost, refused, refused_options, unreachable};
use super::ffi::{Delivered, GroupMember, GroupOffset, RawProducer, TransactionError};
use super::options::Role;
use super::told::Told;
use super::written::{Outputs, Written};
use crate::sink::{Outgoing, Produce};
use crate::{Error, Result, clock};

/// One call of librdkafka waits at most so long; it is called again until the deadline.
const SLICE: Duration = Duration::from_secs(5);
/// Brokers that are away for so long during a commit make its outcome unknown.
const COMMIT_MAX: Duration = Duration::from_secs(30);
/// Taking over a transactional id waits for its last transaction, which a broker may have to end by itself.
const INIT_MAX: Duration = Duration::from_secs(60);
/// An abort that takes longer is left to the next start, which fences this producer.
const ABORT_MAX: Duration = Duration::from_secs(5);
/// What a transaction may take beside the commit interval, until the broker ends it.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(20);

/// Produces under one transactional id.
pub(super) struct Transactions {
    kafka: Kafka,
    id: String,
    client: String,
    timeout: Duration,
    running: Mutex<Running>,
}

struct Running {
    raw: RawProducer,
    brokers: String,
    told: Told,
    is_open: bool,
    sent: u64,
    delivered: u64,
    failed: Option<Error>,
    /// The number of a topic, by name.
    numbers: HashMap<String, usize>,
    topics: Vec<(String, CString)>,
    /// Offsets of the records that were sent with a tag, by tag.
    placed: Placed,
    /// Where the records of outputs are.
    written: Written,
    /// Connections that were lost before all was seen to be well.
    calm: u64,
}

/// Offsets of records that were sent with a tag, by tag.
#[derive(Default)]
pub(super) struct Placed(HashMap<usize, i64>);

impl Placed {
    /// The offset of a shard's marker.
    ///
    /// # Errors
    /// `Unavailable` where brokers have not said it, as they may for a record that they had already.
    pub fn of_marker(&self, shard: u16) -> Result<i64> {
        let offset = self.0.get(&Transactions::tag_of(shard)).filter(|offset| **offset >= 0);
        offset
            .copied()
            .ok_or_else(|| Error::unavailable(format!("Kafka does not tell the offset of the marker of shard {shard}")))
    }
}

impl Transactions {
    /// Of records whose offset is of no interest.
    pub const NO_TAG: usize = 0;
    /// Of records for outputs: [`written`](Self::written) tells where they are.
    const OUTPUT: usize = 1 << 20;

    /// That of a shard's marker.
    pub fn tag_of(shard: u16) -> usize {
        usize::from(shard) + 1
    }

    /// Takes `id` over: whoever had it before is fenced, and its open transaction is aborted.
    ///
    /// # Errors
    /// `Config` for options that are wrong or rights that are missing; `Unavailable` where brokers do not answer.
    pub fn start(
        kafka: &Kafka,
        id: &str,
        client: &str,
        interval: Duration,
        stopping: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let timeout = TRANSACTION_TIMEOUT + interval;
        let running = connect(kafka, id, client, timeout, stopping)?;
        let (kafka, id, client) = (kafka.clone(), id.to_owned(), client.to_owned());
        Ok(Self { kafka, id, client, timeout, running: Mutex::new(running) })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a record to the transaction, which it begins where none is open. The offset that a record with a tag gets
    /// is told by [`drain`](Self::drain).
    ///
    /// # Errors
    /// As [`Produce::send`].
    pub fn add(&self, record: &Outgoing<'_>, partition: Option<i32>, tag: usize) -> Result<()> {
        let mut running = self.running();
        running.open().map_err(|error| self.failed("begin a transaction", &error))?;
        let number = running.number_of(record.topic)?;
        let tag = if tag == Self::OUTPUT { Self::OUTPUT + number } else { tag };
        let deadline = clock::now() + self.timeout;
        loop {
            match running.raw.send(&running.topics[number].1, partition, record, tag) {
                Ok(()) => break,
                Err(Code::QueueFull) if clock::now() < deadline => {
                    running.serve(Duration::from_millis(10));
                    running.check()?;
                }
                Err(code) => return Err(self.not_sent(code, record, &running)),
            }
        }
        running.sent += 1;
        // Reports come in batches; taking them now and then keeps their queue short.
        if running.sent.is_multiple_of(1024) {
            while running.serve(Duration::ZERO) {}
            running.check()?;
        }
        Ok(())
    }

    /// Waits until all that was sent is at the brokers, and tells the offsets of records that had a tag.
    ///
    /// # Errors
    /// What became of the first record that was not delivered.
    pub fn drain(&self) -> Result<Placed> {
        let mut running = self.running();
        let deadline = clock::now() + self.timeout;
        while running.delivered < running.sent {
            running.serve(Duration::from_millis(20));
            if clock::now() >= deadline {
                return Err(self.away(&running, self.timeout));
            }
        }
        running.check()?;
        Ok(std::mem::take(&mut running.placed))
    }

    /// Where the records are that were sent to outputs. What was sent before must be [drained](Self::drain).
    pub fn written(&self) -> Outputs {
        let Running { written, topics, .. } = &mut *self.running();
        written.take(|number| &topics[number].0)
    }

    /// How many connections were lost, where some were since [`calm`](Self::calm): a broker may have gone while a transaction
    /// was ended.
    pub fn disturbed(&self) -> Option<u64> {
        let mut running = self.running();
        while running.serve(Duration::ZERO) {}
        Some(running.told.errors()).filter(|errors| *errors > running.calm)
    }

    /// What was lost until then has done no harm.
    pub fn calm(&self, lost: u64) {
        self.running().calm = lost;
    }

    /// Commits the transaction with these offsets. What was sent before must be [drained](Self::drain).
    ///
    /// # Errors
    /// `Fenced` where another producer has the id or the member is no longer of the group; `Unavailable` otherwise:
    /// the outcome is unknown then, and reading the offsets again tells.
    pub fn commit(&self, offsets: &[GroupOffset], member: &GroupMember) -> Result<()> {
        let mut running = self.running();
        running.open().map_err(|error| self.failed("begin a transaction", &error))?;
        let deadline = clock::now() + COMMIT_MAX;
        headwater_state::crash::point("kafka.before_offsets");
        self.retried(&running, deadline, "send offsets", |raw| raw.send_offsets(offsets, member, SLICE))?;
        headwater_state::crash::point("kafka.before_commit");
        self.retried(&running, deadline, "commit", |raw| raw.commit(SLICE))?;
        headwater_state::crash::point("kafka.after_commit");
        running.is_open = false;
        running.sent = 0;
        running.delivered = 0;
        Ok(())
    }

    /// Aborts a transaction that has these offsets, too.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn abort_with(&self, offsets: &[GroupOffset], member: &GroupMember) -> Result<()> {
        {
            let mut running = self.running();
            running.open().map_err(|error| self.failed("begin a transaction", &error))?;
            let deadline = clock::now() + COMMIT_MAX;
            self.retried(&running, deadline, "send offsets", |raw| raw.send_offsets(offsets, member, SLICE))?;
        }
        self.abort();
        Ok(())
    }

    /// Replaces the producer where a request of the last transaction may still be under way: a late copy of it could
    /// end the next transaction.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn settle(&self) -> Result<bool> {
        let mut running = self.running();
        if !running.raw.has_unanswered() {
            return Ok(false);
        }
        tracing::debug!(id = self.id, "a request has no answer: taking the transactional id anew");
        *running = connect(&self.kafka, &self.id, &self.client, self.timeout, &|| false)?;
        Ok(true)
    }

    /// Ends the transaction without a commit, if it can be done soon; else the next start does it.
    pub fn abort(&self) {
        let mut running = self.running();
        if !running.is_open {
            return;
        }
        let deadline = clock::now() + ABORT_MAX;
        // Undelivered reports would make the abort wait for all of its time.
        running.raw.purge();
        while running.delivered < running.sent && clock::now() < deadline {
            running.serve(Duration::from_millis(20));
        }
        if let Err(error) = running.raw.abort(ABORT_MAX) {
            tracing::debug!(?error, "the transaction is left to the broker");
        }
        running.is_open = false;
    }

    fn retried(
        &self,
        running: &Running,
        deadline: Instant,
        doing: &str,
        mut call: impl FnMut(&RawProducer) -> Result<(), TransactionError>,
    ) -> Result<()> {
        loop {
            match call(&running.raw) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_retriable && !error.is_fatal && clock::now() < deadline => {}
                Err(error) => return Err(self.failed(doing, &error)),
            }
        }
    }

    fn away(&self, running: &Running, waited: Duration) -> Error {
        unreachable(self.kafka.brokers(), running.told.last_error().as_ref(), waited)
    }

    fn failed(&self, doing: &str, error: &TransactionError) -> Error {
        refused(&self.id, doing, error)
    }

    fn not_sent(&self, code: Code, record: &Outgoing<'_>, running: &Running) -> Error {
        match code {
            Code::QueueFull => self.away(running, self.timeout),
            other => lost(other, &Described::of(record), self.kafka.brokers()),
        }
    }
}

impl Produce for Transactions {
    fn send(&self, record: &Outgoing<'_>) -> Result<()> {
        self.add(record, None, Self::OUTPUT)
    }
}

impl Drop for Transactions {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Running {
    fn open(&mut self) -> Result<(), TransactionError> {
        if !self.is_open {
            self.raw.begin()?;
            self.is_open = true;
            self.written = Written::default();
        }
        Ok(())
    }

    fn number_of(&mut self, topic: &str) -> Result<usize> {
        if let Some(number) = self.numbers.get(topic) {
            return Ok(*number);
        }
        let name = CString::new(topic).map_err(|_| Error::config(format!("Kafka takes no topic called {topic:?}")))?;
        self.numbers.insert(topic.to_owned(), self.topics.len());
        self.topics.push((topic.to_owned(), name));
        Ok(self.topics.len() - 1)
    }

    /// Takes delivery reports. Whether there was anything.
    fn serve(&mut self, wait: Duration) -> bool {
        let Self { raw, brokers, delivered, failed, placed, written, .. } = self;
        raw.serve(wait, |report| {
            *delivered += 1;
            match report {
                Delivered { failed: Some((code, what)), .. } => {
                    failed.get_or_insert_with(|| lost(code, &what, brokers));
                }
                Delivered { tag: Transactions::NO_TAG, .. } => {}
                Delivered { tag: tag @ Transactions::OUTPUT.., partition, offset, .. } => {
                    written.add(tag - Transactions::OUTPUT, partition, offset);
                }
                Delivered { tag, offset, .. } => {
                    placed.0.insert(tag, offset);
                }
            }
        })
    }

    fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

/// Ends the transaction that whoever has `id` left open, without staying.
///
/// # Errors
/// As [`Transactions::start`].
pub(super) fn fence(kafka: &Kafka, id: &str, client: &str, stopping: &dyn Fn() -> bool) -> Result<()> {
    connect(kafka, id, client, TRANSACTION_TIMEOUT, stopping).map(drop)
}

fn connect(kafka: &Kafka, id: &str, client: &str, timeout: Duration, stopping: &dyn Fn() -> bool) -> Result<Running> {
    let millis = timeout.as_millis().to_string();
    let options = [
        ("transactional.id", id.to_owned()),
        ("client.id", client.to_owned()),
        ("transaction.timeout.ms", millis.clone()),
        ("message.timeout.ms", millis),
        // An epoch's end does not wait for more records.
        ("linger.ms", "5".to_owned()),
        // A batch is refused as a whole where it is larger than its topic takes.
        ("batch.size", "131072".to_owned()),
        // Transactions follow each other closely; by default the first request waits a tenth of a second for the
        // markers of the one before.
        ("retry.backoff.ms", "10".to_owned()),
        ("compression.type", "lz4".to_owned()),
        ("partitioner", "murmur2_random".to_owned()),
        ("reconnect.backoff.max.ms", "1000".to_owned()),
    ];
    let config = kafka.client_config(Role::Producer, &options)?;
    let told = Told::default();
    let raw = RawProducer::new(&config, told.clone()).map_err(|error| refused_options(&error))?;
    let deadline = clock::now() + INIT_MAX;
    loop {
        match raw.init(SLICE) {
            Ok(()) => break,
            Err(_) if stopping() => return Err(Error::unavailable("asked to stop while taking the transactional id")),
            Err(error) if error.is_retriable && !error.is_fatal && clock::now() < deadline => {
                while raw.serve(Duration::ZERO, drop) {}
                if told.last_error().is_some() && error.code == Code::OperationTimedOut {
                    return Err(unreachable(kafka.brokers(), told.last_error().as_ref(), SLICE));
                }
            }
            Err(error) if error.code == Code::OperationTimedOut => {
                return Err(unreachable(kafka.brokers(), told.last_error().as_ref(), INIT_MAX));
            }
            Err(error) => return Err(refused(id, "take the transactional id", &error)),
        }
    }
    Ok(Running {
        raw,
        brokers: kafka.brokers().to_owned(),
        told,
        is_open: false,
        sent: 0,
        delivered: 0,
        failed: None,
        numbers: HashMap::new(),
        topics: Vec::new(),
        placed: Placed::default(),
        written: Written::default(),
        calm: 0,
    })
}
