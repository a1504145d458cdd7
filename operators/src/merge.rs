//! Makes one stream of several.

use std::cell::RefCell;
use std::rc::Rc;

use headwater_state::{Epoch, Error, Result};

use crate::{Message, Output, Progress, Timestamp};

/// Makes one stream of several: the inputs of an exchange, or a union of streams.
///
/// The watermark is the least of the inputs that are neither idle nor ended, and never goes back. Where all are idle it
/// is the greatest that any has reached, as in Flink's `StatusWatermarkValve`: else it would depend on which of them fell
/// idle last. The end of time follows only when every input has reached it. Barriers are aligned:
/// one is passed on when every input has delivered it, those that have ended included; until then an input that has
/// delivered it sends nothing else. Ticks are merged as watermarks are, `Idle` follows
/// when every input is idle, `End` when every input has ended.
pub struct Merge<R> {
    inputs: Vec<Input>,
    next: Box<dyn Output<R>>,
    watermark: Timestamp,
    now: Timestamp,
    idle: bool,
    /// How many barriers were passed on.
    barriers: u64,
    ended: bool,
}

struct Input {
    /// Before the end of time.
    watermark: Timestamp,
    /// Whether it has said the end of time: it holds nothing back from then on, and moves nobody else there.
    over: bool,
    now: Timestamp,
    idle: bool,
    ended: bool,
    /// How many barriers it delivered. Their epochs would not do: one that changed nothing is not committed, and its
    /// number comes again.
    barriers: u64,
}

/// One of the inputs of a [`Merge`], all of which are in one worker.
pub struct MergeInput<R> {
    merge: Rc<RefCell<Merge<R>>>,
    index: usize,
}

impl<R> Merge<R> {
    /// The inputs of a merge before `next`.
    pub fn inputs(count: usize, next: Box<dyn Output<R>>) -> Vec<MergeInput<R>> {
        let new = || Input {
            watermark: Timestamp::MIN,
            over: false,
            now: Timestamp::MIN,
            idle: false,
            ended: false,
            barriers: 0,
        };
        let merge = Self {
            inputs: (0..count).map(|_| new()).collect(),
            next,
            watermark: Timestamp::MIN,
            now: Timestamp::MIN,
            idle: false,
            barriers: 0,
            ended: false,
        };
        let merge = Rc::new(RefCell::new(merge));
        (0..count).map(|index| MergeInput { merge: Rc::clone(&merge), index }).collect()
    }

    fn receive(&mut self, index: usize, message: Message<R>) -> Result<()> {
        let waiting = self.waiting(index);
        let input = &mut self.inputs[index];
        // The epochs go on until all have ended.
        if input.ended && !matches!(message, Message::Barrier(_) | Message::Tick(_)) {
            return Err(Error::bug(format!("input {index} of a merge has ended and sent more")));
        }
        match message {
            Message::Batch(_) if waiting => {
                Err(Error::bug(format!("input {index} of a merge sent a batch after a barrier that others owe")))
            }
            Message::Batch(batch) => {
                if std::mem::take(&mut input.idle) {
                    self.tell_time()?;
                }
                self.next.send(Message::Batch(batch))
            }
            Message::Watermark(watermark) => {
                input.idle = false;
                if watermark == Timestamp::MAX {
                    input.over = true;
                } else {
                    input.watermark = input.watermark.max(watermark);
                }
                self.tell_time()
            }
            Message::Idle => {
                input.idle = true;
                self.tell_time()
            }
            Message::Tick(now) => {
                input.now = input.now.max(now);
                self.tell_now()
            }
            Message::Barrier(_) if waiting => {
                Err(Error::bug(format!("input {index} of a merge sent a barrier after one that others owe")))
            }
            Message::Barrier(epoch) => {
                input.barriers += 1;
                self.tell_barrier(epoch)
            }
            Message::End if waiting => {
                Err(Error::bug(format!("input {index} of a merge ended after a barrier that others owe")))
            }
            Message::End => {
                input.ended = true;
                self.tell_time()?;
                self.tell_now()?;
                self.tell_end()
            }
            Message::Origin(..) => self.next.send(message),
        }
    }

    /// Whether an input has delivered a barrier that was not passed on yet.
    fn waiting(&self, index: usize) -> bool {
        self.inputs[index].barriers > self.barriers
    }

    /// Passes on the least watermark, or that nothing holds one.
    fn tell_time(&mut self) -> Result<()> {
        if self.inputs.iter().all(|input| input.over) {
            return self.reach(Timestamp::MAX);
        }
        let holding = self.inputs.iter().filter(|input| !(input.idle || input.over || input.ended));
        if let Some(watermark) = holding.map(|input| input.watermark).min() {
            return self.reach(watermark);
        }
        if self.idle {
            return Ok(());
        }
        let reached = self.inputs.iter().map(|input| input.watermark).max();
        self.reach(reached.unwrap_or(Timestamp::MIN))?;
        self.idle = true;
        self.next.send(Message::Idle)
    }

    /// Passes a watermark on if it is news: after idleness it is, even if it is the same.
    fn reach(&mut self, watermark: Timestamp) -> Result<()> {
        if watermark <= self.watermark && !self.idle {
            return Ok(());
        }
        self.idle = false;
        self.watermark = self.watermark.max(watermark);
        self.next.send(Message::Watermark(self.watermark))
    }

    fn tell_now(&mut self) -> Result<()> {
        // The clock goes on after the end, for what is still to be delivered.
        let all_ended = self.inputs.iter().all(|input| input.ended);
        let now = self.inputs.iter().filter(|input| all_ended || !input.ended).map(|input| input.now).min();
        match now {
            Some(now) if now > self.now => {
                self.now = now;
                self.next.send(Message::Tick(now))
            }
            _ => Ok(()),
        }
    }

    fn tell_barrier(&mut self, epoch: Epoch) -> Result<()> {
        if self.inputs.iter().any(|input| input.barriers == self.barriers) {
            return Ok(());
        }
        self.barriers += 1;
        self.next.send(Message::Barrier(epoch))
    }

    fn tell_end(&mut self) -> Result<()> {
        if self.ended || !self.inputs.iter().all(|input| input.ended) {
            return Ok(());
        }
        self.ended = true;
        self.next.send(Message::End)
    }
}

impl<R> Output<R> for MergeInput<R> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        self.merge.borrow_mut().receive(self.index, message)
    }

    fn work(&mut self) -> Result<Progress> {
        self.merge.borrow_mut().next.work()
    }
}
