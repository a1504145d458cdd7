//! A Kafka topic as a source: which partitions it has, and where each is begun or gone on with.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::client::Client;
use super::figures::Figures;
use super::input::{KafkaTopic, Start};
use super::partition::{Cursor, KafkaPartition, UntilEnd};
use super::position::Position;
use crate::format::Decode;
use crate::source::{Measure, Partition, Source};
use crate::{Error, Kind, Result, clock};

/// Reads the committed records of a Kafka topic, each partition of it by itself. Positions are the engine's own: no
/// offset is committed to Kafka, and nobody is a member of a consumer group.
///
/// * Partitions that are added are read from their beginning: the job goes back to its last commit to begin with them.
/// * It never ends by itself, but with [`until_end`](KafkaTopic::until_end).
/// * A partition is idle when all that was written to it was read and no transaction on it is open. While its leader
///   does not answer it is not idle.
/// * A position that retention has deleted, that lies beyond the end, or is of a topic that was deleted and created
///   again, stops the job.
pub struct KafkaSource<T, F> {
    topic: KafkaTopic,
    format: F,
    facts: OnceLock<Facts>,
    /// The client that all partitions are read with, on whatever threads. It lives as long as one of them is open.
    reader: Mutex<Shared>,
    /// The topic has more partitions by now, or was not to be reached: it is looked at anew.
    has_changed: Arc<AtomicBool>,
    records: PhantomData<fn() -> T>,
}

#[derive(Default)]
struct Shared {
    client: Weak<Client>,
    /// Of the same client: whoever asks for figures must not be who closes it.
    figures: Weak<Figures>,
    /// When the last attempt to connect failed, and how.
    failed: Option<(Instant, Kind, String)>,
}

impl Shared {
    /// The failure of an attempt that whoever asked at `asked` has waited for.
    fn failure(&self, asked: Instant) -> Option<Error> {
        let (_, kind, text) = self.failed.as_ref().filter(|(failed, ..)| *failed >= asked)?;
        Some(if *kind == Kind::Config { Error::config(text.clone()) } else { Error::unavailable(text.clone()) })
    }
}

/// What is fixed while the process lives.
struct Facts {
    partitions: usize,
    /// Where each partition ends, if that is where reading ends.
    ends: Option<Vec<i64>>,
}

impl<T, F: Decode<T>> KafkaSource<T, F> {
    /// The records of a topic, whose values are in this format.
    pub fn new(topic: KafkaTopic, format: F) -> Self {
        Self {
            topic,
            format,
            facts: OnceLock::new(),
            reader: Mutex::default(),
            has_changed: Arc::default(),
            records: PhantomData,
        }
    }

    fn facts(&self) -> Result<&Facts> {
        if let Some(facts) = self.facts.get() {
            return Ok(facts);
        }
        let client = Client::to_ask(&self.topic)?;
        let partitions = client.partitions();
        let ends = if self.topic.until_end {
            let numbers = 0..i32::try_from(partitions).unwrap_or(i32::MAX);
            Some(numbers.map(|partition| Ok(client.watermarks(partition)?.1)).collect::<Result<_>>()?)
        } else {
            None
        };
        Ok(self.facts.get_or_init(|| Facts { partitions, ends }))
    }

    fn reader(&self, partitions: usize) -> Result<Arc<Client>> {
        let asked = clock::now();
        let mut shared = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = shared.client.upgrade() {
            return Ok(reader);
        }
        // Workers that waited for one that failed do not try one after another.
        if let Some(failure) = shared.failure(asked) {
            return Err(failure);
        }
        let reader = Client::to_read(&self.topic, partitions).inspect_err(|error| {
            shared.failed = Some((clock::now(), error.kind(), error.to_string()));
            self.has_changed.store(true, Ordering::Relaxed);
        })?;
        let reader = Arc::new(reader);
        shared.client = Arc::downgrade(&reader);
        shared.figures = Arc::downgrade(reader.figures());
        Ok(reader)
    }

    /// Opens a partition, which begins at `start` if it was not read before.
    fn open_from(&self, name: &str, position: Option<&str>, start: &Start) -> Result<KafkaPartition<F>> {
        let facts = self.facts()?;
        let number = name.parse().ok().filter(|number| usize::try_from(*number).is_ok_and(|n| n < facts.partitions));
        let number = number.ok_or_else(|| Error::bug(format!("{} has no partition {name}", self.topic.name)))?;
        let reader = self.reader(facts.partitions)?;
        let position = match position {
            Some(text) => self.go_on(&reader, number, Position::parse(text)?)?,
            None => self.begin(&reader, number, start)?,
        };
        let end = facts.ends.as_ref().and_then(|ends| ends.get(number as usize).copied());
        Ok(KafkaPartition {
            format: self.format.clone(),
            queue: reader.fetch(number, &position)?,
            client: reader,
            topic: self.topic.name.as_str().into(),
            partition: number,
            cursor: Cursor::new(position, end),
            patience: self.topic.kafka.patience,
            held_since: None,
            heard: None,
            has_changed: Arc::clone(&self.has_changed),
        })
    }

