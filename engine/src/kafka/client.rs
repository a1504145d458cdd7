//! A client of a cluster, for one topic of it.

use std::ffi::CString;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_operators::Timestamp;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::errors::{is_passing, is_unknown, output_error, refused_options, topic_error, unreachable};
use super::ffi::{Consumer, Described, Description, PartitionQueue, assign, high_watermark};
use super::figures::Figures;
use super::input::KafkaTopic;
use super::options::Role;
use super::position::{Identity, Position};
use super::watch::{Leader, STATISTICS_INTERVAL, Watch};
use crate::{Error, Result, clock};

/// Whoever starts a job with a wrong address learns of it within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2500);
/// For a question to brokers that were just connected to.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one look for an answer takes: between two, what librdkafka reports is taken.
const LOOK: Duration = Duration::from_millis(20);
/// When a broker is asked again that does not know the topic: one that has just started may not know any yet.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How often it is checked that the topic is still the same.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// Brokers may wait so long for records before they answer, unless the user says otherwise. While one waits for those of
/// partitions that are at their end, it is not asked for others: a full queue that has room again waits as long.
const FETCH_WAIT: Duration = Duration::from_millis(50);
/// The least and the most that is fetched ahead for a partition, and fetched at once.
const AHEAD_KBYTES: (usize, usize) = (64, 64 << 10);
const FETCH_BYTES: (usize, usize) = (64 << 10, 1 << 20);
/// What librdkafka needs for a record beside its value, about, which it does not count; and the least and the most
/// records that are fetched ahead for a partition.
const RECORD_BYTES: usize = 512;
const AHEAD_RECORDS: (usize, usize) = (256, 100_000);

pub(super) struct Client {
    consumer: Arc<Consumer>,
    brokers: String,
    name: String,
    topic: CString,
    /// What the topic is, and how many partitions it had when the client connected.
    identity: Identity,
    partitions: usize,
    /// How many of them are read.
    reads: usize,
    /// The topic was there before: where it is not, that may pass.
    was_there: bool,
    check: Mutex<Check>,
}

/// Whether the topic is still the one that the client connected to.
struct Check {
    asked: Option<Description>,
    due: Instant,
    is_gone: bool,
}

impl Client {
    /// Connects, to ask questions.
    ///
    /// # Errors
    /// `Config` where an option is wrong or there is no such topic, `Unavailable` where no broker answers.
    pub fn to_ask(topic: &KafkaTopic) -> Result<Self> {
        Self::connect(topic, 0, &[])
    }

    /// Connects, to read `partitions` of the topic, each from its own queue.
    ///
    /// # Errors
    /// As [`to_ask`](Self::to_ask), but the topic was there: where it is not, that is `Unavailable`.
    pub fn to_read(topic: &KafkaTopic, partitions: usize) -> Result<Self> {
        let share = topic.memory_bytes / partitions.max(1) / 2;
        let options = [
            // Assignments need one; nothing is committed to it, and nobody is a member of it.
            ("group.id", "headwater".to_owned()),
            // Queues are bounded by partition, and a fetch may come on top.
            ("queued.max.messages.kbytes", (share >> 10).clamp(AHEAD_KBYTES.0, AHEAD_KBYTES.1).to_string()),
            ("queued.min.messages", (share / RECORD_BYTES).clamp(AHEAD_RECORDS.0, AHEAD_RECORDS.1).to_string()),
            ("fetch.message.max.bytes", share.clamp(FETCH_BYTES.0, FETCH_BYTES.1).to_string()),
            // A full queue is left alone for so long: by default a second, in which a fast reader starves.
            ("fetch.queue.backoff.ms", "5".to_owned()),
            ("fetch.error.backoff.ms", "100".to_owned()),
            ("check.crcs", "true".to_owned()),
            // For new partitions, and for a broker that comes back.
            ("topic.metadata.refresh.interval.ms", "30000".to_owned()),
            ("reconnect.backoff.max.ms", "1000".to_owned()),
        ];
        Self::connect(topic, partitions, &options)
    }

    /// That a broker answers.
    ///
    /// # Errors
    /// `Config` where an option is wrong, `Unavailable` where no broker answers.
    pub fn reach(kafka: &super::config::Kafka) -> Result<()> {
        let config = kafka.client_config(Role::Consumer, &[])?;
        let watch = Watch::new("", 0, FETCH_WAIT);
        let consumer: Consumer = config.create_with_context(watch).map_err(|error| refused_options(&error))?;
        let deadline = clock::now() + CONNECT_TIMEOUT;
        loop {
            if consumer.client().fetch_metadata(None, LOOK * 25).is_ok() {
                return Ok(());
            }
            // Errors come to the watch by this.
            while consumer.poll(Duration::ZERO).is_some() {}
            if clock::now() >= deadline {
                return Err(unreachable(kafka.brokers(), consumer.context().last_error().as_ref(), CONNECT_TIMEOUT));
            }
        }
    }

