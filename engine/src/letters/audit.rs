//! The audit of a job whose dead letters are in files: beside each file one with a line per event.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::event::Event;
use super::queue::append;
use crate::Result;
use crate::sink::{Chunk, Sink, SinkCommitter, SinkWriter, TypedWriter, other_records};

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
        Box::new(TypedWriter)
    }

    fn open(&self, _: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        Ok(Box::new(Committer { files: self.files.clone(), events: Vec::new() }))
    }
}

struct Committer {
    files: BTreeMap<String, PathBuf>,
    events: Vec<Event>,
}

impl SinkCommitter for Committer {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        if let Some(any) = chunk.typed {
            self.events.append(&mut *any.downcast::<Vec<Event>>().map_err(|_| other_records::<Event>())?);
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<String> {
        let mut by_file: BTreeMap<&PathBuf, Vec<Event>> = BTreeMap::new();
        for event in self.events.drain(..) {
            match self.files.get(&event.topic) {
                Some(file) => by_file.entry(file).or_default().push(event.audited()),
                None => tracing::warn!(topic = event.topic, id = event.id, "no file of this topic to say a refusal in"),
            }
        }
        by_file.into_iter().try_for_each(|(file, events)| append(file, &events))?;
        Ok(String::new())
    }

    fn committed(&mut self) -> Result<()> {
        Ok(())
    }
}
