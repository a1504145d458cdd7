//! How far behind the newest record others may come.

use std::time::Duration;

/// How far behind the newest record of its source partition a record may be and still be in time.
///
/// ```
/// use std::time::Duration;
/// use headwater_operators::Lateness;
/// assert_eq!(Lateness::minutes(5), Lateness::of(Duration::from_secs(300)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lateness(Duration);

impl Lateness {
    /// Records come in the order of their times.
    pub const NONE: Self = Self(Duration::ZERO);

    /// This many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// This many minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes.saturating_mul(60)))
    }

    /// This many hours.
    pub const fn hours(hours: u64) -> Self {
        Self(Duration::from_secs(hours.saturating_mul(3600)))
    }

    /// Any duration, counted in whole microseconds.
    pub const fn of(duration: Duration) -> Self {
        Self(duration)
    }

    /// It as a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}
