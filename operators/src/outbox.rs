//! What waits to be delivered to the world outside, as state.

mod attempt;

pub use attempt::{Attempt, Failure, FailureKind};
