//! Apache Kafka, through librdkafka: topics as sources and sinks.
//!
//! A job reads and writes Kafka when its command line says `--brokers`, or when it binds a topic itself:
//!
//! ```no_run
//! use headwater::kafka::Start;
//! use headwater::prelude::*;
//!
//! # fn job() -> Job { Job::new("orders") }
//! let job = job();
//! let kafka = Kafka::at("localhost:9092");
//! job.bind_input("orders", Input::Kafka(kafka.topic("orders").from(Start::Latest)));
//! job.bind_output("totals", Output::Kafka(kafka.output("totals").partitions(12)));
//! ```
//!
//! Reading order: `source` (partitions and positions), `partition` (one of them being read), `client` and `watch` (the
//! connection), `ffi` (what has no safe binding); `sink` and `rows` (records to be written), `admin` (the topic they go to),
//! `plain` (a producer without transactions).

mod admin;
mod asking;
mod assembly;
mod changelog;
mod checkpoint;
mod client;
mod config;
mod copies;
mod ended;
mod errors;
mod fate;
mod ffi;
mod figures;
mod filling;
mod healing;
mod input;
mod internal_topics;
mod judgement;
mod marker;
mod membership;
mod opening;
mod options;
mod output;
mod output_topic;
mod partition;
mod patience;
mod plain;
mod position;
mod reader;
mod rows;
mod session;
mod sink;
mod source;
mod source_offsets;
mod tails;
mod told;
mod transactions;
mod wanted;
mod watch;
mod written;

/// The places in opening a changelog and committing to it where a crash test ends the process, with
/// [`state::CRASH_POINTS`](crate::state::CRASH_POINTS).
#[cfg(feature = "failpoints")]
pub const CRASH_POINTS: [&str; 9] = [
    "kafka.fenced",
    "kafka.replayed",
    "kafka.claimed",
    "kafka.before_blocks",
    "kafka.before_markers",
    "kafka.before_drain",
    "kafka.before_offsets",
    "kafka.before_commit",
    "kafka.after_commit",
];

pub(crate) use changelog::Changelog;
pub(crate) use checkpoint::Checkpoint;
pub(crate) use internal_topics::{Appender, check_job_name, redrive_topic};
pub(crate) use session::{Local, Session};
pub(crate) use wanted::{Wanted, repartitioned};

pub use config::{Kafka, Sasl, Tls};
pub use input::{KafkaTopic, Start};
pub use output::KafkaOutput;
pub use sink::KafkaSink;
pub use source::KafkaSource;
