//! Sends one stream to several places.

use headwater_state::Result;

use crate::exchange::{send_to_all, work_of_all};
use crate::{Message, Output, Progress};

/// Sends every message to each of several outputs; batches are cloned for all but the last.
///
/// ```
/// use headwater_operators::{Tee, Message, Batch, Output, Timestamp, harness::collector};
///
/// let ((left, left_seen), (right, right_seen)) = (collector(), collector());
/// let mut tee = Tee::new(vec![Box::new(left), Box::new(right)]);
/// tee.send(Message::Batch(Batch::new(vec!["a"], vec![Timestamp::MIN])))?;
/// assert_eq!((left_seen.take(), right_seen.take()), (vec!["a"], vec!["a"]));
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct Tee<R> {
    outputs: Vec<Box<dyn Output<R>>>,
}

impl<R> Tee<R> {
    /// Sends to each of `outputs`.
    pub fn new(outputs: Vec<Box<dyn Output<R>>>) -> Self {
        Self { outputs }
    }
}

impl<R: Clone + 'static> Output<R> for Tee<R> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        if !matches!(message, Message::Batch(_)) {
            return send_to_all(&message, self.outputs.iter_mut().map(|output| &mut **output));
        }
        let Some((last, others)) = self.outputs.split_last_mut() else { return Ok(()) };
        for output in others {
            output.send(message.clone())?;
        }
        last.send(message)
    }

    fn work(&mut self) -> Result<Progress> {
        work_of_all(self.outputs.iter_mut().map(|output| &mut **output))
    }
}
