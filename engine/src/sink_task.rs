//! A sink on one worker: encodes records into chunks for the coordinator.

use std::rc::Rc;
use std::sync::mpsc::Sender;

use headwater_operators::{Message, Output, Progress};

use crate::build::{Build, Gate};
use crate::report::Report;
use crate::sink::{Chunk, SinkWriter};
use crate::{Error, Result};

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
}

impl<T: 'static> Writer<T> {
    pub fn new(build: &Build, writer: Box<dyn SinkWriter<T>>) -> Self {
        Self {
            sink: build.node,
            writer,
            chunk: Chunk::default(),
            reports: build.reports.clone(),
            gate: Rc::clone(&build.gate),
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
        match message {
            Message::Batch(batch) => {
                let rows = batch.records.len();
                self.writer.write(batch.records, &mut self.chunk)?;
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
            Message::Watermark(_) | Message::Idle | Message::Tick(_) | Message::Origin(..) => {}
        }
        Ok(())
    }

    fn work(&mut self) -> Result<Progress> {
        Ok(Progress::Done)
    }
}