    /// Connects, to ask about a topic that is to be written; `None` where the brokers know none.
    ///
    /// # Errors
    /// `Config` where an option is wrong or the topic may not be written, `Unavailable` where no broker answers.
    pub fn to_find(topic: &KafkaTopic) -> Result<Option<Self>> {
        let mut client = Self::unasked(topic, 0, &[])?;
        match client.answer(false)? {
            Ok(described) => client.learn(described)?,
            Err(code) if is_unknown(code) => return Ok(None),
            Err(code) if is_passing(code) => return Err(client.unreachable(CONNECT_TIMEOUT)),
            Err(code) => return Err(output_error(code, &topic.name, topic.kafka.brokers())),
        }
        Ok(Some(client))
    }

    fn connect(topic: &KafkaTopic, partitions: usize, options: &[(&str, String)]) -> Result<Self> {
        let mut client = Self::unasked(topic, partitions, options)?;
        let described = client.describe()?;
        client.learn(described)?;
        Ok(client)
    }

    fn unasked(topic: &KafkaTopic, partitions: usize, options: &[(&str, String)]) -> Result<Self> {
        let mut config = topic.kafka.client_config(Role::Consumer, options)?;
        config.set("statistics.interval.ms", STATISTICS_INTERVAL.as_millis().to_string());
        let fetch_wait = topic.kafka.number("fetch.wait.max.ms").map_or(FETCH_WAIT, Duration::from_millis);
        let watch = Watch::new(&topic.name, partitions, fetch_wait);
        let consumer: Consumer = config.create_with_context(watch).map_err(|error| refused_options(&error))?;
        let name = CString::new(topic.name.as_str())
            .map_err(|_| Error::config(format!("Kafka takes no topic called {:?}; give another name", topic.name)))?;
        Ok(Self {
            consumer: Arc::new(consumer),
            brokers: topic.kafka.brokers().to_owned(),
            name: topic.name.clone(),
            topic: name,
            identity: Identity::default(),
            partitions: 0,
            reads: partitions,
            was_there: partitions > 0,
            check: Mutex::new(Check { asked: None, due: clock::now() + CHECK_EVERY, is_gone: false }),
        })
    }

    fn learn(&mut self, described: Described) -> Result<()> {
        let asked_at = clock::now();
        let cluster = self.consumer.client().fetch_cluster_id(ANSWER_TIMEOUT);
        // Brokers that have no cluster id say so at once.
        if cluster.is_none() && asked_at.elapsed() >= ANSWER_TIMEOUT {
            return Err(self.unreachable(ANSWER_TIMEOUT));
        }
        self.identity = Identity { name: Some(self.name.clone()), topic: described.id, cluster };
        self.partitions = described.partitions;
        Ok(())
    }

    fn describe(&self) -> Result<Described> {
        let code = match self.answer(true)? {
            Ok(described) => return Ok(described),
            Err(code) => code,
        };
        Err(match code {
            _ if is_passing(code) => self.unreachable(CONNECT_TIMEOUT),
            _ if is_unknown(code) && self.was_there => Error::unavailable(format!(
                "Kafka at {} does not know topic {} any more; if it was deleted, create it and start over with --fresh",
                self.brokers, self.name
            )),
            _ => topic_error(code, &self.name, &self.brokers),
        })
    }

    /// What the brokers say of the topic. One that is unknown is asked for again if it `should_be_there`.
    fn answer(&self, should_be_there: bool) -> Result<Result<Described, RDKafkaErrorCode>> {
        let deadline = clock::now() + CONNECT_TIMEOUT;
        let mut asked = self.ask()?;
        let mut last = RDKafkaErrorCode::OperationTimedOut;
        loop {
            match asked.poll(LOOK) {
                Some(Err(code)) if is_unknown(code) && should_be_there => {
                    last = code;
                    clock::wait(ASK_AGAIN, || false);
                    asked = self.ask()?;
                }
                Some(answer) => return Ok(answer),
                None => {}
            }
            self.listen()?;
            if clock::now() >= deadline {
                return Ok(Err(last));
            }
        }
    }

    /// Asks whether the topic is still the one that the client connected to.
    ///
    /// # Errors
    /// `Config` where it is not, `Unavailable` where no broker answers.
    pub fn confirm(&self) -> Result<()> {
        self.check_id(self.describe()?)
    }

