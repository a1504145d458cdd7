//! How fast records came, over the last minutes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One bar of the sparkline.
const BAR: Duration = Duration::from_millis(500);
/// As many as the widest terminal shows.
const BARS_MAX: usize = 512;
/// The rate in figures is over this many bars, so that it can be read.
const RATE_BARS: usize = 4;

/// Records per bar of time.
pub(super) struct History {
    bar_began: Instant,
    records_then: u64,
    /// Records per second, oldest first.
    bars: VecDeque<u64>,
}

impl History {
    pub fn new(now: Instant, records: u64) -> Self {
        Self { bar_began: now, records_then: records, bars: VecDeque::new() }
    }

    /// Learns how many records there are by now.
    pub fn add(&mut self, now: Instant, records: u64) {
        let span = now.saturating_duration_since(self.bar_began);
        if span < BAR {
            return;
        }
        let new = records.saturating_sub(self.records_then);
        self.bars.push_back((new as f64 / span.as_secs_f64()).round() as u64);
        if self.bars.len() > BARS_MAX {
            self.bars.pop_front();
        }
        (self.bar_began, self.records_then) = (now, records);
    }

    /// The newest bars, oldest of them first.
    pub fn newest(&self, bars: usize) -> Vec<u64> {
        self.bars.iter().skip(self.bars.len().saturating_sub(bars)).copied().collect()
    }

    /// Records per second, lately.
    pub fn per_second(&self) -> f64 {
        let lately = self.newest(RATE_BARS);
        lately.iter().sum::<u64>() as f64 / lately.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_over_the_last_bars() {
        let start = crate::clock::now();
        let mut history = History::new(start, 0);
        for tenth in 1..=60 {
            // 100 records a second at first, then 1,000.
            let records = if tenth <= 30 { tenth * 10 } else { 300 + (tenth - 30) * 100 };
            history.add(start + Duration::from_millis(100 * tenth), records);
        }
        assert_eq!(history.newest(3), [1_000, 1_000, 1_000]);
        assert_eq!(history.newest(100).first(), Some(&100));
        assert_eq!(history.per_second(), 1_000.0);
    }
}
