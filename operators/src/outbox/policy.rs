//! How an outbox delivers, and what its items are called.

use std::sync::Arc;
use std::time::Duration;

use headwater_state::{Error, Note, Result, Text};

use super::{Retry, Throttle};

/// How an outbox delivers.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxPolicy {
    /// When attempts are made, and how many.
    pub retry: Retry,
    /// How many attempts are begun in a second; `None` is as many as can be.
    pub throttle: Option<Throttle>,
    /// Items that have waited for longer go to the dead letters.
    pub max_age: Duration,
    /// How many items wait at most before the source pauses.
    pub bound: usize,
    /// Whether items are delivered at all: `false` leaves them out, and counts them.
    pub delivers: bool,
}

impl Default for OutboxPolicy {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            throttle: None,
            max_age: Duration::from_secs(86_400),
            bound: 100_000,
            delivers: true,
        }
    }
}

impl OutboxPolicy {
    /// What is wrong with it, in words.
    pub fn mistake(&self) -> Option<&'static str> {
        match self {
            Self { retry, .. } if retry.attempts() == 0 => Some("its retry schedule has no attempt"),
            Self { throttle: Some(throttle), .. } if !throttle.is_sound() => Some("its throttle lets nothing through"),
            Self { bound: 0, .. } => Some("its bound is 0"),
            Self { max_age: Duration::ZERO, .. } => Some("its greatest age is 0"),
            _ => None,
        }
    }
}

type Name<T, N> = Arc<dyn Fn(&T) -> N + Send + Sync>;

/// What the items of an outbox are called.
pub struct Naming<T> {
    /// What keys begin with that have no name of their own: unique to the job.
    pub job: String,
    /// The idempotency key; `None` is job, outbox and number.
    pub key: Option<Name<T, String>>,
    /// Items with the same text are delivered one after the other.
    pub order: Option<Name<T, Option<Text>>>,
    /// The highest goes first.
    pub priority: Option<Name<T, u8>>,
    /// Which way it takes.
    pub lane: Name<T, Text>,
}

impl<T> Naming<T> {
    /// Names made of `job`, in no order, on one lane.
    pub fn new(job: impl Into<String>) -> Self {
        Self { job: job.into(), key: None, order: None, priority: None, lane: Arc::new(|_| Text::new()) }
    }
}

impl<T> Clone for Naming<T> {
    fn clone(&self) -> Self {
        Self {
            job: self.job.clone(),
            key: self.key.clone(),
            order: self.order.clone(),
            priority: self.priority.clone(),
            lane: Arc::clone(&self.lane),
        }
    }
}

/// What an outbox notes: the number of the next item, its throttle's time, when its first item came.
pub(super) fn note(next: u64, arrival: i64, born: Option<i64>) -> String {
    let born = born.map_or_else(|| "-".to_owned(), |born| born.to_string());
    format!("{next} {arrival} {born}")
}

/// Reads what [`note`] has written.
pub(super) fn read_note(note: &Note) -> Result<(u64, i64, Option<i64>)> {
    let read = || {
        let mut words = note.text.split(' ');
        let (next, arrival) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let born = match words.next()? {
            "-" => None,
            born => Some(born.parse().ok()?),
        };
        Some((next, arrival, born))
    };
    read().ok_or_else(|| Error::corrupt(format!("the note of outbox {} cannot be read: {}", note.operator, note.text)))
}
