//! A topic to be written, and how it is created where it is missing.

use std::fmt;

use super::config::Kafka;
use crate::{Error, Result};

/// A Kafka topic that a topic of the job is written to: `Output::Kafka(kafka.output("alerts"))`.
///
/// A topic that is missing is created when the job starts, and the log says so; one that is there stays as it is,
/// whatever is said here.
///
/// ```
/// use headwater::prelude::*;
/// let kafka = Kafka::at("localhost:9092");
/// let alerts = kafka.output("alerts").partitions(12).replication(3);
/// assert_eq!(alerts.to_string(), "Kafka topic alerts at localhost:9092");
/// ```
#[derive(Clone, Debug)]
pub struct KafkaOutput {
    pub(super) kafka: Kafka,
    pub(super) name: String,
    pub(super) partitions: Option<i32>,
    pub(super) replication: Option<i32>,
    pub(super) create: bool,
}

impl KafkaOutput {
    pub(super) fn new(kafka: Kafka, name: String) -> Self {
        Self { kafka, name, partitions: None, replication: None, create: true }
    }

    /// How many partitions it is created with. Unless said, the brokers decide (`num.partitions`).
    #[must_use]
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = Some(partitions.into());
        self
    }

    /// How many brokers have a copy of it if it is created. Unless said, the brokers decide
    /// (`default.replication.factor`).
    #[must_use]
    pub fn replication(mut self, replication: u16) -> Self {
        self.replication = Some(replication.into());
        self
    }

    /// Whether it is created where it is missing, which it is unless said. Without, the job does not start.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its cluster.
    pub fn cluster(&self) -> &Kafka {
        &self.kafka
    }

    /// Checks what can be checked without a connection.
    ///
    /// # Errors
    /// `Config` for a name that no topic has, no partitions or copies, or a wrong option.
    pub(super) fn check(&self) -> Result<()> {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let is_good = !matches!(self.name.as_str(), "" | "." | "..") && self.name.len() <= 249;
        if !is_good || !self.name.chars().all(is_letter) {
            return Err(Error::config(format!(
                "Kafka takes no topic called {:?}: a name has letters, digits, `.`, `_` and `-`; give another name",
                self.name
            )));
        }
        if self.partitions == Some(0) || self.replication == Some(0) {
            return Err(Error::config(format!(
                "Kafka topic {} cannot have 0 partitions or copies; leave that out for what the brokers do by default",
                self.name
            )));
        }
        self.kafka.check()
    }
}

impl fmt::Display for KafkaOutput {
    /// `Kafka topic alerts at localhost:9092`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kafka topic {} at {}", self.name, self.kafka.brokers())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_told_without_a_broker() {
        let kafka = Kafka::at("a:1");
        kafka.output("shop.alerts_2-x").partitions(3).check().unwrap();
        for name in ["", ".", "a b", "a/b", &"x".repeat(250)] {
            let text = kafka.output(name).check().unwrap_err().to_string();
            assert!(text.contains("takes no topic called"), "{text}");
        }
        for output in [kafka.output("a").partitions(0), kafka.output("a").replication(0)] {
            assert!(output.check().unwrap_err().to_string().contains("cannot have 0"));
        }
        assert!(Kafka::at("a:1").set("acks", "0").output("a").check().is_err());
    }
}
