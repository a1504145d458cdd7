//! All that a pipeline needs, in one line: `use headwater::prelude::*;`.

pub use std::process::ExitCode;
pub use std::time::Duration;

pub use headwater_operators::{
    Alert, AlertGroup, AlertRule, AlertStatus, Attempt, Avg, Clock, Count, Failure, Fold, Late, Lateness, Max, Min,
    Pane, PaneKind, Retry, Severity, Silence, Sum, Throttle, Timestamp, Tumbling, Turn, Window, ZScore,
};
pub use headwater_state::{Key, Table, Text};

pub use crate::binding::{Input, Output};
#[cfg(feature = "kafka")]
pub use crate::kafka::Kafka;
pub use crate::sink::Captured;
pub use crate::source::{Feed, Generator, Random, Records as Rows, channel};
pub use crate::{
    Aggregated, BadRecords, Connector, Control, DeadLetter, Delivery, Error, Job, KeyedStream, Kind, Outbox, Result,
    RunOptions, Stream, Summary, Topic, WindowedStream,
};
