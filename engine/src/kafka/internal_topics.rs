//! The topics that a job has for itself: `J.state`, its changelog, and `J.lock`, over which its instances agree who is
//! the active one.

use std::time::Duration;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::admin::{ANSWER_TIMEOUT, Admin};
use super::config::Kafka;
use super::errors::{is_passing, refused_options, topic_error};
use super::options::Role;
use crate::{Error, Result};

/// A topic's name has at most 249 letters, the longest ending among them.
const JOB_NAME_MAX: usize = 249 - ".state".len();

/// Makes a topic where there is none. Whether there was none.
fn create(kafka: &Kafka, admin: &Admin, topic: &str, partitions: i32, config: &[(&str, &str)]) -> Result<bool> {
    let brokers = kafka.brokers();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let new = config.iter().fold(new, |new, (key, value)| new.set(key, value));
    let Err(code) = admin.create(&new)? else { return Ok(true) };
    match code {
        Code::TopicAlreadyExists => Ok(false),
        _ if is_passing(code) => Err(topic_error(code, topic, brokers)),
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Err(Error::config(format!(
            "Kafka at {brokers} does not let this client create topic {topic}; allow its user Create on it, or create it: \
             kafka-topics --create --topic {topic} --partitions {partitions}{}",
            config.iter().map(|(key, value)| format!(" --config {key}={value}")).collect::<String>()
        ))),
        _ => Err(Error::config(format!("Kafka at {brokers} does not create topic {topic}: {code}"))),
    }
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
        "the job's name has {} letters, and {job}.state would be too long for the name of a Kafka topic; give it one of at \
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
