//! Windows: which stretches of time a row counts in.

use std::time::Duration;

use headwater_state::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::time::{micros_of, span};

/// A stretch of time: `start` is in it, `end` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// The first moment in it.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// A row and the end of a window that it counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The row.
    pub row: u32,
    /// The window's end, which names the window.
    pub end: Timestamp,
}

/// Says which windows a time is in. A window is named by its end: windows that end together begin together.
pub trait Windows: Send + Sync + 'static {
    /// Appends the windows of every row, in the order of rows, and per row in the order of their ends.
    fn assign(&self, times: &[Timestamp], assigned: &mut Vec<Assigned>);

    /// The window that ends at `end`.
    fn ending(&self, end: Timestamp) -> Window;

    /// What the stored panes depend on: `tumbling 1 day`. Another shape is another table.
    fn shape(&self) -> String;

    /// Whether there can be such windows.
    ///
    /// # Errors
    /// `Config` where there cannot, with the remedy.
    fn check(&self) -> Result<()>;
}

/// Windows of one length, each beginning where the last one ends, aligned to 1970-01-01T00:00:00Z.
///
/// ```
/// use std::time::Duration;
/// use headwater_operators::{Timestamp, Tumbling, Windows};
///
/// let starts = |windows: Tumbling, time: &str| -> Result<String, headwater_operators::Error> {
///     let mut assigned = Vec::new();
///     windows.assign(&[time.parse()?], &mut assigned);
///     Ok(windows.ending(assigned[0].end).start.to_string())
/// };
/// assert_eq!(starts(Tumbling::minutes(15), "2026-03-01T10:59:59Z")?, "2026-03-01T10:45:00Z");
/// // Days that begin at 06:00 UTC.
/// let shifts = Tumbling::days(1).offset(Duration::from_secs(6 * 3600));
/// assert_eq!(starts(shifts, "2026-03-01T05:00:00Z")?, "2026-02-28T06:00:00Z");
/// # Ok::<(), headwater_operators::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tumbling {
    length_us: i64,
    offset_us: i64,
}

impl Tumbling {
    /// Windows of this many seconds.
    pub fn seconds(seconds: u64) -> Self {
        Self::of(Duration::from_secs(seconds))
    }

    /// Windows of this many minutes.
    pub fn minutes(minutes: u64) -> Self {
        Self::of(Duration::from_secs(minutes.saturating_mul(60)))
    }

    /// Windows of this many hours.
    pub fn hours(hours: u64) -> Self {
        Self::of(Duration::from_secs(hours.saturating_mul(3_600)))
    }

    /// Windows of this many days of 24 hours, in UTC.
    pub fn days(days: u64) -> Self {
        Self::of(Duration::from_secs(days.saturating_mul(86_400)))
    }

    /// Windows of any length, in whole microseconds.
    pub fn of(length: Duration) -> Self {
        Self { length_us: micros_of(length), offset_us: 0 }
    }

    /// Every window begins this much later.
    #[must_use]
    pub fn offset(self, offset: Duration) -> Self {
        Self { offset_us: micros_of(offset).checked_rem(self.length_us).unwrap_or(0), ..self }
    }

    /// The window that `time` is in.
    pub fn window(&self, time: Timestamp) -> Window {
        let (time, length) = (i128::from(time.as_micros()), i128::from(self.length_us.max(1)));
        let start = time - (time - i128::from(self.offset_us)).rem_euclid(length);
        Window { start: clamped(start), end: clamped(start + length) }
    }
}

fn clamped(micros: i128) -> Timestamp {
    Timestamp::from_micros(micros.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
}

impl Windows for Tumbling {
    fn assign(&self, times: &[Timestamp], assigned: &mut Vec<Assigned>) {
        assigned.reserve(times.len());
        // Rows that follow each other are mostly in the same window.
        let mut last = Window { start: Timestamp::MAX, end: Timestamp::MIN };
        for (row, &time) in (0..).zip(times) {
            if time < last.start || time >= last.end {
                last = self.window(time);
            }
            assigned.push(Assigned { row, end: last.end });
        }
    }

    fn ending(&self, end: Timestamp) -> Window {
        Window { start: clamped(i128::from(end.as_micros()) - i128::from(self.length_us)), end }
    }

    fn shape(&self) -> String {
        match self.offset_us {
            0 => format!("tumbling {}", span(Duration::from_micros(self.length_us.unsigned_abs()))),
            offset => {
                let [length, offset] =
                    [self.length_us, offset].map(|us| span(Duration::from_micros(us.unsigned_abs())));
                format!("tumbling {length} offset {offset}")
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.length_us == 0 {
            return Err(Error::config("a tumbling window has no length: give it at least one microsecond"));
        }
        Ok(())
    }
}
