//! Makes one stream of several.

use std::cell::RefCell;
use std::rc::Rc;

use headwater_state::{Epoch, Error, Result};

use crate::{Message, Output, Progress, Timestamp};

/// Makes one stream of several: the inputs of an exchange, or a union of streams.
///
/// The watermark is the least of the inputs that are neither idle nor ended, and never goes back. Barriers are aligned:
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
    watermark: Timestamp,
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
        let new = || Input { watermark: Timestamp::MIN, now: Timestamp::MIN, idle: false, ended: false, barriers: 0 };
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
                input.watermark = input.watermark.max(watermark);
                input.idle = false;
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
        let all_ended = self.inputs.iter().all(|input| input.ended);
        let holding = self.inputs.iter().filter(|input| all_ended || !(input.idle || input.ended));
        match holding.map(|input| input.watermark).min() {
            Some(watermark) if watermark > self.watermark || self.idle => {
                self.idle = false;
                self.watermark = self.watermark.max(watermark);
                self.next.send(Message::Watermark(self.watermark))
            }
            None if !self.idle => {
                self.idle = true;
                self.next.send(Message::Idle)
            }
            _ => Ok(()),
        }
    }

    fn tell_now(&mut self) -> Result<()> {
        let now = self.inputs.iter().filter(|input| !input.ended).map(|input| input.now).min();
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
