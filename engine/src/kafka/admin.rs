//! What only administrators do: to create topics, to ask for their options, to delete records.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{ClientContext, TopicPartitionList};

use super::config::Kafka;
use super::errors::{refused_options, topic_error};
use super::options::Role;
use crate::{Error, Result};

/// For a question to brokers that were just connected to; a topic is created within it.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks, and waits for the answers.
pub(super) struct Admin {
    client: AdminClient<Quiet>,
    brokers: String,
}

/// Tells the log only: failures come with the answers.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::watch::log(level, facility, message);
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        tracing::debug!("Kafka: {reason}");
    }
}

impl Admin {
    /// # Errors
    /// `Config` for wrong options.
    pub fn new(kafka: &Kafka) -> Result<Self> {
        let config = kafka.client_config(Role::Admin, &[])?;
        let client = config.create_with_context(Quiet).map_err(|error| refused_options(&error))?;
        Ok(Self { client, brokers: kafka.brokers().to_owned() })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT)).operation_timeout(Some(ANSWER_TIMEOUT))
    }

    /// Creates a topic, or tells why the brokers do not.
    ///
    /// # Errors
    /// `Unavailable` where they do not answer.
    pub fn create(&self, topic: &NewTopic<'_>) -> Result<Result<(), Code>> {
        let created = wait(self.client.create_topics([topic], &Self::options()));
        let created = created.map_err(|error| self.unanswered(topic.name, &error))?;
        Ok(created.into_iter().next().map_or(Ok(()), |created| created.map(drop).map_err(|(_, code)| code)))
    }

    /// The options of a topic, or why the brokers do not tell them.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn options_of(&self, topic: &str) -> Result<Result<ConfigResource, Code>> {
        let described = wait(self.client.describe_configs([&ResourceSpecifier::Topic(topic)], &Self::options()));
        let described = described.map_err(|error| self.unanswered(topic, &error))?;
        let silent = || Error::unavailable(format!("Kafka at {} says nothing of topic {topic}", self.brokers));
        described.into_iter().next().ok_or_else(silent)
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
        let answer = wait(self.client.delete_records(&list, &Self::options()));
        let answer = answer.map_err(|error| self.unanswered(topic, &error))?;
        for element in answer.elements() {
            element.error().map_err(|error| self.unanswered(topic, &error))?;
        }
        Ok(())
    }

    fn unanswered(&self, topic: &str, error: &KafkaError) -> Error {
        match error.rdkafka_error_code() {
            Some(code) => topic_error(code, topic, &self.brokers),
            None => Error::unavailable(format!("Kafka at {} does not answer about {topic}: {error}", self.brokers)),
        }
    }
}

/// Waits for an answer of librdkafka, which comes within the timeout it was asked with. Jobs run on threads with and
/// without a runtime.
fn wait<F: Future>(answer: F) -> F::Output {
    struct Waiting(Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    let mut answer = pin!(answer);
    loop {
        match answer.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park(),
        }
    }
}
