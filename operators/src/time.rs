//! The one time domain: microseconds since the Unix epoch.

use std::fmt;
use std::time::Duration;

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// It is never made from a bare integer without saying the unit. In JSON it is RFC 3339 text; the modules
/// [`millis`], [`seconds`], [`micros`], [`millis_or_rfc3339`] and [`date`] give other encodings with
/// `#[serde(with = "…")]`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before everything.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch; the ends of time where that overflows.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds since the epoch; the ends of time where that overflows.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This much later; [`MAX`](Self::MAX) where that overflows.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }

    /// This much earlier; [`MIN`](Self::MIN) where that overflows. The ends of time stay where they are.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        if self == Self::MAX { self } else { Self(self.0.saturating_sub(micros_of(duration))) }
    }
}

/// A duration in whole microseconds; the largest where it overflows.
pub(crate) fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; `-∞` and `+∞` for the ends of time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-∞"),
            Self::MAX => f.write_str("+∞"),
            Self(micros) => match jiff::Timestamp::from_microsecond(micros) {
                Ok(time) => time.fmt(f),
                Err(_) => write!(f, "{micros}µs"),
            },
        }
    }
}
