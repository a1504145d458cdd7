//! When the next attempt comes, and how many there are; how many items go out in a second.

use std::time::Duration;

use headwater_state::hash_bytes;

use crate::Timestamp;

/// When attempts are made, and how many. After the last one has failed the item goes to the dead letters.
///
/// ```
/// use std::time::Duration;
/// use headwater_operators::Retry;
///
/// assert_eq!(Retry::default().attempts(), 4); // at once, after 1 s, after 5 s more, after 30 s more
/// let patient = Retry::exponential(Duration::from_secs(2), 10).at_most(Duration::from_secs(600));
/// assert_eq!(patient.attempts(), 10);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The wait before each attempt, the first included.
    waits: Vec<Duration>,
    /// Each wait is longer or shorter by up to this share of it.
    jitter: f64,
}

impl Default for Retry {
    /// At once, and then after 1 s, 5 s and 30 s.
    fn default() -> Self {
        Self::schedule([0, 1, 5, 30].map(Duration::from_secs))
    }
}

impl Retry {
    /// An attempt after each of these waits; the first is that before the first attempt.
    pub fn schedule(waits: impl IntoIterator<Item = Duration>) -> Self {
        Self { waits: waits.into_iter().collect(), jitter: 0.0 }
    }

    /// So many attempts: the first at once, the second after `first`, each further one after twice the wait, up to an
    /// hour, each wait longer or shorter by up to a tenth.
    pub fn exponential(first: Duration, attempts: u32) -> Self {
        const WAIT_MAX: Duration = Duration::from_secs(3600);
        let waits = (0..attempts).map(|attempt| match attempt {
            0 => Duration::ZERO,
            later => first.saturating_mul(1u32.checked_shl(later - 1).unwrap_or(u32::MAX)).min(WAIT_MAX),
        });
        Self { waits: waits.collect(), jitter: 0.1 }
    }

    /// One attempt, and none after it.
    pub fn never() -> Self {
        Self::schedule([Duration::ZERO])
    }

    /// The same, with no wait longer than this.
    #[must_use]
    pub fn at_most(mut self, wait: Duration) -> Self {
        self.waits.iter_mut().for_each(|each| *each = (*each).min(wait));
        self
    }

    /// The same, each wait longer or shorter by up to this share of it, from 0 to 1: so that items that failed together
    /// do not come again together.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share.clamp(0.0, 1.0);
        self
    }

    /// How many attempts there are.
    pub fn attempts(&self) -> u32 {
        self.waits.len() as u32
    }

    /// The wait before attempt `number` of item `seq`; `None` where there is none. The same each time it is asked.
    pub(super) fn wait(&self, seq: u64, number: u32) -> Option<Duration> {
        let wait = *self.waits.get(number.checked_sub(1)? as usize)?;
        if self.jitter == 0.0 {
            return Some(wait);
        }
        let bytes = [seq.to_be_bytes(), u64::from(number).to_be_bytes()].concat();
        let share = (hash_bytes(&bytes) >> 11) as f64 / (1u64 << 53) as f64;
        Some(wait.mul_f64(1.0 + self.jitter * (2.0 * share - 1.0)))
    }
}

/// How many attempts are begun in a second, and how many at once after a quiet time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    interval_micros: f64,
    burst: u32,
}

/// What was held up is behind, and catches up, by at most so much.
const BEHIND_MAX: Duration = Duration::from_millis(500);

impl Throttle {
    /// So many a second, evenly: one at a time below ten, a tenth of a second's at once above.
    pub fn per_second(attempts: f64) -> Self {
        Self { interval_micros: 1e6 / attempts, burst: ((attempts / 10.0) as u32).max(1) }
    }

    /// So many a minute.
    pub fn per_minute(attempts: f64) -> Self {
        Self { burst: 1, ..Self::per_second(attempts / 60.0) }
    }

    /// The same, with so many at once after a quiet time.
    #[must_use]
    pub fn burst(mut self, attempts: u32) -> Self {
        self.burst = attempts.max(1);
        self
    }

    /// Whether its rate is one.
    pub(super) fn is_sound(&self) -> bool {
        self.interval_micros.is_finite() && self.interval_micros > 0.0
    }

