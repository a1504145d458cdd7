//! A topic to be read, and from where.

use std::fmt;
use std::str::FromStr;

use headwater_operators::Timestamp;

use super::config::Kafka;
use crate::{Error, Result};

/// Where the first start of a job begins to read. Later ones go on from what was committed, and a partition that was
/// added since is read from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record of each partition.
    #[default]
    Earliest,
    /// Behind the newest. What that was is committed before the first record is read.
    Latest,
    /// At the first record of each partition with this timestamp or a later one; behind the newest where there is none.
    At(Timestamp),
    /// At these offsets, by partition; others at their oldest record.
    Offsets(Vec<(i32, i64)>),
}

impl FromStr for Start {
    type Err = Error;

    /// Reads `earliest`, `latest`, or a time in the form of RFC 3339.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => match time.parse() {
                Ok(time) if time != Timestamp::MIN && time != Timestamp::MAX => Ok(Self::At(time)),
                _ => Err(Error::config(format!(
                    "`{text}` is no place to start from; give earliest, latest, or a time such as 2026-03-01T09:00:00Z"
                ))),
            },
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::At(time) => write!(f, "{time}"),
            Self::Offsets(offsets) => {
                let offsets: Vec<_> =
                    offsets.iter().map(|(partition, offset)| format!("{partition}@{offset}")).collect();
                f.write_str(&offsets.join(","))
            }
        }
    }
}

/// A Kafka topic that a topic of the job is read from: `Input::Kafka(kafka.topic("orders"))`.
#[derive(Clone, Debug)]
pub struct KafkaTopic {
    pub(super) kafka: Kafka,
    pub(super) name: String,
    pub(super) others: Vec<String>,
    pub(super) start: Start,
    pub(super) until_end: bool,
    /// For records that are fetched ahead, over all partitions.
    pub(super) memory_bytes: usize,
}

/// What is fetched ahead where nobody says otherwise.
const MEMORY_BYTES: usize = 64 << 20;

impl KafkaTopic {
    pub(super) fn new(kafka: Kafka, name: String) -> Self {
        Self { kafka, name, others: Vec::new(), start: Start::Earliest, until_end: false, memory_bytes: MEMORY_BYTES }
    }

    /// Reads another topic of the same cluster, too, in the same way: their records are one stream. Where records come
    /// from is told by [`Topic::received`](crate::Topic::received).
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let topics = Kafka::at("localhost:9092").topic("orders").and("orders.old");
    /// assert_eq!(topics.to_string(), "Kafka topics orders, orders.old at localhost:9092, from earliest");
    /// ```
    #[must_use]
    pub fn and(mut self, name: impl Into<String>) -> Self {
        self.others.push(name.into());
        self
    }

    /// Each topic by itself, with its share of the memory.
    pub(crate) fn each(&self) -> Vec<Self> {
        let memory_bytes = self.memory_bytes / (1 + self.others.len());
        let names = std::iter::once(&self.name).chain(&self.others);
        names.map(|name| Self { name: name.clone(), others: Vec::new(), memory_bytes, ..self.clone() }).collect()
    }

    /// Begins elsewhere than at the oldest records, at the job's first start.
    #[must_use]
    pub fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Ends where the partitions end when the job starts. Without it, the job never ends by itself.
    ///
    /// All windows close at the end, so a job that came to it does not go on: more records are for a job with new
    /// state. Of use for tests and for filling up once.
    #[must_use]
    pub fn until_end(mut self) -> Self {
        self.until_end = true;
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

    /// Fetches at most about so much ahead, over all partitions. A job gives its inputs a share of `--memory`.
    pub(crate) fn memory(mut self, bytes: usize) -> Self {
        self.memory_bytes = bytes;
        self
    }
}

impl fmt::Display for KafkaTopic {
    /// `Kafka topic orders at localhost:9092, from earliest`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.others.is_empty() { "" } else { "s" };
        write!(f, "Kafka topic{s} {}", self.name)?;
        self.others.iter().try_for_each(|other| write!(f, ", {other}"))?;
        write!(f, " at {}, from {}", self.kafka.brokers(), self.start)?;
        if self.until_end { f.write_str(" until its end") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_as_it_is_shown() {
        for text in ["earliest", "latest", "2026-03-01T09:00:00Z"] {
            assert_eq!(text.parse::<Start>().unwrap().to_string(), text);
        }
        for text in ["", "newest", "12", "+∞"] {
            assert!(text.parse::<Start>().unwrap_err().to_string().contains("2026-03-01T09:00:00Z"), "{text}");
        }
    }

    #[test]
    fn a_topic_says_what_it_is() {
        let topic = Kafka::at("localhost:9092").topic("orders").from(Start::Latest).until_end();
        assert_eq!(topic.to_string(), "Kafka topic orders at localhost:9092, from latest until its end");
    }
}
