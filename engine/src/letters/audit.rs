//! The audit of a job whose dead letters are in files: beside each file one with a line per event.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::queue::append;
use crate::sink::{Chunk, Sink, SinkCommitter, SinkWriter};
use crate::{Error, Result};

/// The audit of a file of dead letters.
pub(crate) fn beside(letters: &Path) -> PathBuf {
    let mut name = letters.as_os_str().to_owned();
    name.push(".audit.jsonl");
    PathBuf::from(name)
}

/// Where the job says what it has refused. A line may be there twice after a crash: the command line appends to the same
/// file, so that nothing of it is ever cut off.
#[derive(Clone)]
pub(crate) struct AuditSink {
    /// By topic of the job.
    pub files: BTreeMap<String, PathBuf>,
}

impl Sink<Event> for AuditSink {
    fn describe(&self) -> String {
        "audits of dead letters".to_owned()
    }

    fn writer(&self) -> Box<dyn SinkWriter<Event>> {
        Box::new(Writer)
    }

    fn open(&self, _: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        Ok(Box::new(Committer { files: self.files.clone(), events: Vec::new() }))
    }
}

struct Writer;

impl SinkWriter<Event> for Writer {
    fn write(&mut self, mut records: Vec<Event>, chunk: &mut Chunk) -> Result<()> {
        chunk.records += records.len();
        match &mut chunk.typed {
            None => chunk.typed = Some(Box::new(records)),
            Some(any) => any.downcast_mut::<Vec<Event>>().ok_or_else(other)?.append(&mut records),
        }
        Ok(())
    }
}

fn other() -> Error {
    Error::bug("a chunk for the audit is of other records")
}

struct Committer {
    files: BTreeMap<String, PathBuf>,
    events: Vec<Event>,
}

impl SinkCommitter for Committer {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        if let Some(any) = chunk.typed {
            self.events.append(&mut *any.downcast::<Vec<Event>>().map_err(|_| other())?);
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<String> {
        for event in self.events.drain(..) {
            match self.files.get(&event.topic) {
                Some(file) => append(file, &[event.audited()])?,
                None => tracing::warn!(topic = event.topic, id = event.id, "no file of this topic to say a refusal in"),
            }
        }
        Ok(String::new())
    }

    fn committed(&mut self) -> Result<()> {
        Ok(())
    }
}
