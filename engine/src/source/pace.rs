//! How many records a rate allows by now.

use std::time::Duration;

/// However long nothing was made, this many seconds' worth is caught up with.
const CATCH_UP_SECONDS: f64 = 1.0;

/// It is not worth while to come back sooner.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// It is come back at least this often.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// A rate, and what of it was not used yet.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    unused: f64,
    last: Duration,
}

impl Pace {
    pub fn new(per_second: f64) -> Self {
        Self { per_second, unused: 0.0, last: Duration::ZERO }
    }

    /// How many records may be made `now`, counted from the start; or how long to wait for the first.
    pub fn due(&mut self, now: Duration) -> Result<u64, Duration> {
        let passed = now.saturating_sub(self.last).as_secs_f64();
        // Less than one record a second is not too little to save up for one.
        let most = (self.per_second * CATCH_UP_SECONDS).max(1.0);
        self.unused = (self.unused + passed * self.per_second).min(most);
        self.last = now;
        if self.unused >= 1.0 {
            return Ok(self.unused as u64);
        }
        let wait = Duration::try_from_secs_f64((1.0 - self.unused) / self.per_second).unwrap_or(WAIT_MAX);
        Err(wait.clamp(WAIT_MIN, WAIT_MAX))
    }

    /// Uses what was due.
    pub fn made(&mut self, records: u64) {
        self.unused -= records as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_is_kept_over_uneven_polls() {
        let mut pace = Pace::new(1_000.0);
        let (mut now, mut made) = (Duration::ZERO, 0);
        for step in 0..20_000 {
            now += Duration::from_micros(step % 7 * 100);
            if let Ok(due) = pace.due(now) {
                made += due;
                pace.made(due);
            }
        }
        let expected = now.as_millis() as u64;
        assert!(made.abs_diff(expected) <= 1, "{made} of {expected}");
    }

    #[test]
    fn a_wait_ends_when_a_record_is_due() {
        let mut pace = Pace::new(2.0);
        assert_eq!(pace.due(Duration::ZERO), Err(SECOND / 2));
        assert_eq!(pace.due(SECOND / 2), Ok(1));
    }

    #[test]
    fn a_wait_is_bounded() {
        assert_eq!(Pace::new(1e6).due(Duration::ZERO), Err(WAIT_MIN));
        let mut slow = Pace::new(0.25);
        assert_eq!(slow.due(SECOND), Err(WAIT_MAX));
        assert_eq!(slow.due(SECOND * 4), Ok(1));
    }

    #[test]
    fn at_most_a_second_is_caught_up_with() {
        let mut pace = Pace::new(100.0);
        assert_eq!(pace.due(SECOND * 3600), Ok(100));
    }
}
