//! Dead letters: what could not be processed, kept with where it came from and why, looked at by the command line, and
//! put back into the operator that failed.

pub(crate) mod audit;
mod bind;
mod bytes;
pub(crate) mod event;
mod kept;
mod letter;
mod lettered;
pub(crate) mod look;
mod open;
pub(crate) mod queue;
mod signature;
mod way_back;

pub(crate) use bind::{Place, bind};
pub(crate) use kept::Kept;
pub use letter::{DeadLetter, LetterHeader, LetterKind, LetterOrigin};
pub use lettered::Lettered;
pub(crate) use open::OpenLetters;
pub(crate) use signature::Signature;
pub(crate) use way_back::{Redecode, SETTLED, WayBack, into, refusal, settled_times};
