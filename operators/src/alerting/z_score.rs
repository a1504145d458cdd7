//! How unusual a value is, by the mean and the spread of those before it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::watch::Verdict;
use crate::time::micros_of;
use crate::{Shared, Timestamp};

/// What a baseline weighs after so many half-lives without a value is less than a thousandth: it is forgotten then.
const FORGET_HALF_LIVES: u32 = 10;

/// A condition on how unusual a value is: it lies more than so many standard deviations from the mean of the key's
/// values before it.
///
/// Mean and standard deviation are weighted: a value counts half as much after each half-life. With the weight
/// `w = 2^(-Δt / half-life)` by which everything fades since the last value, and `x` the new one:
///
/// ```text
/// z    = (x - mean) / √(S / W)        of the values before x
/// W'   = w W + 1
/// mean' = mean + (x - mean) / W'
/// S'   = w S + (x - mean) (x - mean')
/// ```
///
/// This is the weighted incremental algorithm of D. H. D. West (1979), as in T. Finch, *Incremental calculation of
/// weighted mean and variance* (2009), with fading weights. Values that come at uneven times or at the same time count
/// for what they are. Every value becomes part of the baseline, unusual ones too: a level that lasts becomes the usual
/// one within a few half-lives, and the alert resolves. Values that are no numbers are passed over.
#[must_use = "a condition does nothing by itself: give it to `.when_unusual(…)`"]
pub struct ZScore<T> {
    value: Box<dyn Fn(&T) -> f64 + Send + Sync>,
    beyond: f64,
    back_within: f64,
    side: Side,
    half_life: Duration,
    samples_min: u64,
    spread_min: f64,
}

#[derive(Clone, Copy)]
enum Side {
    Both,
    Upper,
    Lower,
}

impl<T> ZScore<T> {
    /// Unusual is what lies more than `beyond` standard deviations from the mean, to either side.
    pub fn of(value: impl Fn(&T) -> f64 + Shared, beyond: f64) -> Self {
        let hour = Duration::from_secs(3600);
        let (value, side) = (Box::new(value), Side::Both);
        Self { value, beyond, back_within: beyond, side, half_life: hour, samples_min: 30, spread_min: 0.0 }
    }

    /// What fires resolves only within so many standard deviations: less than those at which it fires.
    pub fn until_within(mut self, deviations: f64) -> Self {
        self.back_within = deviations;
        self
    }

    /// Only what lies above the mean is unusual.
    pub fn above(mut self) -> Self {
        self.side = Side::Upper;
        self
    }

    /// Only what lies below the mean is unusual.
    pub fn below(mut self) -> Self {
        self.side = Side::Lower;
        self
    }

    /// After how long a value counts half as much: one hour unless said.
    pub fn half_life(mut self, half_life: Duration) -> Self {
        self.half_life = half_life;
        self
    }

    /// Nothing is unusual before a key has so many values: 30 unless said.
    pub fn min_samples(mut self, samples: u64) -> Self {
        self.samples_min = samples;
        self
    }

    /// The least standard deviation to reckon with, in the unit of the value: so that a value that was always the same
    /// is not unusual when it moves a little. Zero unless said.
    pub fn spread_at_least(mut self, spread: f64) -> Self {
        self.spread_min = spread;
        self
    }

    pub(super) fn remember_for(&self) -> Duration {
        self.half_life.saturating_mul(FORGET_HALF_LIVES)
    }

    pub(super) fn half_life_of(&self) -> Duration {
        self.half_life
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !(self.beyond.is_finite() && self.beyond > 0.0) {
            mistakes.push(format!("a z-score beyond {} is nothing: it is a number above 0, such as 3", self.beyond));
        }
        if !(self.back_within > 0.0 && self.back_within <= self.beyond) {
            mistakes.push(format!("`.until_within({})` is not within {}", self.back_within, self.beyond));
        }
        if self.samples_min < 2 {
            mistakes.push(format!("`.min_samples({})` tells no spread: two are the least", self.samples_min));
        }
        if !(self.spread_min.is_finite() && self.spread_min >= 0.0) {
            mistakes.push(format!("`.spread_at_least({})` is no spread", self.spread_min));
        }
        mistakes
    }

