//! What librdkafka says: its log, and the last error of a client's connections.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::errors::Reported;

/// Takes it. Clones share the last error.
#[derive(Clone, Default)]
pub(super) struct Told {
    last: Arc<Mutex<Option<Reported>>>,
}

impl Told {
    /// The last error that says anything.
    pub fn last_error(&self) -> Option<Reported> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn hear(&self, code: RDKafkaErrorCode, reason: &str) {
        tracing::debug!("Kafka: {reason}");
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
        log(level as i32, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.hear(code, reason);
        }
    }
}

/// For consumers that only ask questions.
impl ConsumerContext for Told {}
