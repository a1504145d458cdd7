//! What happens to a dead letter after it was written: a line of the redrive queue, and of the audit.

use headwater_operators::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeadLetter;

/// What became of a dead letter, by whom and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// What became of it.
    pub what: What,
    /// The letter's id.
    pub id: String,
    /// The topic of the job that the letter is in.
    pub topic: String,
    /// The life of the job that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// When the letter was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Timestamp>,
    /// When it was asked for or decided.
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
    /// Why; of a refusal, why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The letter itself, where it is on its way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<Box<DeadLetter>>,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// It was put into the queue that leads back into the job.
    Redriven,
    /// It needs no more attention.
    Dropped,
    /// The job did not take it back: it stays a dead letter.
    Refused,
    /// The job did not take it back again: it had done so before.
    RefusedTwice,
}

impl What {
    /// What it is in a sentence: the letter was …
    pub fn done(self) -> &'static str {
        match self {
            Self::Redriven => "redriven",
            Self::Dropped => "dropped",
            Self::Refused | Self::RefusedTwice => "refused",
        }
    }
}

impl Event {
    /// The same without what it is about: for the audit.
    pub fn audited(&self) -> Self {
        // A letter may be large.
        let Self { what, id, topic, incarnation, written, at, by, reason, letter: _ } = self;
        let (id, topic, incarnation) = (id.clone(), topic.clone(), incarnation.clone());
        let (what, written, at) = (*what, *written, *at);
        Self { what, id, topic, incarnation, written, at, by: by.clone(), reason: reason.clone(), letter: None }
    }
}

/// What is decided about an event where the ids that came before are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Back into its operator.
    Admitted {
        letter: Box<DeadLetter>,
        /// It is of this life of the job, which counts it.
        counts: bool,
    },
    /// Only counted: the letter that was written then.
    Dropped(Option<Timestamp>),
    /// Said in the audit.
    Refused(Event),
}
