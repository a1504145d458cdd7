//! Headwater: stream processing as a library. A pipeline is ordinary Rust; running it gives a process that reads its
//! inputs, keeps keyed and windowed state, and commits outputs, state and input positions together, so that every
//! result is written exactly once.
//!
//! Begin with [`Job`]; `headwater::prelude::*` has all that a pipeline needs. Reading order of the engine itself:
//! `graph` (what the DSL writes down), `build` and `worker` (one thread's share), `coordinator` (epochs and commits).

mod admission;
mod alerting;
mod attempt;
mod bad_record;
pub mod binding;
mod build;
mod cli;
mod clock;
mod commit_record;
pub mod connectors;
mod coordinator;
mod explain;
mod fields;
mod figures;
pub mod format;
mod graph;
mod http;
mod job;
mod job_state;
#[cfg(feature = "kafka")]
pub mod kafka;
mod keyed;
mod late;
mod letters;
#[cfg(feature = "live")]
mod live;
mod options;
mod outbox;
mod plan;
pub mod prelude;
pub mod progress;
mod received;
mod report;
mod rotation;
mod run;
mod signals;
pub mod sink;
mod sink_task;
pub mod source;
mod source_task;
mod state_dir;
mod stream;
mod topic;
mod window_node;
mod windowed;
mod worker;

/// The code of the README and the pages compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/guide.md")]
#[doc = include_str!("../../docs/alerts.md")]
#[doc = include_str!("../../docs/dead-letters.md")]
#[doc = include_str!("../../docs/delivery.md")]
#[cfg_attr(feature = "alertmanager", doc = include_str!("../../docs/alertmanager.md"))]
#[cfg_attr(feature = "email", doc = include_str!("../../docs/email.md"))]
#[cfg_attr(feature = "pagerduty", doc = include_str!("../../docs/pagerduty.md"))]
#[cfg_attr(feature = "slack", doc = include_str!("../../docs/slack.md"))]
#[cfg_attr(feature = "webhook", doc = include_str!("../../docs/webhook.md"))]
struct Pages;

pub use alerting::GroupedAlerts;
pub use bad_record::BadRecords;
pub use connectors::Connector;
pub use headwater_operators as operators;
pub use headwater_operators::time;
pub use headwater_state as state;
pub use headwater_state::{Error, Kind, Result};
pub use job::Job;
pub use keyed::KeyedStream;
pub use letters::{DeadLetter, LetterHeader, LetterKind, LetterOrigin, Lettered};
pub use options::{Delivery, RunOptions};
#[cfg(feature = "failpoints")]
pub use outbox::OUTBOX_CRASH_POINTS;
pub use outbox::Outbox;
pub use received::Received;
pub use run::{Control, Summary};
pub use stream::Stream;
pub use topic::Topic;
pub use windowed::{Aggregated, PaneStream, WindowedStream};
