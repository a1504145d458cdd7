//! A source on one worker: polls its partitions in turn, and makes the control that travels with their records.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headwater_operators::{Activity, Batch, Message, Origin, Output, Progress, Timestamp};
use headwater_state::Epoch;

use crate::bad_record::BadRecords;
use crate::build::Build;
use crate::graph::is_internal;
use crate::letters::Signature;
use crate::report::Counts;
use crate::source::{Partition, Poll, Polled, Source};
use crate::{DeadLetter, Error, Result, clock};

/// A source on one worker, whatever its records are.
pub(crate) trait SourceTask {
    /// Tells what comes after which partitions there are. Once, before anything else.
    fn begin(&mut self) -> Result<()>;
    /// Polls the next partition that is due and sends what it has. How long to wait if none had anything.
    fn poll(&mut self, rows_max: usize) -> Result<Polling>;
    fn tick(&mut self, now: Timestamp) -> Result<()>;
    fn barrier(&mut self, epoch: Epoch) -> Result<()>;
    fn work(&mut self) -> Result<Progress>;
    fn positions(&self, positions: &mut Vec<(String, String)>);
    fn count(&self, counts: &mut Counts);
}

/// What a round over a source's partitions found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polling {
    /// Records were sent.
    Sent,
    /// Nothing for about this long.
    Nothing(Duration),
    /// Nothing ever again.
    Ended,
}

/// A partition that was not asked for longer than this may have had anything meanwhile, and may have it still: the
/// process was stopped, or had no time.
const UNASKED_MAX: Duration = Duration::from_secs(1);
/// How long a quiet partition is left alone before it is asked again.
const QUIET_WAIT: Duration = Duration::from_millis(10);

pub(crate) struct Reader<T> {
    topic: Arc<str>,
    partitions: Vec<Open<T>>,
    next: usize,
    records: Box<dyn Output<Vec<T>>>,
    dead_letters: Option<Box<dyn Output<Vec<DeadLetter>>>>,
    policy: BadRecords,
    signature: Arc<Signature>,
    /// The last tick.
    now: Timestamp,
    admission: Arc<crate::admission::Admission>,
    board: Arc<crate::progress::Progress>,
    idle_after: Duration,
    ended_before: bool,
    /// It is no input by itself: it ends when the others have.
    follows: bool,
    open_inputs: Arc<AtomicUsize>,
    ended: bool,
    counts: Counts,
}

/// For the records, and for the dead letters where the policy makes some.
pub(crate) type Outputs<T> = (Box<dyn Output<Vec<T>>>, Option<Box<dyn Output<Vec<DeadLetter>>>>);

struct Open<T> {
    origin: Origin,
    reader: Box<dyn Partition<T>>,
    activity: Activity,
    /// Records read.
    read: u64,
    quiet: Quiet,
    due: Option<Instant>,
}

/// For how long a partition is quiet.
#[derive(Default)]
struct Quiet {
    since: Option<Instant>,
    asked: Option<Instant>,
}

impl Quiet {
    /// The partition is asked now.
    fn asked(&mut self, now: Instant) {
        let before = self.asked.replace(now);
        if before.is_some_and(|before| now.saturating_duration_since(before) > UNASKED_MAX) {
            self.since = None;
        }
    }

    /// It is quiet: for how long, counted up to where that is known.
    fn lasts(&mut self, now: Instant, known: Option<Instant>) -> Duration {
        let since = *self.since.get_or_insert(now);
        known.unwrap_or(now).min(now).saturating_duration_since(since)
    }
}

