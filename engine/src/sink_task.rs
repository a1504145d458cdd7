//! A sink on one worker: encodes records into chunks for the coordinator.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use headwater_operators::{Batch, Message, Output, Progress, Timestamp};

use crate::build::{Build, Gate};
use crate::letters::Signature;
use crate::report::Report;
use crate::sink::{Chunk, SinkWriter};
use crate::{DeadLetter, Error, Result};

/// Where records go that are too large, if they go anywhere.
pub(crate) type DeadLetters = Option<Box<dyn Output<Vec<DeadLetter>>>>;

/// A chunk is sent when it has grown to this.
const CHUNK_BYTES: usize = 256 * 1024;
/// A chunk is sent when it has this many records.
const CHUNK_RECORDS: usize = 8 * 1024;

pub(crate) struct Writer<T> {
    sink: usize,
    writer: Box<dyn SinkWriter<T>>,
    chunk: Chunk,
    reports: Sender<Report>,
    gate: Rc<Gate>,
    dead_letters: DeadLetters,
    signature: Arc<Signature>,
    /// The last tick.
    now: Timestamp,
    /// Records that were not written.
    refused: Rc<Cell<u64>>,
}

impl<T: 'static> Writer<T> {
    pub fn new(build: &mut Build, writer: Box<dyn SinkWriter<T>>, dead_letters: DeadLetters) -> Self {
        let refused = Rc::new(Cell::new(0));
        let gauge = Rc::clone(&refused);
        build.gauges.push(Box::new(move |counts| counts.bad += gauge.get()));
        Self {
            sink: build.node,
            writer,
            chunk: Chunk::default(),
            reports: build.reports.clone(),
            gate: Rc::clone(&build.gate),
            dead_letters,
            signature: Arc::clone(&build.signature),
            now: Timestamp::MIN,
            refused,
        }
    }

    /// Counts what the writer has refused, and sends on what became of it.
    fn set_aside(&mut self) -> Result<()> {
        let mut refused = self.writer.refused();
        refused.dead_letters.iter_mut().for_each(|letter| self.signature.sign(letter, self.now));
        self.refused.set(self.refused.get() + refused.records);
        match &mut self.dead_letters {
            Some(dead_letters) if !refused.dead_letters.is_empty() => {
                let times = vec![Timestamp::MIN; refused.dead_letters.len()];
                dead_letters.send(Message::Batch(Batch::new(refused.dead_letters, times)))
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        if self.chunk.records == 0 {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.reports
            .send(Report::Chunk { sink: self.sink, chunk })
            .map_err(|_| Error::unavailable("the coordinator has stopped"))
    }
}

impl<T: 'static> Output<Vec<T>> for Writer<T> {
    fn send(&mut self, message: Message<Vec<T>>) -> Result<()> {
        let control = message.control();
        match message {
            Message::Batch(batch) => {
                let rows = batch.records.len();
                self.writer.write(batch.records, &mut self.chunk)?;
                self.set_aside()?;
                self.gate.rows.set(self.gate.rows.get() + rows);
                if self.chunk.bytes.len() >= CHUNK_BYTES || self.chunk.records >= CHUNK_RECORDS {
                    self.flush()?;
                }
            }
            Message::Barrier(_) => {
                self.flush()?;
                self.gate.barriers.set(self.gate.barriers.get() + 1);
            }
            Message::End => self.gate.ends.set(self.gate.ends.get() + 1),
            Message::Tick(now) => self.now = now,
            Message::Watermark(_) | Message::Idle | Message::Origin(..) => {}
        }
        match (&mut self.dead_letters, control) {
            (Some(dead_letters), Some(control)) => dead_letters.send(control),
            _ => Ok(()),
        }
    }

    fn work(&mut self) -> Result<Progress> {
        self.dead_letters.as_mut().map_or(Ok(Progress::Done), |output| output.work())
    }
}
