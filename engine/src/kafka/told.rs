//! What librdkafka says: its log, and the last error of a client's connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::errors::Reported;

/// What librdkafka logs when a connection fails or a broker does not answer: not everything is an error that is told.
pub(super) const TROUBLES: [&str; 3] = ["SESSTMOUT", "REQTMOUT", "FAIL"];

/// Takes it. Clones share what was said.
#[derive(Clone, Default)]
pub(super) struct Told {
    last: Arc<Mutex<Option<Reported>>>,
    errors: Arc<AtomicU64>,
}

impl Told {
    /// The last error that says anything.
    pub fn last_error(&self) -> Option<Reported> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many errors and lost connections there were.
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Takes a line of librdkafka's log.
    pub fn note(&self, level: i32, facility: &str, message: &str) {
        // Most connections that are lost are no error, since they are made again.
        if TROUBLES.contains(&facility) {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        log(level, facility, message);
    }

    pub fn hear(&self, code: RDKafkaErrorCode, reason: &str) {
        tracing::debug!("Kafka: {reason}");
        self.errors.fetch_add(1, Ordering::Relaxed);
        // That all brokers are away says less than why the last one is.
        if code != RDKafkaErrorCode::AllBrokersDown {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Reported::new(code, reason));
        }
    }
}

/// Takes a line of librdkafka's log, of a level as syslog has them.
pub(super) fn log(level: i32, facility: &str, message: &str) {
    const CRITICAL: i32 = 2;
    if level <= CRITICAL {
        tracing::error!("librdkafka: {facility}: {message}");
    } else {
        // What matters of these comes as an error or in the statistics, too.
        tracing::debug!("librdkafka: {facility}: {message}");
    }
}

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.note(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.hear(code, reason);
        }
    }
}

/// For consumers that only ask questions.
impl ConsumerContext for Told {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_are_lost_are_counted_though_they_are_no_errors() {
        let told = Told::default();
        told.note(6, "FAIL", "127.0.0.1:9092/1: Disconnected (after 5000ms in state UP)");
        told.note(4, "REQTMOUT", "127.0.0.1:9092/1: Timed out 1 in-flight requests");
        assert_eq!((told.errors(), told.last_error()), (2, None));
        told.note(6, "INIT", "librdkafka");
        told.hear(RDKafkaErrorCode::BrokerTransportFailure, "refused");
        assert_eq!(told.errors(), 3);
    }
}
