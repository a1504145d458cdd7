//! The aggregates.

mod avg;
mod count;
mod extreme;
mod fold;
mod number;
mod sum;
mod tuple;

pub use avg::{Avg, AvgState};
pub use count::Count;
pub use extreme::{Max, Min, Ordered};
pub use fold::Fold;
pub use number::Number;
pub use sum::Sum;