    /// The generic cell rate algorithm (ITU-T I.371): `arrival` is when the next attempt was due if they came evenly.
    /// When the one after this would be, if this one may go now.
    ///
    /// One that was `held` back at a time before counts as gone when it was due and not when that was seen: the clock is
    /// looked at now and then only, and the rate would be lower by what lies between.
    pub(super) fn admit(&self, arrival: i64, held: Option<Timestamp>, now: Timestamp) -> Option<i64> {
        let since = held.unwrap_or(now).as_micros().max(now.as_micros().saturating_sub(BEHIND_MAX.as_micros() as i64));
        let due = arrival.max(since);
        let ahead = (due - now.as_micros()) as f64;
        if ahead > self.interval_micros * f64::from(self.burst - 1) {
            return None;
        }
        Some(due.saturating_add(self.interval_micros.ceil() as i64))
    }
}

impl std::fmt::Display for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} a second", 1e6 / self.interval_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_at_once_then_1_5_and_30_seconds() {
        let waits: Vec<_> = (0..6).map(|number| Retry::default().wait(7, number)).collect();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(waits, [None, seconds(0), seconds(1), seconds(5), seconds(30), None]);
    }

    #[test]
    fn exponential_waits_double_within_their_jitter_and_differ_between_items() {
        let retry = Retry::exponential(Duration::from_secs(1), 40).at_most(Duration::from_secs(60));
        for number in 2..=40u32 {
            let expected = 2f64.powi(number as i32 - 2).min(60.0);
            let wait = retry.wait(3, number).unwrap().as_secs_f64();
            assert!((wait / expected - 1.0).abs() <= 0.1 + 1e-9, "{number}: {wait}");
            assert_eq!(retry.wait(3, number), retry.wait(3, number));
        }
        assert_ne!(retry.wait(3, 5), retry.wait(4, 5));
        assert_eq!(retry.wait(3, 41), None);
    }

    #[test]
    fn a_throttle_lets_a_burst_through_and_then_its_rate() {
        let throttle = Throttle::per_second(10.0).burst(5);
        let (mut arrival, mut admitted) = (0, Vec::new());
        for millis in (0..2_000).step_by(50) {
            let now = Timestamp::from_millis(1_000_000 + millis);
            let mut admit = |_: &i32| throttle.admit(arrival, None, now).map(|next| arrival = next).is_some();
            admitted.push((0..100).take_while(|at| admit(at)).count());
        }
        assert_eq!(admitted[0], 5);
        let total: usize = admitted.iter().sum();
        assert!((24..=25).contains(&total), "5 at once and 10 a second: {total}");
    }

    #[test]
    fn a_throttle_keeps_its_rate_however_seldom_the_clock_is_looked_at() {
        for (rate, tick) in [(3.0, 50), (15.0, 50), (19.0, 50), (15.0, 400), (800.0, 400), (5_000.0, 50)] {
            let throttle = Throttle::per_second(rate);
            let (mut arrival, mut held, mut admitted) = (0, None, 0);
            for millis in (0..100_000).step_by(tick) {
                let now = Timestamp::from_millis(1_000_000 + millis);
                while let Some(next) = throttle.admit(arrival, held, now) {
                    arrival = next;
                    admitted += 1;
                }
                held = Some(now);
            }
            let expected = rate * 100.0;
            assert!((f64::from(admitted) / expected - 1.0).abs() < 0.02, "{admitted} of {expected} every {tick} ms");
        }
    }

    #[test]
    fn who_was_held_up_catches_up_by_half_a_second_at_most_and_who_had_nothing_by_nothing() {
        let throttle = Throttle::per_second(5.0);
        let (begun, later) = (Timestamp::from_seconds(1_000), Timestamp::from_seconds(1_060));
        let at_once = |held| {
            let mut arrival = throttle.admit(0, None, begun).expect("it is the first");
            (0..100).take_while(|_| throttle.admit(arrival, held, later).map(|next| arrival = next).is_some()).count()
        };
        assert_eq!(at_once(Some(begun)), 3);
        assert_eq!(at_once(None), 1);
    }
}
