//! Operators over batches of records, with no I/O, no clock and no thread of their own.

mod aggregate;
mod aggregates;
mod alert;
mod alerting;
mod batch;
mod branch;
#[cfg(feature = "columns")]
mod columns;
mod counter;
mod event_time;
mod exchange;
mod filter;
mod flat_map;
pub mod harness;
mod inspect;
mod keys;
mod lateness;
mod map;
mod merge;
mod message;
mod operator;
mod outbox;
mod pane;
mod predicate;
mod process;
mod records;
mod shared;
mod side;
mod tee;
pub mod time;
mod timers;
mod trigger;
mod window_aggregate;
mod windows;

pub use aggregate::{Aggregate, MergeAggregate};
pub use aggregates::{Avg, AvgState, Count, Fold, Max, Min, Number, Ordered, Sum};
pub use alert::{Alert, AlertStatus, Severity};
pub use alerting::{
    AlertGroup, AlertGroups, AlertRule, AlertSteps, GroupSteps, Rule, Silence, SilenceSteps, Silent, When as AlertWhen,
    ZScore,
};
pub use batch::Batch;
pub use branch::Branch;
#[cfg(feature = "columns")]
pub use columns::{ColumnKey, ColumnKeys, KeyColumn, TimeColumn};
pub use counter::Counter;
pub use event_time::{EventTime, Times};
pub use exchange::Exchange;
pub use filter::Filter;
pub use flat_map::FlatMap;
pub use headwater_state::{Error, Kind, Result};
pub use inspect::Inspect;
pub use keys::{BorrowedKeys, KeyBy, KeyByRef, Keying, MadeKeys};
pub use lateness::Lateness;
pub use map::Map;
pub use merge::{Merge, MergeInput};
pub use message::{Activity, Credit, Message, Origin};
pub use operator::{Chain, Operator, Output, Progress};
pub use outbox::{
    Answer, Attempt, Dead, Entry, Failure, FailureKind, LaneNews, Naming, OutboxCounts, OutboxPolicy, OutboxState,
    Outcome, Retry, Throttle, outbox_table,
};
pub use pane::{Late, Pane, PaneKind};
pub use predicate::Predicate;
pub use process::{Clock, Process, StepFns, Steps, Turn};
pub use records::Records;
pub use shared::Shared;
pub use side::{Fork, SideOutput};
pub use tee::Tee;
pub use time::Timestamp;
pub use trigger::{EarlyEvery, OnClose, OnUpdate, Once, Trigger, When};
pub use window_aggregate::{LateOutput, LateRecords, LateRows, Panes, WindowAggregate};
pub use windows::{Assigned, Tumbling, Window, Windows};
