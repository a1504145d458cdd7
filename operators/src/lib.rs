//! Operators over batches of records, with no I/O, no clock and no thread of their own.

mod message;
mod operator;
mod records;
mod time;

pub use headwater_state::{Error, Kind, Result};
pub use message::{Activity, Batch, Credit, Message, Origin};
pub use operator::{Chain, Operator, Output, Progress};
pub use records::Records;
pub use time::Timestamp;
