//! Operators, what they send to, and the chain that forwards control between them.

use headwater_state::{Epoch, Result};

use crate::{Batch, Message, Timestamp};

/// Whether an operator has finished what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// It has: the watermark may pass.
    Done,
    /// It goes on at the next [`Operator::work`], and the watermark waits.
    Pending,
}

/// One step of a pipeline. It answers calls and cannot forget to pass control on: [`Chain`] does that.
///
/// Every call is bounded. An operator does no I/O but its tables and reads no clock.
pub trait Operator<I, O> {
    /// Handles a batch.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn process(&mut self, batch: Batch<I>, out: &mut dyn Output<O>) -> Result<()>;

    /// Learns that nothing before `watermark` is expected any more. From here on it judges lateness by it, even while
    /// what follows from it is [pending](Progress::Pending).
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn advance(&mut self, watermark: Timestamp, out: &mut dyn Output<O>) -> Result<Progress> {
        let _ = (watermark, out);
        Ok(Progress::Done)
    }

    /// Learns the wall clock.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn tick(&mut self, now: Timestamp, out: &mut dyn Output<O>) -> Result<Progress> {
        let _ = (now, out);
        Ok(Progress::Done)
    }

    /// Learns that nothing more comes. Where there is event time, its end came before.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn end(&mut self, out: &mut dyn Output<O>) -> Result<Progress> {
        let _ = out;
        Ok(Progress::Done)
    }

    /// Does a bounded piece of what is pending.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn work(&mut self, out: &mut dyn Output<O>) -> Result<Progress> {
        let _ = out;
        Ok(Progress::Done)
    }

    /// Whether something is pending that no call has told of yet: after opening, and after a batch.
    fn pending(&self) -> Progress {
        Progress::Done
    }

    /// Writes what changed in `epoch` into its tables' blocks.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn checkpoint(&mut self, epoch: Epoch) -> Result<()> {
        let _ = epoch;
        Ok(())
    }
}

/// What messages are sent to: the next chain, an exchange, a sink.
pub trait Output<R> {
    /// Passes a message on.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn send(&mut self, message: Message<R>) -> Result<()>;

    /// Does a bounded piece of what is pending here or further on.
    ///
    /// # Errors
    /// Whatever stops the epoch.
    fn work(&mut self) -> Result<Progress>;
}

/// An operator and what comes after it.
///
/// A watermark passes when the operator has done all that follows from it; `End` likewise. A barrier passes at once:
/// what is pending is in the operator's state.
pub struct Chain<I, O> {
    operator: Box<dyn Operator<I, O>>,
    next: Box<dyn Output<O>>,
    pending: bool,
    watermark: Option<Timestamp>,
    /// `Idle` waits behind the watermark, or it would be taken back by it.
    idle: bool,
    ended: bool,
}

impl<I, O> Chain<I, O> {
    /// Puts `operator` in front of `next`.
    pub fn new(operator: impl Operator<I, O> + 'static, next: Box<dyn Output<O>>) -> Self {
        let pending = operator.pending() == Progress::Pending;
        Self { operator: Box::new(operator), next, pending, watermark: None, idle: false, ended: false }
    }

    fn progress(&self) -> Progress {
        if self.pending { Progress::Pending } else { Progress::Done }
    }

    /// Passes on what waited, once nothing is pending.
    fn settle(&mut self, progress: Progress) -> Result<()> {
        self.pending = progress == Progress::Pending;
        if self.pending {
            return Ok(());
        }
        if let Some(watermark) = self.watermark.take() {
            self.next.send(Message::Watermark(watermark))?;
        }
        if std::mem::take(&mut self.idle) {
            self.next.send(Message::Idle)?;
        }
        if std::mem::take(&mut self.ended) {
            self.next.send(Message::End)?;
        }
        Ok(())
    }
}

impl<I, O> Output<I> for Chain<I, O> {
    fn send(&mut self, message: Message<I>) -> Result<()> {
        match message {
            Message::Batch(batch) => {
                self.idle = false;
                self.operator.process(batch, &mut *self.next)?;
                self.pending = self.pending || self.operator.pending() == Progress::Pending;
                Ok(())
            }
            Message::Watermark(watermark) => {
                self.watermark = Some(watermark);
                self.idle = false;
                let progress = self.operator.advance(watermark, &mut *self.next)?;
                self.settle(progress)
            }
            Message::Tick(now) => {
                let progress = self.operator.tick(now, &mut *self.next)?;
                self.next.send(Message::Tick(now))?;
                self.settle(progress)
            }
            Message::Barrier(epoch) => {
                self.operator.checkpoint(epoch)?;
                self.next.send(Message::Barrier(epoch))
            }
            Message::End => {
                self.ended = true;
                let progress = self.operator.end(&mut *self.next)?;
                self.pending = self.pending || progress == Progress::Pending;
                self.settle(self.progress())
            }
            Message::Idle => {
                self.idle = true;
                self.settle(self.progress())
            }
            Message::Origin(origin, activity) => self.next.send(Message::Origin(origin, activity)),
        }
    }

    fn work(&mut self) -> Result<Progress> {
        // What is further on goes first, so that nothing piles up there.
        if self.next.work()? == Progress::Pending {
            return Ok(Progress::Pending);
        }
        if self.pending {
            let progress = self.operator.work(&mut *self.next)?;
            self.settle(progress)?;
            return Ok(if self.pending { Progress::Pending } else { self.next.work()? });
        }
        Ok(Progress::Done)
    }
}
