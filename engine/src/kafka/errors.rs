//! What errors of Kafka mean, and what to do about them.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::ffi::TransactionError;
use crate::bad_record::shortened;
use crate::sink::Outgoing;
use crate::{Error, Kind};

/// An error as librdkafka told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reported {
    pub code: Code,
    pub reason: String,
}

impl Reported {
    /// Keeps of the reason what people need: no thread, no client, no counts of what was suppressed.
    pub fn new(code: Code, reason: &str) -> Self {
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        // `[thrd:…]: ` stands before what is said.
        let reason = reason.rsplit_once("]: ").map_or(reason, |(_, said)| said);
        Self { code, reason: reason.trim().trim_end_matches('?').to_owned() }
    }
}

/// The error for brokers that do not answer.
pub(super) fn unreachable(brokers: &str, reported: Option<&Reported>, waited: std::time::Duration) -> Error {
    let Some(Reported { code, reason }) = reported else {
        return Error::unavailable(format!(
            "no Kafka broker answers at {brokers} within {} s; check the address, and that nothing between here and \
             there swallows connections",
            waited.as_secs_f32()
        ));
    };
    let remedy = match code {
        Code::Resolve => "check the name in --brokers",
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "check --kafka sasl.mechanism, sasl.username and sasl.password"
        }
        _ if *code == Code::SSL
            || reason.contains("SSL handshake failed")
            || reason.contains("SSL connection closed") =>
        {
            "check that the port speaks TLS, and --kafka ssl.ca.location"
        }
        _ if reason.contains("onnection refused") && names_other(brokers, reason) => {
            "the brokers at that address send clients on to one that refuses them: mend the brokers' advertised.listeners"
        }
        _ if reason.contains("onnection refused") => {
            "nothing listens there: start the broker, or give its address with --brokers"
        }
        _ if reason.contains("security.protocol") => {
            "the port may want TLS or SASL: set --kafka security.protocol to SSL, SASL_SSL or SASL_PLAINTEXT"
        }
        _ => "check the address in --brokers, and that a broker runs there",
    };
    Error::unavailable(format!("no Kafka broker answers at {brokers}: {reason}; {remedy}"))
}

/// Whether the reason names an address that is none of those given.
fn names_other(brokers: &str, reason: &str) -> bool {
    let given = |broker: &str| reason.contains(broker.trim().trim_start_matches("PLAINTEXT://"));
    reason.contains("://") && !brokers.split(',').any(given)
}

/// The error for a topic that the cluster does not have, or does not show.
pub(super) fn topic_error(code: Code, topic: &str, brokers: &str) -> Error {
    match code {
        _ if is_unknown(code) => Error::config(format!(
            "Kafka at {brokers} has no topic {topic}; create it, or read another with --input NAME=kafka:TOPIC"
        )),
        Code::TopicAuthorizationFailed => Error::config(format!(
            "Kafka at {brokers} does not let this client read topic {topic}; allow its user Read and Describe on it"
        )),
        Code::InvalidTopic => Error::config(format!("Kafka takes no topic called {topic}; give another name")),
        _ if is_passing(code) => {
            Error::unavailable(format!("Kafka at {brokers} does not describe topic {topic}: {code}"))
        }
        _ => Error::unavailable(format!("Kafka at {brokers} cannot describe topic {topic}: {code}")),
    }
}

/// The error for a topic that cannot be written.
pub(super) fn output_error(code: Code, topic: &str, brokers: &str) -> Error {
    match code {
        _ if is_unknown(code) => Error::config(format!(
            "Kafka at {brokers} has no topic {topic} any more; create it again: {}",
            create_by_hand(brokers, topic, None)
        )),
        Code::TopicAuthorizationFailed => Error::config(format!(
            "Kafka at {brokers} does not let this client write topic {topic}; allow its user Write and Describe on it"
        )),
        Code::ClusterAuthorizationFailed => Error::config(format!(
            "Kafka at {brokers} does not let this client write without repeating records; allow its user \
             IdempotentWrite on the cluster"
        )),
        Code::InvalidTopic => Error::config(format!("Kafka takes no topic called {topic}; give another name")),
        _ => Error::unavailable(format!("Kafka at {brokers} does not take records for topic {topic}: {code}")),
    }
}

/// A record, as far as a message names it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    /// Of key and value.
    pub bytes: usize,
}

impl Described {
    pub fn of(record: &Outgoing<'_>) -> Self {
        let bytes = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        Self { topic: record.topic.to_owned(), key: record.key.map(<[u8]>::to_vec), bytes }
    }
}

