//! An outbox on the worker that owns it.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use headwater_operators::{
    Answer, Batch, Dead, Entry, Failure, Message, OutboxState, Outcome, Output, Progress, Timestamp,
};
use headwater_state::{Value, crash};

use super::courier::Parcel;
use super::dispatcher::Dispatcher;
use crate::admission::Hold;
use crate::build::{Build, Gate};
use crate::letters::Signature;
use crate::report::Report;
use crate::sink::Chunk;
use crate::{DeadLetter, Error, Result};

/// At most so many attempts are committed and not settled: those that wait for a place are lost attempts after a crash.
pub(super) const WINDOW_MAX: usize = 4096;

pub(super) struct Task<T> {
    id: String,
    node: usize,
    outbox: OutboxState<T>,
    dispatcher: Arc<Dispatcher<T>>,
    parcel: Parcel<T>,
    reports: Sender<Report>,
    gate: Rc<Gate>,
    dead_letters: Box<dyn Output<Vec<DeadLetter>>>,
    hold: Hold,
    concurrency: usize,
    /// Attempts under way at most: about as many as an epoch delivers, twice.
    window: usize,
    /// Delivered in this epoch.
    delivered: usize,
    /// Attempts of a process that is gone; settled once the time is known.
    lost: Vec<(u64, u32, Timestamp)>,
    /// The last tick; at the beginning of time before the first.
    now: Timestamp,
    signature: Arc<Signature>,
    ended: bool,
    told_end: bool,
}

impl<T: Value + Sync> Task<T> {
    pub fn new(
        build: &Build,
        mut outbox: OutboxState<T>,
        dispatcher: Arc<Dispatcher<T>>,
        dead_letters: Box<dyn Output<Vec<DeadLetter>>>,
        concurrency: usize,
    ) -> Self {
        let mut lost = Vec::new();
        if outbox.is_owned() {
            lost = dispatcher.reopen(build.peers[build.worker].clone(), &outbox.take_left_over());
        }
        Self {
            id: build.node_id.clone(),
            node: build.node,
            outbox,
            dispatcher,
            parcel: Parcel::default(),
            reports: build.reports.clone(),
            gate: Rc::clone(&build.gate),
            dead_letters,
            hold: Hold::new(&build.admission),
            concurrency,
            window: concurrency,
            delivered: 0,
            lost,
            now: Timestamp::MIN,
            signature: Arc::clone(&build.signature),
            ended: false,
            told_end: false,
        }
    }

    /// Hears what came of attempts, and decides on others.
    fn go_on(&mut self) -> Result<()> {
        if !self.outbox.is_owned() || self.now == Timestamp::MIN {
            return Ok(());
        }
        for (seq, number, at) in std::mem::take(&mut self.lost) {
            let failure = Failure::unknown("the process ended meanwhile; it may have been delivered");
            self.outbox.settle(Answer { seq, number, at, outcome: Outcome::Failed(failure) })?;
        }
        for answer in self.dispatcher.answers() {
            self.parcel.settled.push(answer.seq);
            self.delivered += usize::from(answer.outcome == Outcome::Delivered);
            self.outbox.settle(answer)?;
        }
        if !self.parcel.settled.is_empty() {
            crash::point("outbox.settled");
        }
        if !self.dispatcher.is_closing() {
            self.parcel.attempts.extend(self.outbox.take(self.window)?);
        }
        if !self.parcel.attempts.is_empty() {
            crash::point("outbox.decided");
        }
        for news in self.outbox.take_news() {
            let (outbox, lane) = (&self.id, news.lane.as_str());
            match news.failure {
                Some(failure) => tracing::warn!(outbox, lane, %failure, "nobody answers; its items wait"),
                None => tracing::info!(outbox, lane, "somebody answers again"),
            }
        }
        let dead = self.outbox.take_dead().into_iter().map(|dead| dead_letter(&self.id, dead));
        let mut dead: Vec<DeadLetter> = dead.collect();
        dead.iter_mut().for_each(|letter| self.signature.sign(letter, self.now));
        if !dead.is_empty() {
            let times = vec![Timestamp::MIN; dead.len()];
            self.dead_letters.send(Message::Batch(Batch::new(dead, times)))?;
        }
        self.hold.set(self.outbox.is_full() && self.outbox.delivers());
        self.end_if_empty()
    }

    /// The end passes when everything that came before it is delivered, or dead.
    fn end_if_empty(&mut self) -> Result<()> {
        let is_over = self.outbox.is_empty() || !self.outbox.is_owned() || !self.outbox.delivers();
        if self.ended && is_over && !self.told_end {
            self.told_end = true;
            self.gate.ends.set(self.gate.ends.get() + 1);
            self.dead_letters.send(Message::End)?;
        }
        Ok(())
    }

    fn barrier(&mut self, epoch: headwater_state::Epoch) -> Result<()> {
        // A run that is asked to stop hears what came of its last attempts here.
        self.go_on()?;
        self.outbox.checkpoint(epoch)?;
        self.show_figures()?;
        let delivered = std::mem::take(&mut self.delivered);
        self.window = (2 * delivered).max(self.window / 2).clamp(self.concurrency, WINDOW_MAX);
        let parcel = std::mem::take(&mut self.parcel);
        if !parcel.attempts.is_empty() || !parcel.settled.is_empty() {
            let chunk = Chunk { records: delivered, bytes: Vec::new(), typed: Some(Box::new(parcel)) };
            self.reports
                .send(Report::Chunk { sink: self.node, chunk })
                .map_err(|_| Error::unavailable("the coordinator has stopped"))?;
        }
        self.gate.barriers.set(self.gate.barriers.get() + 1);
        self.dead_letters.send(Message::Barrier(epoch))
    }

    fn show_figures(&mut self) -> Result<()> {
        if self.outbox.is_owned() {
            let (pending, down, counts) = (self.outbox.len(), self.outbox.lanes_down(), self.outbox.counts());
            self.dispatcher.figures.set(pending, down, self.outbox.oldest()?, counts);
        }
        Ok(())
    }
}

impl<T: Value + Sync> Output<Vec<Entry<T>>> for Task<T> {
    fn send(&mut self, message: Message<Vec<Entry<T>>>) -> Result<()> {
        let control = message.control();
        match message {
            Message::Batch(batch) => {
                self.outbox.add(batch.records)?;
                return self.go_on();
            }
            Message::Barrier(epoch) => return self.barrier(epoch),
            Message::End => {
                self.ended = true;
                return self.end_if_empty();
            }
            Message::Tick(now) => {
                self.outbox.tick(now);
                self.now = now;
                self.go_on()?;
            }
            Message::Watermark(_) | Message::Idle | Message::Origin(..) => {}
        }
        control.map_or(Ok(()), |control| self.dead_letters.send(control))
    }

    fn work(&mut self) -> Result<Progress> {
        self.go_on()?;
        self.dead_letters.work()
    }
}

fn dead_letter(outbox: &str, dead: Dead) -> DeadLetter {
    tracing::warn!(outbox, item = dead.idempotency_key, attempts = dead.attempts, error = %dead.failure, "not delivered");
    let of = (outbox, dead.seq, dead.idempotency_key.as_str());
    DeadLetter::failed_delivery(of, dead.item.into_bytes(), &dead.failure, (dead.attempts, dead.first, dead.last))
}
