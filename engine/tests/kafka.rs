//! Reading and writing a real Kafka broker: what is read and written, where that goes on, and what is said when it cannot.
//!
//! A broker is started with `dev/kafka` and stopped with the process. `KAFKA_BROKERS=host:port` uses another cluster,
//! but where a test has to kill its broker.

#![cfg(test)]

#[path = "kafka/broker.rs"]
mod broker;
#[path = "kafka/changed_changelog.rs"]
mod changed_changelog;
#[path = "kafka/changed_topics.rs"]
mod changed_topics;
#[path = "kafka/commits.rs"]
mod commits;
#[path = "kafka/directories.rs"]
mod directories;
#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/hanging.rs"]
mod hanging;
#[path = "kafka/hanging_commits.rs"]
mod hanging_commits;
#[path = "kafka/letters.rs"]
mod letters;
#[path = "kafka/metrics.rs"]
mod metrics;
#[path = "kafka/mistakes.rs"]
mod mistakes;
#[path = "engine/numbers.rs"]
mod numbers;
#[path = "kafka/offsets.rs"]
mod offsets;
#[path = "kafka/operator.rs"]
mod operator;
#[path = "kafka/raw.rs"]
mod raw;
#[path = "kafka/records.rs"]
mod records;
#[path = "kafka/redriven.rs"]
mod redriven;
#[path = "kafka/running.rs"]
mod running;
#[path = "kafka/scene.rs"]
mod scene;
#[path = "engine/scrape.rs"]
mod scrape;
#[path = "kafka/shortened.rs"]
mod shortened;
#[path = "kafka/sparse.rs"]
mod sparse;
#[path = "kafka/starts.rs"]
mod starts;
#[path = "kafka/taken_along.rs"]
mod taken_along;
#[path = "kafka/takeover.rs"]
mod takeover;
#[path = "kafka/writing.rs"]
mod writing;
#[path = "kafka/writing_mistakes.rs"]
mod writing_mistakes;
