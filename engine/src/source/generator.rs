//! Records made by a function of their number.

use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::{Partition, Poll, Polled, Random, Source, another};
use crate::{Error, Result, clock};

/// Makes records by number. Record `n` is a function of the seed and `n` and of nothing else, so that after a crash the
/// same records come again.
///
/// Without [`count`](Self::count) it never ends; without [`rate`](Self::rate) it is as fast as the job.
///
/// ```
/// use headwater::source::{Generator, Polled, Source};
/// let rolls = Generator::new(42, |n, random| (n, 1 + random.below(6))).count(3);
/// let mut polled = Polled::default();
/// rolls.open("0", None)?.poll(&mut polled, 1024)?;
/// assert_eq!(polled.records, [(0, 2), (1, 2), (2, 5)]);
/// # Ok::<(), headwater::Error>(())
/// ```
pub struct Generator<T, M> {
    seed: u64,
    make: Arc<M>,
    count: u64,
    rate: Option<f64>,
    partitions: NonZeroU64,
    records: PhantomData<fn() -> T>,
}

impl<T, M: Fn(u64, &mut Random) -> T + Send + Sync + 'static> Generator<T, M> {
    /// Makes record `n` with `make(n, random)`, where `random` is the same for the same `seed` and `n`.
    pub fn new(seed: u64, make: M) -> Self {
        let (count, partitions) = (u64::MAX, NonZeroU64::MIN);
        Self { seed, make: Arc::new(make), count, rate: None, partitions, records: PhantomData }
    }

    /// Ends after this many records, over all partitions.
    #[must_use]
    pub fn count(self, count: u64) -> Self {
        Self { count, ..self }
    }

    /// Makes this many records a second, over all partitions. What a job that was held up is behind is caught up with
    /// by at most a second's worth.
    ///
    /// # Panics
    /// Where the rate is not a positive number.
    #[must_use]
    pub fn rate(self, per_second: f64) -> Self {
        assert!(per_second.is_finite() && per_second > 0.0, "a rate is a positive number of records a second");
        Self { rate: Some(per_second), ..self }
    }

    /// Divides the records into partitions, by turns.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn partitions(self, partitions: u64) -> Self {
        Self { partitions: NonZeroU64::new(partitions).expect("a generator has a partition"), ..self }
    }
}

/// Where a partition stands: also what its records depend on.
#[derive(PartialEq, Serialize, Deserialize)]
struct Place {
    seed: u64,
    partitions: NonZeroU64,
    /// The number of its next record.
    next: u64,
}

impl<T: 'static, M: Fn(u64, &mut Random) -> T + Send + Sync + 'static> Source<T> for Generator<T, M> {
    fn describe(&self) -> String {
        let rate = self.rate.map_or_else(String::new, |rate| format!(", {rate} records/s"));
        format!("generator with seed {}{rate}", self.seed)
    }

    fn partitions(&self) -> Result<Vec<String>> {
        Ok((0..self.partitions.get()).map(|partition| partition.to_string()).collect())
    }

    fn open(&self, partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<T>>> {
        let Self { seed, partitions, count, .. } = *self;
        let first = partition.parse().ok().filter(|first| *first < partitions.get());
        let first = first.ok_or_else(|| Error::bug(format!("no partition {partition} of a generator")))?;
        let place = match position {
            None => Place { seed, partitions, next: first },
            Some(text) => serde_json::from_str(text).map_err(|_| another("a generator", text))?,
        };
        if (place.seed, place.partitions) != (seed, partitions) {
            return Err(Error::config(format!(
                "generator has seed {seed} and {partitions} partitions, and what was read came from seed {} and {} \
                 partitions: set them as they were, or start over with --fresh",
                place.seed, place.partitions
            )));
        }
        let share = partitions.get() as f64;
        let pace = self.rate.map(|rate| (Pace::new(rate / share), clock::now()));
        Ok(Box::new(Made { make: Arc::clone(&self.make), place, count, pace }))
    }
}

/// One partition.
struct Made<M> {
    make: Arc<M>,
    place: Place,
    count: u64,
    pace: Option<(Pace, Instant)>,
}

impl<T, M: Fn(u64, &mut Random) -> T> Partition<T> for Made<M> {
    fn poll(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<Poll> {
        let Self { make, place, count, pace } = self;
        if place.next >= *count {
            return Ok(Poll::End);
        }
        let due = match pace {
            None => u64::MAX,
            Some((pace, opened)) => match pace.due(opened.elapsed()) {
                Ok(due) => due,
                Err(wait) => return Ok(Poll::Wait(wait)),
            },
        };
        let left = (*count - place.next).div_ceil(place.partitions.get());
        let rows = left.min(due).min(rows_max as u64);
        polled.records.extend((0..rows).map(|row| {
            let number = place.next + row * place.partitions.get();
            make(number, &mut Random::new(place.seed, number))
        }));
        polled.bytes += rows as usize * size_of::<T>();
        place.next += rows * place.partitions.get();
        if let Some((pace, _)) = pace {
            pace.made(rows);
        }
        Ok(Poll::Records)
    }

    fn position(&self) -> String {
        serde_json::to_string(&self.place).expect("a place has string keys only")
    }
}
