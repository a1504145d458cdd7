//! An item of an outbox, and what becomes of it.

use std::time::Duration;

use headwater_state::Text;
use serde::{Deserialize, Serialize};

use super::Failure;
use super::queue::Place;
use crate::Timestamp;

/// On a lane nobody answers any more, or somebody does again.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneNews {
    /// Of which items: see [`Naming::lane`](super::Naming::lane).
    pub lane: Text,
    /// Why nobody does.
    pub failure: Option<Failure>,
}

/// An item on its way into an outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<T> {
    /// What is to be delivered.
    pub item: T,
    /// The key that it had when it was here before; `None` has one made.
    pub idempotency_key: Option<String>,
}

impl<T> From<T> for Entry<T> {
    fn from(item: T) -> Self {
        Self { item, idempotency_key: None }
    }
}

/// An item as it is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pending {
    /// As JSON, which can be read when its type has got another field, and whatever its type has said to serde.
    pub item: String,
    pub key: String,
    pub lane: Text,
    pub order: Option<Text>,
    pub priority: u8,
    pub added: i64,
    pub first: Option<i64>,
    pub last: Option<i64>,
    pub due: i64,
    pub attempts: u32,
    pub under_way: bool,
    pub failure: Option<Failure>,
}

impl Pending {
    /// Where it stands.
    pub fn place(&self) -> Place {
        let due = Timestamp::from_micros(self.due);
        Place { due, priority: self.priority, lane: self.lane.clone(), order: self.order.clone(), tries: 0 }
    }

    /// Why it is given up after it has waited for longer than `age`.
    pub fn outlived(&self, age: Duration) -> Failure {
        let age = crate::time::span(age);
        match self.failure.clone() {
            Some(last) => Failure { message: format!("older than {age}; before that: {}", last.message), ..last },
            None => Failure::permanent(format!("older than {age}, and never tried")),
        }
    }

    /// The item given up.
    pub fn given_up(self, seq: u64, failure: Failure) -> Dead {
        Dead {
            item: self.item,
            seq,
            idempotency_key: self.key,
            failure,
            attempts: self.attempts,
            added: Timestamp::from_micros(self.added),
            first: self.first.map(Timestamp::from_micros),
            last: self.last.map(Timestamp::from_micros),
        }
    }
}

/// An item that will not be delivered, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Dead {
    /// The item as JSON.
    pub item: String,
    /// Its number in the outbox.
    pub seq: u64,
    /// The key that its attempts had.
    pub idempotency_key: String,
    /// Why not.
    pub failure: Failure,
    /// How many attempts were made, or may have been.
    pub attempts: u32,
    /// When it came into the outbox.
    pub added: Timestamp,
    /// When its first attempt was decided on.
    pub first: Option<Timestamp>,
    /// And its last.
    pub last: Option<Timestamp>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The item's number.
    pub seq: u64,
    /// The attempt's number.
    pub number: u32,
    /// When it was decided on: one that did not count may have had the same number.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It went well.
    Delivered,
    /// It did not.
    Failed(Failure),
    /// It was not made: it does not count.
    NotMade,
}

/// What was counted since the outbox was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Items that came.
    pub added: u64,
    /// Items that were delivered.
    pub delivered: u64,
    /// Attempts that failed and are followed by others.
    pub retried: u64,
    /// Items that will not be delivered.
    pub dead: u64,
    /// Items that were left out because this run delivers nothing.
    pub suppressed: u64,
}
