//! The topics that a job has for itself: `J.state`, its changelog, `J.lock`, over which its instances agree who is the
//! active one, and `J.redrive`, by which dead letters come back.

use rdkafka::admin::{NewTopic, TopicReplication};

use super::admin::Admin;
use super::client::Client;
use super::config::Kafka;
use super::errors::{create_by_hand, topic_error};
use super::output_topic::RECORD_BYTES;
use super::plain::Plain;
use crate::sink::{Outgoing, Produce as _};
use crate::{Error, Result};

/// A topic's name has at most 249 letters, the longest ending among them.
const JOB_NAME_MAX: usize = 249 - ".redrive".len();

/// Makes a topic where there is none. Whether there was none.
fn create(kafka: &Kafka, admin: &Admin, topic: &str, partitions: i32, config: &[(&str, &str)]) -> Result<bool> {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let new = config.iter().fold(new, |new, (key, value)| new.set(key, value));
    let config: String = config.iter().map(|(key, value)| format!(" --config {key}={value}")).collect();
    admin.create(&new, &(create_by_hand(kafka.brokers(), topic, Some(partitions)) + &config))
}

/// That the job's own topics can have its name, whose letters are those that Kafka takes.
///
/// # Errors
/// `Config` where they cannot.
pub(crate) fn check_job_name(job: &str) -> Result<()> {
    if job.len() <= JOB_NAME_MAX {
        return Ok(());
    }
    Err(Error::config(format!(
        "the job's name has {} letters, and {job}.redrive would be too long for the name of a Kafka topic; give it one of at \
         most {JOB_NAME_MAX}",
        job.len()
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
    let made = create(kafka, admin, state, i32::from(shards), &kept)?;
    create(kafka, admin, lock, 1, &[("cleanup.policy", "delete")])?;
    // Who subscribes to a topic that the broker does not know yet looks again after seconds.
    admin.partitions(lock)?;
    if !made {
        let options = admin.options_of(state)?.map_err(|code| topic_error(code, state, kafka.brokers()))?;
        for (key, wanted) in kept.iter().take(3) {
            let found = options.get(key).and_then(|entry| entry.value.as_deref());
            if found.is_some_and(|found| found != *wanted) {
                return Err(Error::config(format!(
                    "topic {state}, the job's changelog, has {key}={}: it would lose state; set it: kafka-configs \
                     --alter --entity-type topics --entity-name {state} --add-config {key}={wanted}",
                    found.unwrap_or_default()
                )));
            }
        }
    }
    admin.partitions(state)
}

/// Makes the topic by which dead letters come back where it is missing, and gives its name. It is the audit, too, so nothing
/// of it is deleted.
///
/// # Errors
/// `Config` where an option is wrong or it may not be made; `Unavailable` where no broker answers.
pub(crate) fn redrive_topic(kafka: &Kafka, job: &str) -> Result<String> {
    check_job_name(job)?;
    let topic = format!("{job}.redrive");
    Client::reach(kafka)?;
    let admin = Admin::new(kafka)?;
    create(
        kafka,
        &admin,
        &topic,
        1,
        &[("cleanup.policy", "delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")],
    )?;
    admin.partitions(&topic)?;
    Ok(topic)
}

/// Appends records to a topic, one after the other.
pub(crate) struct Appender {
    plain: Plain,
    topic: String,
}

impl Appender {
    /// # Errors
    /// `Config` where an option is wrong.
    pub fn new(kafka: &Kafka, topic: String) -> Result<Self> {
        Ok(Self { plain: Plain::new(kafka, RECORD_BYTES)?, topic })
    }

    /// Appends a record, and waits until the brokers have it.
    ///
    /// # Errors
    /// As [`Produce::send`](crate::sink::Produce::send).
    pub fn append(&self, value: &[u8]) -> Result<()> {
        let (topic, value) = (self.topic.as_str(), Some(value));
        self.plain.send(&Outgoing { topic, key: None, value, headers: &[], timestamp: None })?;
        self.plain.flush()
    }
}
