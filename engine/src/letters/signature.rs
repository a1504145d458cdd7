//! Who writes a dead letter, and when.

use headwater_operators::Timestamp;

use super::DeadLetter;

/// What all dead letters of a process have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signature {
    pub job: String,
    pub incarnation: String,
    pub instance: Option<String>,
    pub version: Option<String>,
}

impl Signature {
    /// Puts it on a letter; `now` is the last tick, if there was one.
    pub fn sign(&self, letter: &mut DeadLetter, now: Timestamp) {
        letter.job.clone_from(&self.job);
        letter.incarnation = Some(self.incarnation.clone());
        letter.instance.clone_from(&self.instance);
        letter.version.clone_from(&self.version);
        if now != Timestamp::MIN {
            letter.last_attempt.get_or_insert(now);
            letter.first_attempt.get_or_insert(now);
            letter.written.get_or_insert(now);
        }
    }
}