/// The error for a record that was not delivered.
pub(super) fn undelivered(code: Code, record: &Described, brokers: &str, reason: Option<String>) -> Error {
    let Described { topic, key, bytes } = record;
    let key = key.as_ref().map_or_else(|| "no key".to_owned(), |key| format!("key {}", shortened(key)));
    let refused = format!("Kafka topic {topic} refuses a record of {bytes} bytes with {key}");
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Error::record(format!(
            "{refused}: it is too large, or the batch that it came in; raise max.message.bytes of the topic and \
             message.max.bytes of --kafka, or choose another policy with `.too_large(…)`"
        )),
        Code::InvalidTimestamp => Error::record(format!(
            "{refused}: its timestamp is too far from the broker's time; correct what `.timestamp(…)` gives, or raise \
             message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic"
        )),
        Code::InvalidRecord => Error::record(format!(
            "{refused}: it does not fit the topic's settings; if that is compacted, give records a key with `.key(…)`"
        )),
        Code::Fatal => {
            let reason = reason.unwrap_or_else(|| code.to_string());
            Error::unavailable(format!("Kafka at {brokers} takes no more records for topic {topic}: {reason}"))
        }
        _ => output_error(code, topic, brokers),
    }
}

/// The command that creates a topic, for people to copy.
pub(super) fn create_by_hand(brokers: &str, topic: &str, partitions: Option<i32>) -> String {
    let partitions = partitions.map_or("N".to_owned(), |number| number.to_string());
    format!("kafka-topics --bootstrap-server {brokers} --create --topic {topic} --partitions {partitions}")
}

/// The error for options that librdkafka refuses.
pub(super) fn refused_options(error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, reason, key, _) => Error::config(format!(
            "Kafka option {key} is refused: {}; the options are those of librdkafka's CONFIGURATION.md",
            reason.trim_end_matches('.')
        )),
        KafkaError::ClientCreation(reason) => Error::config(format!("Kafka options are refused: {reason}")),
        other => Error::config("Kafka options are refused").caused_by(other.to_string()),
    }
}

/// That a broker knows no such topic, or not yet.
pub(super) fn is_unknown(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId)
}

/// What librdkafka recovers from by itself.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::NetworkException
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::KafkaStorageError
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::GroupAuthorizationFailed
    )
}

/// The error for a call of a transaction that failed.
pub(super) fn refused(id: &str, doing: &str, error: &TransactionError) -> Error {
    let reason = &error.reason;
    match error.code {
        // The same is said of a transaction that the broker has timed out: it does not prove that another one exists.
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => Error::new(
            Kind::Fenced,
            format!("{doing}: the transaction of {id} was ended by the broker or by another instance: {reason}"),
        ),
        Code::TransactionalIdAuthorizationFailed => Error::config(format!(
            "{doing}: the transactional id {id} is refused; allow the client's user Write and Describe on it"
        )),
        Code::GroupAuthorizationFailed => {
            Error::config(format!("{doing}: the group of {id} is refused; allow the client's user Read on the group"))
        }
        Code::TopicAuthorizationFailed => {
            Error::config(format!("{doing}: a topic is refused: {reason}; allow the client's user Write on it"))
        }
        Code::InvalidTransactionTimeout => Error::config(format!(
            "{doing}: the brokers' transaction.max.timeout.ms is less than a transaction of {id} may take; choose a \
             shorter --commit-interval"
        )),
        _ => Error::unavailable(format!("{doing}: Kafka: {reason}")),
    }
}

/// The error for a record of a transaction that was not delivered.
pub(super) fn lost(code: Code, what: &Described, brokers: &str) -> Error {
    match code {
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            Error::new(Kind::Fenced, format!("a record for {}: the producer was fenced", what.topic))
        }
        other => undelivered(other, what, brokers, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use std::time::Duration;

    fn said(code: Code, reason: &str) -> String {
        let error = unreachable("kafka:9092", Some(&Reported::new(code, reason)), Duration::from_secs(2));
        assert_eq!(error.kind(), Kind::Unavailable);
        error.to_string()
    }

    #[test]
    fn a_broker_that_does_not_answer_comes_with_the_likely_cause() {
        let refused = "kafka:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)";
        let text = said(Code::BrokerTransportFailure, refused);
        assert!(text.contains("failed: Connection refused; nothing listens there"), "{text}");
        let text =
            said(Code::Resolve, "kafka:9092/bootstrap: Failed to resolve 'kafka:9092': Name or service not known");
        assert!(text.contains("check the name"), "{text}");
        let text = said(Code::SSL, "ssl://kafka:9092/bootstrap: SSL handshake failed: wrong version number");
        assert!(text.contains("speaks TLS"), "{text}");
        let closed = "ssl://kafka:9092/bootstrap: Disconnected: SSL connection closed by peer";
        assert!(said(Code::BrokerTransportFailure, closed).contains("speaks TLS"));
        let text = said(Code::Authentication, "SASL authentication error: Authentication failed");
        assert!(text.contains("sasl.password"), "{text}");
        let elsewhere = "plaintext://inside:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused";
        let text = said(Code::BrokerTransportFailure, elsewhere);
        assert!(text.contains("advertised.listeners"), "{text}");
        let text = unreachable("kafka:9092", None, Duration::from_millis(2500)).to_string();
        assert!(text.contains("within 2.5 s"), "{text}");
    }
}