    /// What a record's value is, by the baseline before it, which then has it. And what to say of it.
    pub(super) fn judge(&self, record: &T, now: Timestamp, known: &mut Option<Baseline>) -> (Verdict, Usual) {
        let value = (self.value)(record);
        if !value.is_finite() {
            return (Verdict::Between, Usual::default());
        }
        let baseline = known.get_or_insert_default();
        let usual = Usual { mean: baseline.mean, spread: baseline.spread(self.spread_min), z: 0.0 };
        let usual = Usual { z: usual.z_of(value), ..usual };
        let judged = baseline.samples >= self.samples_min;
        baseline.add(value, now, self.half_life);
        let far = match self.side {
            Side::Both => usual.z.abs(),
            Side::Upper => usual.z,
            Side::Lower => -usual.z,
        };
        let verdict = match far {
            _ if !judged => Verdict::Between,
            far if far > self.beyond => Verdict::Bad,
            far if far <= self.back_within => Verdict::Good,
            _ => Verdict::Between,
        };
        (verdict, usual)
    }
}

/// What a value was compared with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usual {
    mean: f64,
    spread: f64,
    z: f64,
}

impl Usual {
    fn z_of(&self, value: f64) -> f64 {
        let off = value - self.mean;
        // Of a value that never moved, any other is as far away as can be.
        if off == 0.0 { 0.0 } else { off / self.spread }
    }

    /// For people.
    pub fn annotations(&self) -> [(String, String); 2] {
        let number = |number: f64| format!("{number:.4}").trim_end_matches('0').trim_end_matches('.').to_owned();
        let usual = format!("{} ± {}", number(self.mean), number(self.spread));
        [("z_score".to_owned(), format!("{:.1}", self.z)), ("usual".to_owned(), usual)]
    }
}

/// Mean and spread of a key's values, fading.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    samples: u64,
    weight: f64,
    mean: f64,
    squares: f64,
    at: Timestamp,
}

impl Baseline {
    fn spread(&self, at_least: f64) -> f64 {
        let variance = if self.weight > 0.0 { self.squares / self.weight } else { 0.0 };
        variance.max(0.0).sqrt().max(at_least)
    }

    fn add(&mut self, value: f64, now: Timestamp, half_life: Duration) {
        let passed = now.as_micros().saturating_sub(self.at.as_micros()).max(0);
        let kept = if self.samples == 0 { 0.0 } else { (-(passed as f64) / micros_of(half_life).max(1) as f64).exp2() };
        self.weight = self.weight * kept + 1.0;
        let off = value - self.mean;
        self.mean += off / self.weight;
        self.squares = self.squares * kept + off * (value - self.mean);
        self.samples = self.samples.saturating_add(1);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn without_fading_it_is_the_mean_and_the_standard_deviation() {
        let mut baseline = Baseline::default();
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            baseline.add(value, at(1_000), Duration::from_secs(60));
        }
        assert!((baseline.mean - 5.0).abs() < 1e-12 && (baseline.spread(0.0) - 2.0).abs() < 1e-12, "{baseline:?}");
        assert_eq!(Usual { mean: 5.0, spread: 2.0, z: 0.0 }.z_of(11.0), 3.0);
    }

    #[test]
    fn after_a_half_life_a_value_counts_half() {
        let values = [(0, 1.0), (60, 3.0), (90, 10.0), (240, -4.0)];
        let mut baseline = Baseline::default();
        for (second, value) in values {
            baseline.add(value, at(second), Duration::from_secs(60));
        }
        let weigh = |second: i64| (-((240 - second) as f64) / 60.0).exp2();
        let weight: f64 = values.iter().map(|(second, _)| weigh(*second)).sum();
        let mean = values.iter().map(|(second, value)| weigh(*second) * value).sum::<f64>() / weight;
        let square = |(second, value): &(i64, f64)| weigh(*second) * (value - mean).powi(2);
        let spread = (values.iter().map(square).sum::<f64>() / weight).sqrt();
        assert!((baseline.mean - mean).abs() < 1e-9, "{} for {mean}", baseline.mean);
        assert!((baseline.spread(0.0) - spread).abs() < 1e-9, "{} for {spread}", baseline.spread(0.0));
    }

    #[test]
    fn what_never_moved_is_unusual_when_it_does_unless_a_spread_is_given() {
        let strict = ZScore::of(|value: &f64| *value, 3.0).min_samples(2);
        let lenient = ZScore::of(|value: &f64| *value, 3.0).min_samples(2).spread_at_least(1.0);
        for (score, expected) in [(strict, Verdict::Bad), (lenient, Verdict::Good)] {
            let mut known = None;
            for second in 0..3 {
                score.judge(&7.0, at(second), &mut known);
            }
            assert_eq!(score.judge(&7.0, at(3), &mut known).0, Verdict::Good);
            assert_eq!(score.judge(&f64::NAN, at(3), &mut known).0, Verdict::Between);
            assert_eq!(score.judge(&7.5, at(4), &mut known).0, expected);
        }
    }
}