impl<T: Send + 'static> Reader<T> {
    /// Opens this worker's share of a source's partitions at their committed positions.
    ///
    /// # Errors
    /// What [`Source::open`] returns.
    pub fn open(
        build: &Build,
        source: &dyn Source<T>,
        topic: &str,
        outputs: Outputs<T>,
        policy: BadRecords,
    ) -> Result<Self> {
        let mut partitions = Vec::new();
        let of_topic = |name: &String| name.rsplit_once('/').is_some_and(|(of, _)| of == topic);
        let was_read = build.positions.keys().any(of_topic);
        for (at, name) in source.partitions()?.into_iter().enumerate() {
            let id = build.first_partition + at as u32;
            if id as usize % build.workers != build.worker {
                continue;
            }
            let name = format!("{topic}/{name}");
            let partition = name[topic.len() + 1..].to_owned();
            let reader = match build.positions.get(&name) {
                None if was_read => source.open_added(&partition)?,
                position => source.open(&partition, position.map(String::as_str))?,
            };
            let origin = Origin { id, name: name.into() };
            let (activity, quiet) = (Activity::Active, Quiet::default());
            partitions.push(Open { origin, reader, activity, read: 0, quiet, due: None });
        }
        Ok(Self {
            topic: topic.into(),
            partitions,
            next: 0,
            records: outputs.0,
            dead_letters: outputs.1,
            policy,
            signature: Arc::clone(&build.signature),
            now: Timestamp::MIN,
            admission: Arc::clone(&build.admission),
            board: Arc::clone(&build.board),
            idle_after: build.idle_after,
            ended_before: build.ended_before,
            follows: is_internal(topic),
            open_inputs: Arc::clone(&build.open_inputs),
            ended: false,
            counts: Counts::default(),
        })
    }

    /// Sends control to both outputs.
    fn control(&mut self, message: &Message<()>) -> Result<()> {
        self.records.send(retyped(message)?)?;
        match &mut self.dead_letters {
            Some(dead_letters) => dead_letters.send(retyped(message)?),
            None => Ok(()),
        }
    }

    fn set_activity(&mut self, at: usize, activity: Activity) -> Result<()> {
        if self.partitions[at].activity == activity {
            return Ok(());
        }
        self.partitions[at].activity = activity;
        if activity == Activity::Ended && !self.follows {
            self.open_inputs.fetch_sub(1, Ordering::AcqRel);
        }
        let origin = self.partitions[at].origin.clone();
        self.control(&Message::Origin(origin, activity))
    }

    fn send(&mut self, at: usize, polled: Polled<T>) -> Result<()> {
        if self.ended_before && !self.follows {
            return Err(Error::config(format!(
                "{} has records beyond the end that the job had reached: all windows are closed; start over with \
                 `--fresh`, or give the new records to a job of their own",
                self.partitions[at].origin.name
            )));
        }
        let credit = self.admission.admit(polled.bytes.max(polled.records.len()));
        let read = (polled.records.len() + polled.bad.len()) as u64;
        self.counts.records_in += read;
        self.partitions[at].read += read;
        self.board.add_records_in(read);
        if !polled.bad.is_empty() {
            self.counts.bad += polled.bad.len() as u64;
            let name = Arc::clone(&self.partitions[at].origin.name);
            let mut letters = self.policy.judge(&self.topic, &name, polled.bad)?;
            letters.iter_mut().for_each(|letter| self.signature.sign(letter, self.now));
            if let Some(dead_letters) = &mut self.dead_letters {
                let times = vec![Timestamp::MIN; letters.len()];
                dead_letters.send(Message::Batch(Batch { credit: credit.clone(), ..Batch::new(letters, times) }))?;
            }
        }
        if polled.records.is_empty() {
            return Ok(());
        }
        let times = vec![Timestamp::MIN; polled.records.len()];
        let origin = self.partitions[at].origin.id;
        self.records.send(Message::Batch(Batch { origin, credit, ..Batch::new(polled.records, times) }))
    }

    /// Polls one partition.
    fn poll_one(&mut self, at: usize, rows_max: usize) -> Result<Polling> {
        // Asked before: what is appended while the last input ends is read.
        let open_before = self.open_inputs.load(Ordering::Acquire);
        let mut polled = Polled { records: Vec::with_capacity(rows_max), ..Polled::default() };
        let poll = {
            let open = &mut self.partitions[at];
            open.quiet.asked(clock::now());
            open.reader.poll(&mut polled, rows_max).map_err(|error| error.within(&open.origin.name))?
        };
        if !polled.records.is_empty() || !polled.bad.is_empty() {
            self.partitions[at].quiet.since = None;
            self.set_activity(at, Activity::Active)?;
            self.send(at, polled)?;
        }
        match poll {
            Poll::Records => Ok(Polling::Sent),
            Poll::Wait(wait) => {
                self.partitions[at].quiet.since = None;
                self.set_activity(at, Activity::Active)?;
                self.partitions[at].due = Some(clock::now() + wait);
                Ok(Polling::Nothing(wait))
            }
            Poll::Quiet if self.follows && open_before == 0 => {
                self.set_activity(at, Activity::Ended)?;
                Ok(Polling::Ended)
            }
            Poll::Quiet => {
                let now = clock::now();
                let open = &mut self.partitions[at];
                open.due = Some(now + QUIET_WAIT);
                if open.quiet.lasts(now, open.reader.quiet_until()) >= self.idle_after {
                    self.set_activity(at, Activity::Idle)?;
                }
                Ok(Polling::Nothing(QUIET_WAIT))
            }
            Poll::End => {
                self.set_activity(at, Activity::Ended)?;
                Ok(Polling::Ended)
            }
        }
    }
}

