//! What a run is at.

use std::fmt;

/// What a run is at. Whoever brings it there says so with [`Progress::enter`](super::Progress::enter).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Inputs, state and outputs are being opened.
    #[default]
    Opening,
    /// State is being read back.
    Restoring {
        /// Records that are read.
        done: u64,
        /// Records that there are, as far as is known.
        total: u64,
    },
    /// Another process runs the job; this one takes over when it goes.
    StandingBy,
    /// Something outside is away, and this is what: the run goes back to the last commit and opens again.
    Waiting(String),
    /// Records are being processed.
    Running,
    /// The last epoch is committed, and everything is being closed.
    Stopping,
    /// The run cannot go on, and this is why.
    Failed(String),
}

impl Phase {
    /// Of every phase.
    pub const NAMES: [&'static str; 7] =
        ["opening", "restoring", "standing by", "waiting", "running", "stopping", "failed"];

    /// One word or two.
    pub fn name(&self) -> &'static str {
        let at = match self {
            Self::Opening => 0,
            Self::Restoring { .. } => 1,
            Self::StandingBy => 2,
            Self::Waiting(_) => 3,
            Self::Running => 4,
            Self::Stopping => 5,
            Self::Failed(_) => 6,
        };
        Self::NAMES[at]
    }
}

impl fmt::Display for Phase {
    /// `restoring 40 %`, `waiting: Kafka at localhost:9092 does not answer`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Restoring { done, total } if *total > 0 => {
                write!(f, " {} %", u128::from(*done.min(total)) * 100 / u128::from(*total))
            }
            Self::Waiting(reason) | Self::Failed(reason) => write!(f, ": {}", reason.replace('\n', "; ")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_told_in_one_line() {
        let shown = [
            Phase::Opening,
            Phase::Restoring { done: 0, total: 0 },
            Phase::Restoring { done: 2, total: 5 },
            Phase::Restoring { done: u64::MAX, total: u64::MAX - 1 },
            Phase::StandingBy,
            Phase::Waiting("no broker\nhelp: start one".into()),
        ]
        .map(|phase| phase.to_string());
        let lines = ["opening", "restoring", "restoring 40 %", "restoring 100 %", "standing by"];
        assert_eq!(shown[..5], lines);
        assert_eq!(shown[5], "waiting: no broker; help: start one");
    }
}