    fn check_id(&self, now: Described) -> Result<()> {
        self.identity.check(&Identity { topic: now.id, ..Identity::default() }, &self.name)
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn partitions(&self) -> usize {
        self.partitions
    }

    fn ask(&self) -> Result<Description> {
        Description::ask(&self.consumer, &self.topic, ANSWER_TIMEOUT)
            .ok_or_else(|| Error::unavailable("librdkafka has no memory left"))
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The error for brokers that are away.
    pub fn unreachable(&self, waited: Duration) -> Error {
        unreachable(&self.brokers, self.consumer.context().last_error().as_ref(), waited)
    }

    /// The oldest offset of a partition, and the one behind its last committed record.
    ///
    /// # Errors
    /// `Unavailable` where its leader does not answer.
    pub fn watermarks(&self, partition: i32) -> Result<(i64, i64)> {
        let found = self.consumer.client().fetch_watermarks(&self.name, partition, ANSWER_TIMEOUT);
        found.map_err(|error| self.unanswered(&error))
    }

    /// The offset of the first record with this timestamp or a later one, if there is one.
    ///
    /// # Errors
    /// `Unavailable` where the leader of the partition does not answer.
    pub fn offset_at(&self, partition: i32, time: Timestamp) -> Result<Option<i64>> {
        let mut times = TopicPartitionList::with_capacity(1);
        let added = times.add_partition_offset(&self.name, partition, Offset::Offset(time.as_millis().max(0)));
        let found = added.and_then(|()| self.consumer.offsets_for_times(times, ANSWER_TIMEOUT));
        let found = found.map_err(|error| self.unanswered(&error))?;
        let found = found.find_partition(&self.name, partition);
        let found = found.ok_or_else(|| Error::bug("librdkafka answers for another partition than was asked for"))?;
        found.error().map_err(|error| self.unanswered(&error))?;
        Ok(if let Offset::Offset(offset) = found.offset() { Some(offset) } else { None })
    }

    fn unanswered(&self, error: &KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(code) if !is_passing(code) => topic_error(code, &self.name, &self.brokers),
            _ => self.unreachable(ANSWER_TIMEOUT),
        }
    }

    /// Begins to fetch a partition from a position.
    ///
    /// # Errors
    /// `Bug` where librdkafka refuses.
    pub fn fetch(&self, partition: i32, position: &Position) -> Result<PartitionQueue> {
        let queue = PartitionQueue::split(&self.consumer, &self.topic, partition);
        let queue =
            queue.ok_or_else(|| Error::bug(format!("librdkafka has no queue for {}[{partition}]", self.name)))?;
        assign(&self.consumer, &self.topic, partition, position.offset, position.leader_epoch)
            .map_err(|reason| Error::bug(format!("librdkafka does not assign {}[{partition}]: {reason}", self.name)))?;
        Ok(queue)
    }

    /// The end of a partition as the last fetch told it, with transactions that are open.
    pub fn high_watermark(&self, partition: i32) -> Option<i64> {
        high_watermark(&self.consumer, &self.topic, partition)
    }

    /// What is shown of the client to those who watch the job.
    pub fn figures(&self) -> &Arc<Figures> {
        self.consumer.context().figures()
    }

    /// That the topic has no partitions but those that are read.
    ///
    /// # Errors
    /// `Unavailable` where it has: the next attempt reads them, too.
    pub fn check_partitions(&self) -> Result<()> {
        // Some may have come since they were counted for the job, as while it stood by.
        let known = self.consumer.context().known_partitions().max(self.partitions);
        if known <= self.reads {
            return Ok(());
        }
        Err(Error::unavailable(format!(
            "Kafka topic {} has {known} partitions now, and {} are read: opening anew to read the others",
            self.name, self.reads
        )))
    }

    pub fn leader(&self, partition: i32) -> Leader {
        self.consumer.context().leader(partition, clock::now())
    }

    /// Takes what librdkafka reports, and checks now and then that the topic is still the same. To be called often.
    ///
    /// # Errors
    /// `Config` where the topic was deleted, or deleted and created again.
    pub fn serve(&self) -> Result<()> {
        self.listen()?;
        let now = clock::now();
        // Another thread that is at it does it for this one.
        let Ok(mut check) = self.check.try_lock() else { return Ok(()) };
        if let Some(answer) = check.asked.as_ref().and_then(|asked| asked.poll(Duration::ZERO)) {
            check.asked = None;
            check.due = now + CHECK_EVERY;
            return self.judge(&mut check, answer);
        }
        if check.asked.is_none() && now >= check.due {
            check.asked = Some(self.ask()?);
        }
        Ok(())
    }

    fn listen(&self) -> Result<()> {
        match self.consumer.poll(Duration::ZERO) {
            // Each partition has a queue of its own. Were a record here, its partition would go on without it.
            Some(Ok(_)) => Err(Error::bug("a record of Kafka came by another queue than its partition's")),
            // Those of connections were told to the watch; those of partitions come by their queues.
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn judge(&self, check: &mut Check, answer: Result<Described, RDKafkaErrorCode>) -> Result<()> {
        match answer {
            Ok(now) => {
                check.is_gone = false;
                self.check_id(now)
            }
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {
                // A broker that has just started may not know yet.
                if !std::mem::replace(&mut check.is_gone, true) {
                    return Ok(());
                }
                Err(topic_error(RDKafkaErrorCode::UnknownTopicOrPartition, &self.name, &self.brokers))
            }
            Err(_) => Ok(()),
        }
    }
}
