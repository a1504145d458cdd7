//! What the dead letters of a job are and what became of them, as one reads them from outside while the job runs.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::event::{Event, What};
use super::{DeadLetter, Place, queue};
use crate::binding::{Input, Output, source_for};
use crate::format::{Decode, Json};
use crate::source::{Poll, Polled};
use crate::{Error, Result, clock};

/// How long to wait for a broker's next records.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(5);
const BATCH: usize = 1024;

/// What became of letters, by the life of the job and their ids: a job that starts over may write the same ones again. Of one
/// that is not named nothing has.
#[derive(Default)]
pub(crate) struct Fates {
    by_id: HashMap<(Option<String>, String), What>,
    /// What could not be read.
    pub bad: Vec<String>,
}

impl Fates {
    /// Reads them from the queue and the audits.
    ///
    /// # Errors
    /// `Unavailable` where they cannot be read.
    pub fn read(place: &Place, job: &str) -> Result<Self> {
        let mut fates = Self::default();
        match place {
            Place::Nowhere => {}
            Place::Files { queue, audits } => {
                // Of what was put into the queue without a word in the audit, as by a crash in between.
                for file in std::iter::once(queue).chain(audits.values()) {
                    let (events, bad) = queue::lines::<Event>(file)?;
                    events.into_iter().for_each(|event| fates.take(event));
                    fates.bad.extend(bad);
                }
            }
            #[cfg(feature = "kafka")]
            Place::Kafka(kafka) => {
                let topic = kafka.topic(crate::kafka::redrive_topic(kafka, job)?).until_end();
                let bad = each(&Input::Kafka(topic), "redrive", &mut |event: Event| {
                    fates.take(event);
                    Ok(true)
                })?;
                fates.bad.extend(bad);
            }
        }
        #[cfg(not(feature = "kafka"))]
        tracing::trace!(job, "read what became of dead letters");
        Ok(fates)
    }

    fn take(&mut self, event: Event) {
        match event.what {
            // What the job has taken back before stays so.
            What::RefusedTwice => {}
            what => drop(self.by_id.insert((event.incarnation, event.id), what)),
        }
    }

    /// Notes what becomes of one now.
    pub fn set(&mut self, letter: &DeadLetter, what: What) {
        self.by_id.insert((letter.incarnation.clone(), letter.id()), what);
    }

    fn of(&self, letter: &DeadLetter) -> Option<What> {
        self.by_id.get(&(letter.incarnation.clone(), letter.id())).copied()
    }

    /// What became of a letter, if that is the end of it.
    pub fn settled(&self, letter: &DeadLetter) -> Option<What> {
        self.of(letter).filter(|what| matches!(what, What::Redriven | What::Dropped))
    }

    /// Whether the job has refused to take it back.
    pub fn is_refused(&self, letter: &DeadLetter) -> bool {
        self.of(letter) == Some(What::Refused)
    }
}

/// Hands on every dead letter that an output has, until `take` has enough. What could not be read.
///
/// # Errors
/// `Config` where the output is none that keeps records; `Unavailable` where it cannot be read; what `take` returns.
pub(crate) fn letters(
    topic: &str,
    output: Option<&Output>,
    take: &mut dyn FnMut(DeadLetter) -> Result<bool>,
) -> Result<Vec<String>> {
    let input = match output {
        Some(Output::File(path)) if !path.exists() => return Ok(Vec::new()),
        Some(Output::File(path)) => Input::Files(glob::Pattern::escape(&path.display().to_string())),
        #[cfg(feature = "kafka")]
        Some(Output::Kafka(kafka)) => Input::Kafka(kafka.cluster().topic(kafka.name()).until_end()),
        Some(Output::Stdout | Output::Nowhere | Output::Typed(_)) | None => {
            return Err(Error::config(format!(
                "the dead letters of {topic} are kept nowhere where they can be read\nhelp: give --output {topic}=FILE or \
                 --brokers, as the job has it"
            )));
        }
    };
    let mut bad = each(&input, topic, take)?;
    // The job may be writing it.
    if let Some(Output::File(path)) = output
        && !bad.is_empty()
        && ends_within_a_line(path)
    {
        bad.pop();
    }
    Ok(bad)
}

fn ends_within_a_line(path: &Path) -> bool {
    use std::io::{Read, Seek, SeekFrom};
    let mut last = [b'\n'];
    let read = std::fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)
    });
    read.is_ok() && last != *b"\n"
}

/// Reads an input to its end.
fn each<T: 'static>(input: &Input, topic: &str, take: &mut dyn FnMut(T) -> Result<bool>) -> Result<Vec<String>>
where
    Json: Decode<T>,
{
    let source = source_for::<T, Json>(input, topic, Json)?;
    let mut bad = Vec::new();
    for name in source.partitions()? {
        let mut partition = source.open(&name, None)?;
        loop {
            let mut polled = Polled::default();
            let poll = partition.poll(&mut polled, BATCH)?;
            bad.extend(polled.bad.into_iter().map(|record| format!("{}: {}", record.place, record.cause)));
            for record in polled.records {
                if !take(record)? {
                    return Ok(bad);
                }
            }
            match poll {
                Poll::Records => {}
                Poll::Wait(_) | Poll::Quiet => clock::wait(LOOK_AGAIN, || false),
                Poll::End => break,
            }
        }
    }
    Ok(bad)
}

/// Says what becomes of letters: in the queue where the job learns it, and in the audit.
pub(crate) enum Speaker {
    /// The queue, and the audits by topic.
    Files(PathBuf, BTreeMap<String, PathBuf>),
    #[cfg(feature = "kafka")]
    Kafka(crate::kafka::Appender),
}

impl Speaker {
    /// # Errors
    /// `Config` where nobody would hear it; `Unavailable` where no broker answers.
    #[cfg_attr(not(feature = "kafka"), expect(unused_variables, reason = "the name is for the topic alone"))]
    pub fn new(place: Place, job: &str) -> Result<Self> {
        match place {
            Place::Nowhere => Err(Error::config("the job keeps no state: nobody would read its redrive queue")),
            Place::Files { queue, audits } => Ok(Self::Files(queue, audits)),
            #[cfg(feature = "kafka")]
            Place::Kafka(kafka) => {
                let topic = crate::kafka::redrive_topic(&kafka, job)?;
                Ok(Self::Kafka(crate::kafka::Appender::new(&kafka, topic)?))
            }
        }
    }

    /// Says one thing. It is safe when this returns.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be written, and then it may be tried again.
    pub fn say(&self, event: &Event) -> Result<()> {
        match self {
            Self::Files(queue, audits) => {
                // First the queue: what is in the audit alone would never come back.
                queue::append(queue, std::slice::from_ref(event))?;
                audits.get(&event.topic).map_or(Ok(()), |audit| queue::append(audit, &[event.audited()]))
            }
            #[cfg(feature = "kafka")]
            Self::Kafka(appender) => {
                let value = serde_json::to_vec(event).map_err(|error| Error::record(error.to_string()))?;
                appender.append(&value)
            }
        }
    }
}
