//! Headwater: a stream-processing engine.

pub mod binding;
pub mod format;
pub mod sink;
pub mod source;
pub mod topic;

pub use headwater_operators::{Error, Kind, Result, Timestamp};

/// What a pipeline imports.
pub mod prelude {
    pub use crate::topic::Topic;
}