impl<T: Send + 'static> SourceTask for Reader<T> {
    fn begin(&mut self) -> Result<()> {
        let mut names = HashSet::new();
        for at in 0..self.partitions.len() {
            let origin = self.partitions[at].origin.clone();
            if !names.insert(Arc::clone(&origin.name)) {
                return Err(Error::bug(format!("partition {} is there twice", origin.name)));
            }
            self.control(&Message::Origin(origin, Activity::Active))?;
        }
        Ok(())
    }

    fn poll(&mut self, rows_max: usize) -> Result<Polling> {
        let mut wait: Option<Duration> = None;
        let now = clock::now();
        for _ in 0..self.partitions.len() {
            let at = self.next % self.partitions.len();
            self.next = at + 1;
            let open = &mut self.partitions[at];
            if open.activity == Activity::Ended {
                continue;
            }
            if let Some(due) = open.due.filter(|due| *due > now) {
                wait = Some(wait.map_or(due - now, |wait| wait.min(due - now)));
                continue;
            }
            open.due = None;
            match self.poll_one(at, rows_max)? {
                Polling::Sent => return Ok(Polling::Sent),
                Polling::Nothing(other) => wait = Some(wait.map_or(other, |wait| wait.min(other))),
                Polling::Ended => {}
            }
        }
        if let Some(wait) = wait {
            return Ok(Polling::Nothing(wait));
        }
        if !self.ended {
            self.ended = true;
            self.control(&Message::End)?;
        }
        Ok(Polling::Ended)
    }

    fn tick(&mut self, now: Timestamp) -> Result<()> {
        self.now = now;
        self.control(&Message::Tick(now))
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<()> {
        self.control(&Message::Barrier(epoch))
    }

    fn work(&mut self) -> Result<Progress> {
        let records = self.records.work()?;
        let dead_letters = self.dead_letters.as_mut().map_or(Ok(Progress::Done), |output| output.work())?;
        Ok(if dead_letters == Progress::Pending { dead_letters } else { records })
    }

    fn positions(&self, positions: &mut Vec<(String, String)>) {
        for open in &self.partitions {
            positions.push((open.origin.name.to_string(), open.reader.position()));
        }
    }

    fn count(&self, counts: &mut Counts) {
        counts.records_in += self.counts.records_in;
        counts.bad += self.counts.bad;
        counts.read.extend(self.partitions.iter().map(|open| (open.origin.name.to_string(), open.read)));
    }
}

/// The same control message on an edge of other records.
fn retyped<R>(message: &Message<()>) -> Result<Message<R>> {
    Ok(match message {
        Message::Origin(origin, activity) => Message::Origin(origin.clone(), *activity),
        Message::Tick(now) => Message::Tick(*now),
        Message::Barrier(epoch) => Message::Barrier(*epoch),
        Message::Watermark(watermark) => Message::Watermark(*watermark),
        Message::Idle => Message::Idle,
        Message::End => Message::End,
        Message::Batch(_) => return Err(Error::bug("a batch is not control")),
    })
}

/// Leaves a source where the worker drives it.
pub(crate) fn leave<T: Send + 'static>(build: &mut Build, reader: Reader<T>) {
    let current = Rc::clone(&build.current);
    build.sources.push(Box::new(OnNode { node: build.node, current, reader }));
}

/// Notes that the source's own node is at work.
struct OnNode<S> {
    node: usize,
    current: Rc<std::cell::Cell<usize>>,
    reader: S,
}

impl<S: SourceTask> SourceTask for OnNode<S> {
    fn begin(&mut self) -> Result<()> {
        self.current.set(self.node);
        self.reader.begin()
    }
    fn poll(&mut self, rows_max: usize) -> Result<Polling> {
        self.current.set(self.node);
        self.reader.poll(rows_max)
    }
    fn tick(&mut self, now: Timestamp) -> Result<()> {
        self.reader.tick(now)
    }
    fn barrier(&mut self, epoch: Epoch) -> Result<()> {
        self.reader.barrier(epoch)
    }
    fn work(&mut self) -> Result<Progress> {
        self.reader.work()
    }
    fn positions(&self, positions: &mut Vec<(String, String)>) {
        self.reader.positions(positions);
    }
    fn count(&self, counts: &mut Counts) {
        self.reader.count(counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_time_is_counted_while_it_is_known() {
        let start = clock::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut quiet = Quiet::default();
        quiet.asked(start);
        assert_eq!(quiet.lasts(start, None), Duration::ZERO);
        quiet.asked(at(900));
        assert_eq!(quiet.lasts(at(900), None), Duration::from_millis(900));
        assert_eq!(quiet.lasts(at(900), Some(at(300))), Duration::from_millis(300));
        // The process was stopped.
        quiet.asked(at(60_000));
        assert_eq!(quiet.lasts(at(60_000), None), Duration::ZERO);
        quiet.asked(at(60_500));
        assert_eq!(quiet.lasts(at(60_500), None), Duration::from_millis(500));
    }
}
