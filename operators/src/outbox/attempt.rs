//! One try to deliver an item, and why it failed.

use std::error::Error as StdError;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One try to deliver an item. It was committed before it is made, so that no crash can make more of them than the
/// schedule allows.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt<T> {
    /// What is to be delivered.
    pub item: T,
    /// The same for every attempt of this item, also after a crash: a receiver that has seen it has the item already.
    pub idempotency_key: String,
    /// 1 for the first.
    pub number: u32,
    /// When the item came into the outbox.
    pub added: Timestamp,
    /// When this attempt was decided on.
    pub at: Timestamp,
    /// The item's number in its outbox.
    pub seq: u64,
}

/// Why an attempt failed, and with that what happens next.
///
/// ```
/// use std::time::Duration;
/// use headwater_operators::Failure;
///
/// let busy = Failure::transient("503 Service Unavailable").retry_after(Duration::from_secs(20));
/// assert_eq!(busy.to_string(), "503 Service Unavailable");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// What happened, for people. No secrets.
    pub message: String,
    /// What it was caused by, the nearest first.
    pub causes: Vec<String>,
    /// The receiver wants to be left alone for so long.
    pub retry_after: Option<Duration>,
}

/// What is to be done about a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// It may go well later: the next attempt comes by the retry schedule.
    Transient,
    /// It never will: the item goes to the dead letters.
    Permanent,
    /// Nobody answers, or lets anybody in: items of this [lane](super::Naming::lane) wait until somebody does. It does not
    /// count as an attempt.
    Unreachable,
    /// It is not known whether it was delivered: the process ended meanwhile. Retried like a transient one.
    Unknown,
}

impl Failure {
    fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), retry_after: None }
    }

    /// It may go well later: a timeout, a busy server.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, message)
    }

    /// It never will: the item is wrong, or refused for good.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, message)
    }

    /// Nobody answered, as at a connection refused, or nobody is let in, as by a wrong password. Only for what cannot have
    /// delivered the item.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unreachable, message)
    }

    /// It is not known what became of it.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unknown, message)
    }

    /// The same, with the error that caused it and what caused that.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            self.causes.push(error.to_string());
            next = error.source();
        }
        self
    }

    /// The same, with the time that the receiver wants to be left alone for.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}
