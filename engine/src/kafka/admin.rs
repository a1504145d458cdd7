//! The topic of an output: found, or created, and how large its records may be.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::client::Client;
use super::errors::{create_by_hand, is_passing, refused_options};
use super::input::KafkaTopic;
use super::options::Role;
use super::output::KafkaOutput;
use super::position::Identity;
use crate::{Error, Result};

/// For a question to brokers that were just connected to; a topic is created within it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What librdkafka takes by default, where the topic does not tell.
const RECORD_BYTES: usize = 1_000_000;

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
    let admin = Admin::connect(output)?;
    let client = match found {
        Some(client) => client,
        None => {
            admin.create()?;
            // Brokers learn of a new topic one after another.
            let client = Client::to_ask(&topic)?;
            tracing::info!(topic = output.name, partitions = client.partitions(), "created a Kafka topic");
            client
        }
    };
    let record_bytes_max = match (admin.max_message_bytes()?, of_options(output)) {
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

struct Admin<'a> {
    client: AdminClient<Quiet>,
    output: &'a KafkaOutput,
}

impl<'a> Admin<'a> {
    fn connect(output: &'a KafkaOutput) -> Result<Self> {
        let config = output.kafka.client_config(Role::Admin, &[])?;
        Ok(Self { client: config.create_with_context(Quiet).map_err(|error| refused_options(&error))?, output })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT)).operation_timeout(Some(ANSWER_TIMEOUT))
    }

    fn create(&self) -> Result<()> {
        let KafkaOutput { name, kafka, .. } = self.output;
        let brokers = kafka.brokers();
        let by_hand = create_by_hand(brokers, name, self.output.partitions);
        if !self.output.create {
            return Err(Error::config(format!(
                "Kafka at {brokers} has no topic {name}, and this job is not to create it; create it: {by_hand}"
            )));
        }
        let replication = TopicReplication::Fixed(self.output.replication.unwrap_or(-1));
        let topic = NewTopic::new(name, self.output.partitions.unwrap_or(-1), replication);
        let created =
            wait(self.client.create_topics([&topic], &Self::options())).map_err(|error| self.failed(&error))?;
        let code = match created.into_iter().next() {
            Some(Err((_, code))) => code,
            Some(Ok(_)) | None => return Ok(()),
        };
        match code {
            // Another job was faster, or the broker that was asked had not learned of it.
            Code::TopicAlreadyExists => Ok(()),
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

    /// The topic's own limit; `None` where this client may not know.
    fn max_message_bytes(&self) -> Result<Option<usize>> {
        let topic = ResourceSpecifier::Topic(&self.output.name);
        let described = wait(self.client.describe_configs([&topic], &Self::options()));
        let described = described.map_err(|error| self.failed(&error))?.into_iter().next();
        let config = match described {
            Some(Ok(config)) => config,
            Some(Err(code)) => {
                tracing::debug!(topic = self.output.name, %code, "Kafka does not tell how large a record may be");
                return Ok(None);
            }
            None => return Ok(None),
        };
        let entry = config.get("max.message.bytes").and_then(|entry| entry.value.as_ref());
        Ok(entry.and_then(|value| value.parse().ok()))
    }

    fn failed(&self, error: &KafkaError) -> Error {
        let KafkaOutput { name, kafka, .. } = self.output;
        Error::unavailable(format!("Kafka at {} does not answer for topic {name}: {error}", kafka.brokers()))
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
