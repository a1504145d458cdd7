//! The topics that a job has for itself: `J.state`, its changelog, and `J.lock`, over which its instances agree who is
//! the active one.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::config::Kafka;
use super::errors::{is_passing, refused_options, topic_error};
use super::options::Role;
use crate::{Error, Result};

/// A topic's name has at most 249 letters, the longest ending among them.
const JOB_NAME_MAX: usize = 249 - ".state".len();
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for what only administrators do. Its calls wait for their answers.
pub(super) struct Admin {
    client: AdminClient<DefaultClientContext>,
    brokers: String,
    runtime: tokio::runtime::Runtime,
}

impl Admin {
    /// # Errors
    /// `Config` for wrong options.
    pub fn new(kafka: &Kafka) -> Result<Self> {
        let config = kafka.client_config(Role::Admin, &[])?;
        let client = config.create().map_err(|error| refused_options(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|error| Error::unavailable("make a runtime for Kafka's answers").caused_by(error))?;
        Ok(Self { client, brokers: kafka.brokers().to_owned(), runtime })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT)).operation_timeout(Some(ANSWER_TIMEOUT))
    }

    /// Makes a topic where there is none. Whether there was none.
    ///
    /// # Errors
    /// `Config` where that is not allowed, `Unavailable` where brokers do not answer.
    pub fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) -> Result<bool> {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
        for (key, value) in config {
            new = new.set(key, value);
        }
        let options = Self::options();
        let made = self.runtime.block_on(self.client.create_topics([&new], &options));
        let made = made.map_err(|error| self.unanswered(topic, &error))?;
        match made.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) if is_passing(code) => Err(topic_error(code, topic, &self.brokers)),
            Some(Err((_, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))) => {
                Err(Error::config(format!(
                    "Kafka at {} does not let this client create topic {topic}; allow its user Create on it, or create it: \
                     kafka-topics --create --topic {topic} --partitions {partitions}{}",
                    self.brokers,
                    config.iter().map(|(key, value)| format!(" --config {key}={value}")).collect::<String>()
                )))
            }
            Some(Err((_, code))) => {
                Err(Error::config(format!("Kafka at {} does not create topic {topic}: {code}", self.brokers)))
            }
            None => Err(Error::unavailable(format!("Kafka at {} says nothing of topic {topic}", self.brokers))),
        }
    }

    /// The values of a topic's options.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn config_of(&self, topic: &str, keys: &[&str]) -> Result<Vec<Option<String>>> {
        let options = Self::options();
        let resource = ResourceSpecifier::Topic(topic);
        let asked = self.client.describe_configs([&resource], &options);
        let answer = self.runtime.block_on(asked).map_err(|error| self.unanswered(topic, &error))?;
        match answer.into_iter().next() {
            Some(Ok(found)) => {
                Ok(keys.iter().map(|key| found.get(key).and_then(|entry| entry.value.clone())).collect())
            }
            Some(Err(code)) => Err(topic_error(code, topic, &self.brokers)),
            None => Err(Error::unavailable(format!("Kafka at {} says nothing of topic {topic}", self.brokers))),
        }
    }

    /// Deletes the records of a topic before these offsets, by partition.
    ///
    /// # Errors
    /// What the brokers say.
    pub fn delete_before(&self, topic: &str, offsets: &[i64]) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (partition, offset) in (0..).zip(offsets) {
            list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(*offset))
                .map_err(|error| Error::bug("an offset is out of range").caused_by(error))?;
        }
        let options = Self::options();
        let answer = self.runtime.block_on(self.client.delete_records(&list, &options));
        let answer = answer.map_err(|error| self.unanswered(topic, &error))?;
        for element in answer.elements() {
            element.error().map_err(|error| self.unanswered(topic, &error))?;
        }
        Ok(())
    }

    fn unanswered(&self, topic: &str, error: &rdkafka::error::KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(code) => topic_error(code, topic, &self.brokers),
            None => Error::unavailable(format!("Kafka at {} does not answer about {topic}: {error}", self.brokers)),
        }
    }
}

/// That the job's own topics can have its name.
///
/// # Errors
/// `Config` where they cannot.
pub(crate) fn check_job_name(job: &str) -> Result<()> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    if !job.is_empty() && job.len() <= JOB_NAME_MAX && job.chars().all(is_allowed) {
        return Ok(());
    }
    Err(Error::config(format!(
        "job {job:?} cannot commit to Kafka under its name: {job}.state is no name of a topic; give it one of at most \
         {JOB_NAME_MAX} letters, digits, `.`, `_` and `-` with Job::new, or choose --delivery at-least-once"
    )))
}

/// Makes the job's own topics where they are missing. How many shards the changelog has.
///
/// # Errors
/// `Config` where the changelog would lose records by itself, or a topic may not be made.
pub(super) fn ensure(kafka: &Kafka, admin: &Admin, state: &str, lock: &str, shards: u16) -> Result<u16> {
    let kept = [
        ("cleanup.policy", "delete"),
        ("retention.ms", "-1"),
        ("retention.bytes", "-1"),
        ("segment.bytes", "16777216"),
    ];
    let made = admin.create(state, i32::from(shards), &kept)?;
    admin.create(lock, 1, &[("cleanup.policy", "delete")])?;
    if !made {
        let keys: Vec<&str> = kept.iter().take(3).map(|(key, _)| *key).collect();
        let found = admin.config_of(state, &keys)?;
        for ((key, wanted), found) in kept.iter().zip(found) {
            if found.as_deref().is_some_and(|found| found != *wanted) {
                return Err(Error::config(format!(
                    "topic {state}, the job's changelog, has {key}={}: it would lose state; set it: kafka-configs \
                     --alter --entity-type topics --entity-name {state} --add-config {key}={wanted}",
                    found.unwrap_or_default()
                )));
            }
        }
    }
    partitions(kafka, state)
}

/// How many partitions a topic has, which may just have been made.
pub(super) fn partitions(kafka: &Kafka, topic: &str) -> Result<u16> {
    let consumer: BaseConsumer =
        kafka.client_config(Role::Admin, &[])?.create().map_err(|error| refused_options(&error))?;
    let deadline = crate::clock::now() + ANSWER_TIMEOUT;
    // A broker that has just made a topic may not know it yet.
    loop {
        let known = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
        let known = known.map_err(|error| match error.rdkafka_error_code() {
            Some(code) => topic_error(code, topic, kafka.brokers()),
            None => Error::unavailable(format!("Kafka does not describe {topic}: {error}")),
        })?;
        let found =
            known.topics().first().filter(|topic| topic.error().is_none()).map_or(0, |topic| topic.partitions().len());
        if found > 0 {
            return u16::try_from(found).map_err(|_| Error::config(format!("topic {topic} has too many partitions")));
        }
        if crate::clock::now() >= deadline {
            return Err(Error::unavailable(format!("topic {topic} is not known to Kafka yet")));
        }
        crate::clock::wait(Duration::from_millis(100), || false);
    }
}
