//! Alerts as streams: rules that turn measurements into alerts which fire and resolve, and messages that group them.

mod alerts;
mod groups;
mod notice;
mod rule;
mod silence;
mod watch;
mod z_score;

pub use alerts::{AlertRule, AlertSteps, When};
pub use groups::{AlertGroup, AlertGroups, GroupSteps};
pub use rule::Rule;
pub use silence::{Silence, SilenceSteps, Silent};
pub use z_score::ZScore;
