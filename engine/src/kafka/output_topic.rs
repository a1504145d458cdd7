//! The topic of an output: found, or created, and how large its records may be.

use rdkafka::admin::{NewTopic, TopicReplication};

use super::admin::Admin;
use super::client::Client;
use super::errors::create_by_hand;
use super::input::KafkaTopic;
use super::output::KafkaOutput;
use super::position::Identity;
use crate::{Error, Result};

/// What librdkafka takes by default, where the topic does not tell.
pub(super) const RECORD_BYTES: usize = 1_000_000;

/// What is known of the topic of an output.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub identity: Identity,
    /// The largest record that it takes, before compression, with all that is stored beside key and value.
    pub record_bytes_max: usize,
}

/// Finds the topic of an output, or creates it if that is allowed.
///
/// # Errors
/// `Config` where it is missing and cannot be created, or may not be written; `Unavailable` where no broker answers.
pub(super) fn find(output: &KafkaOutput) -> Result<Found> {
    output.check()?;
    let topic = KafkaTopic::new(output.kafka.clone(), output.name.clone());
    let found = Client::to_find(&topic)?;
    let admin = Admin::new(&output.kafka)?;
    let client = match found {
        Some(client) => client,
        None => {
            create(&admin, output)?;
            // Brokers learn of a new topic one after another.
            let client = Client::to_ask(&topic)?;
            tracing::info!(topic = output.name, partitions = client.partitions(), "created a Kafka topic");
            client
        }
    };
    let record_bytes_max = match (max_message_bytes(&admin, &output.name)?, of_options(output)) {
        (Some(topic), Some(option)) => topic.min(option),
        (topic, option) => topic.or(option).unwrap_or(RECORD_BYTES),
    };
    Ok(Found { identity: client.identity().clone(), record_bytes_max })
}

/// What a producer takes that is not made for one topic alone.
pub(super) fn client_record_bytes_max(output: &KafkaOutput) -> usize {
    of_options(output).unwrap_or(RECORD_BYTES)
}

fn of_options(output: &KafkaOutput) -> Option<usize> {
    output.kafka.number("message.max.bytes").and_then(|bytes| usize::try_from(bytes).ok())
}

fn create(admin: &Admin, output: &KafkaOutput) -> Result<()> {
    let KafkaOutput { name, kafka, .. } = output;
    let brokers = kafka.brokers();
    let by_hand = create_by_hand(brokers, name, output.partitions);
    if !output.create {
        return Err(Error::config(format!(
            "Kafka at {brokers} has no topic {name}, and this job is not to create it; create it: {by_hand}"
        )));
    }
    let replication = TopicReplication::Fixed(output.replication.unwrap_or(-1));
    let topic = NewTopic::new(name, output.partitions.unwrap_or(-1), replication);
    admin.create(&topic, &by_hand).map(drop)
}

/// The topic's own limit; `None` where this client may not know.
fn max_message_bytes(admin: &Admin, topic: &str) -> Result<Option<usize>> {
    let options = match admin.options_of(topic)? {
        Ok(options) => options,
        Err(code) => {
            tracing::debug!(topic, %code, "Kafka does not tell how large a record may be");
            return Ok(None);
        }
    };
    let entry = options.get("max.message.bytes").and_then(|entry| entry.value.as_ref());
    Ok(entry.and_then(|value| value.parse().ok()))
}
