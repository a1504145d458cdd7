//! How long opening waits for transactions that others have open, and what it says meanwhile.

use std::time::{Duration, Instant};

use crate::progress::{Phase, Progress};
use crate::{Error, Result, clock};

/// What is waited for is said so often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A wait that is told of, and has an end.
pub(super) struct Patience<'a> {
    progress: &'a Progress,
    began: Instant,
    limit: Duration,
    said: Instant,
    has_said: bool,
}

impl<'a> Patience<'a> {
    pub fn new(progress: &'a Progress, limit: Duration) -> Self {
        let began = clock::now();
        Self { progress, began, limit, said: began, has_said: false }
    }

    /// Says what is waited for, now and then. `remedy` ends the error.
    ///
    /// # Errors
    /// `Unavailable` where it has taken too long.
    pub fn wait_for(&mut self, what: impl Into<String>, remedy: impl FnOnce() -> String) -> Result<()> {
        let what = what.into();
        let now = clock::now();
        let waited = now - self.began;
        if waited >= self.limit {
            return Err(Error::unavailable(format!("waited {} s for {what}; {}", waited.as_secs(), remedy())));
        }
        if now - self.said >= SAY_EVERY {
            self.said = now;
            self.has_said = true;
            tracing::warn!("waiting for {what} since {} s", waited.as_secs());
            self.progress.enter(Phase::Waiting(what));
        }
        Ok(())
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if self.has_said {
            self.progress.enter(Phase::Opening);
        }
    }
}

/// What to do about a transaction that stays open.
pub(super) fn remedy(brokers: &str) -> String {
    format!(
        "kafka-transactions --bootstrap-server {brokers} find-hanging --broker-id ID says which transactions the brokers have \
         lost sight of, as Kafka 4.1 to 4.4 do where partitions had no leader during a commit (KAFKA-20734); once none of the \
         job's instances runs, kafka-transactions abort ends them, with what they wrote"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_too_long_says_for_what_and_what_to_do() {
        let progress = Progress::default();
        let remedy = || "look at it".to_owned();
        Patience::new(&progress, Duration::from_secs(9)).wait_for("a door", remedy).unwrap();
        let error = Patience::new(&progress, Duration::ZERO).wait_for("a door", remedy).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("waited 0 s for a door") && text.ends_with("look at it"), "{text}");
    }
}