    /// Where a partition that was not read before is begun.
    fn begin(&self, client: &Client, partition: i32, start: &Start) -> Result<Position> {
        let topic = &self.topic.name;
        let (low, high) = client.watermarks(partition)?;
        let offset = match start {
            Start::Earliest => low,
            Start::Latest => high,
            Start::At(time) => client.offset_at(partition, *time)?.unwrap_or(high),
            Start::Offsets(offsets) => match offsets.iter().find(|(number, _)| *number == partition) {
                None => low,
                Some((_, offset)) if (low..=high).contains(offset) => *offset,
                Some((_, offset)) => {
                    return Err(Error::config(format!(
                        "{topic}[{partition}] cannot be read from offset {offset}: it has those from {low} to {high}; \
                         give one of these"
                    )));
                }
            },
        };
        Ok(Position { offset, leader_epoch: None, identity: client.identity().clone() })
    }

    /// Checks that a committed position is still there.
    fn go_on(&self, client: &Client, partition: i32, position: Position) -> Result<Position> {
        let topic = &self.topic.name;
        position.identity.check(client.identity(), topic)?;
        check_offset(topic, partition, position.offset, client.watermarks(partition)?)?;
        Ok(Position { identity: client.identity().or(position.identity.clone()), ..position })
    }
}

impl<T: 'static, F: Decode<T>> Source<T> for KafkaSource<T, F> {
    fn describe(&self) -> String {
        self.topic.to_string()
    }

    fn partitions(&self) -> Result<Vec<String>> {
        Ok((0..self.facts()?.partitions).map(|partition| partition.to_string()).collect())
    }

    fn open(&self, partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<T>>> {
        let opened = self.open_from(partition, position, &self.topic.start)?;
        Ok(Box::new(UntilEnd::Reading(Box::new(opened))))
    }

    fn open_added(&self, partition: &str) -> Result<Box<dyn Partition<T>>> {
        tracing::info!("Kafka topic {} has a new partition {partition}: read from its beginning", self.topic.name);
        let opened = self.open_from(partition, None, &Start::Earliest)?;
        Ok(Box::new(UntilEnd::Reading(Box::new(opened))))
    }

    fn has_changed(&self) -> bool {
        self.has_changed.load(Ordering::Relaxed)
    }

    fn measures(&self) -> Vec<Measure> {
        // It is held while a worker connects.
        let figures = self.reader.try_lock().ok().and_then(|shared| shared.figures.upgrade());
        figures.map_or_else(Vec::new, |figures| figures.measures())
    }
}

/// That an offset lies between the watermarks.
///
/// # Errors
/// `Config` where it does not, with what that means.
pub(super) fn check_offset(topic: &str, partition: i32, offset: i64, (low, high): (i64, i64)) -> Result<()> {
    if offset < low {
        return Err(Error::config(format!(
            "{topic}[{partition}] was read up to offset {offset}, and now begins at {low}: {} offsets were deleted \
             before they were read, by retention or by hand; start over with --fresh, and let the topic keep its \
             records for longer than the job may stand still",
            low - offset
        )));
    }
    if offset > high {
        return Err(Error::config(format!(
            "{topic}[{partition}] was read up to offset {offset}, and now ends at {high}: records that were read are \
             gone, by an unclean leader election or because the broker lost its disk, and others will have their \
             offsets; start over with --fresh"
        )));
    }
    Ok(())
}

/// How long a broker that is away is waited for, unless the user says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_that_of_all_who_waited_for_it() {
        let asked = clock::now();
        let later = |millis| asked + Duration::from_millis(millis);
        let failed = Some((later(10), Kind::Unavailable, "no broker".to_owned()));
        let shared = Shared { failed, ..Shared::default() };
        assert_eq!(shared.failure(asked).map(|error| error.kind()), Some(Kind::Unavailable));
        assert!(shared.failure(later(11)).is_none());
    }

    #[test]
    fn an_offset_between_the_watermarks_is_good() {
        for offset in [5, 7, 9] {
            check_offset("orders", 3, offset, (5, 9)).unwrap();
        }
    }

    #[test]
    fn an_offset_beyond_them_is_explained() {
        let text = check_offset("orders", 3, 2, (5, 9)).unwrap_err().to_string();
        assert!(
            text.contains("orders[3] was read up to offset 2, and now begins at 5: 3 offsets were deleted"),
            "{text}"
        );
        let text = check_offset("orders", 3, 10, (5, 9)).unwrap_err().to_string();
        assert!(text.contains("unclean leader election") && text.contains("--fresh"), "{text}");
    }
}
