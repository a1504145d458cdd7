//! What a dead letter keeps of a record that a pipeline has read.

use serde::Serialize;

use super::{DeadLetter, LetterHeader, LetterOrigin};
use crate::{Error, Received, Result};

/// A record that a dead letter can be made of: one that can be written as JSON, and one of a topic that is read as
/// [received](crate::Topic::received), of which the letter has key, headers and origin, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in a dead letter",
    note = "derive `serde::Serialize` for it"
)]
pub trait Lettered {
    /// Puts the record into its letter.
    ///
    /// # Errors
    /// `Record` where it cannot be written as JSON.
    #[doc(hidden)]
    fn keep_in(&self, letter: &mut DeadLetter) -> Result<()>;
}

// Its own message says it shorter.
#[diagnostic::do_not_recommend]
impl<T: Serialize> Lettered for T {
    fn keep_in(&self, letter: &mut DeadLetter) -> Result<()> {
        letter.keep(serde_json::to_vec(self).map_err(|error| Error::record(error.to_string()))?);
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<T: Serialize> Lettered for Received<T> {
    fn keep_in(&self, letter: &mut DeadLetter) -> Result<()> {
        self.value.keep_in(letter)?;
        letter.keep_key(self.key.clone());
        letter.headers = self.headers.iter().cloned().map(LetterHeader::from).collect();
        // Of a file nothing is known.
        if !self.topic.is_empty() {
            let (topic, partition, offset) = (self.topic.to_string(), self.partition, self.offset);
            letter.origin = Some(LetterOrigin { topic, partition, offset, timestamp: self.timestamp });
        }
        Ok(())
    }
}
