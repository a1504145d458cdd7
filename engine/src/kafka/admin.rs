//! What only administrators do: to create topics, to ask for their options, to delete records.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::config::Kafka;
use super::errors::{is_passing, is_unknown, refused_options, topic_error};
use super::options::Role;
use super::told::Told;
use crate::{Error, Result, clock};

/// For a question to brokers that were just connected to; a topic is created within it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Asks, and waits for the answers.
pub(super) struct Admin {
    client: AdminClient<Told>,
    brokers: String,
}

impl Admin {
    /// # Errors
    /// `Config` for wrong options.
    pub fn new(kafka: &Kafka) -> Result<Self> {
        let config = kafka.client_config(Role::Admin, &[])?;
        let client = config.create_with_context(Told::default()).map_err(|error| refused_options(&error))?;
        Ok(Self { client, brokers: kafka.brokers().to_owned() })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT)).operation_timeout(Some(ANSWER_TIMEOUT))
    }

    /// Creates a topic where there is none; `by_hand` is the command that does it. Whether there was none.
    ///
    /// # Errors
    /// `Config` where that is not allowed, `Unavailable` where brokers do not answer.
    pub fn create(&self, topic: &NewTopic<'_>, by_hand: &str) -> Result<bool> {
        let (name, brokers) = (topic.name, &self.brokers);
        let created = wait(self.client.create_topics([topic], &Self::options()));
        let created = created.map_err(|error| self.unanswered(name, &error))?;
        let Some(Err((_, code))) = created.into_iter().next() else { return Ok(true) };
        match code {
            // Another job was faster, or the broker that was asked had not learned of it.
            Code::TopicAlreadyExists => Ok(false),
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Err(Error::config(format!(
                "Kafka at {brokers} has no topic {name}, and does not let this client create it; allow its user Create on \
                 the topic, or create it: {by_hand}"
            ))),
            _ if is_passing(code) => {
                Err(Error::unavailable(format!("Kafka at {brokers} does not create topic {name}: {code}")))
            }
            _ => Err(Error::config(format!(
                "Kafka at {brokers} has no topic {name}, and refuses to create it: {code}; create it: {by_hand}"
            ))),
        }
    }

    /// How many partitions a topic has, which may just have been made.
    ///
    /// # Errors
    /// `Unavailable` where the brokers do not know it, or do not answer.
    pub fn partitions(&self, topic: &str) -> Result<u16> {
        let known = self.partitions_if_there(topic)?;
        known.ok_or_else(|| Error::unavailable(format!("topic {topic} is not known to Kafka yet")))
    }

    /// The same; `None` where the brokers go on saying that there is no such topic.
    ///
    /// # Errors
    /// `Unavailable` where they do not answer, or do not say how many; `Config` where the client may not ask.
    pub fn partitions_if_there(&self, topic: &str) -> Result<Option<u16>> {
        let deadline = clock::now() + ANSWER_TIMEOUT;
        // A broker that has just made a topic may not know it yet.
        loop {
            let known = self.client.inner().fetch_metadata(Some(topic), ANSWER_TIMEOUT);
            let known = known.map_err(|error| self.unanswered(topic, &error))?;
            let found = known.topics().first();
            let fault = found.and_then(|topic| topic.error()).map(Code::from);
            let partitions = found.filter(|_| fault.is_none()).map_or(0, |topic| topic.partitions().len());
            if partitions > 0 {
                let partitions = u16::try_from(partitions);
                return partitions
                    .map(Some)
                    .map_err(|_| Error::config(format!("topic {topic} has too many partitions")));
            }
            if clock::now() >= deadline {
                return match fault {
                    Some(code) if !is_unknown(code) => Err(topic_error(code, topic, &self.brokers)),
                    _ => Ok(None),
                };
            }
            clock::wait(ASK_AGAIN, || false);
        }
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
