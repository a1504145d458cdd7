//! Gives rows their event time and makes watermarks of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_state::{Error, LocalState, Note, Result};

use crate::time::micros_of;
use crate::{Activity, Batch, Lateness, Message, Origin, Output, Progress, Records, Shared, Timestamp};

/// Gives every row its event time. A closure `Fn(&T) -> Timestamp` does for a `Vec<T>`.
pub trait Times<R: Records>: Send + Sync + 'static {
    /// Appends the time of every row.
    ///
    /// # Errors
    /// `Config` where a column does not exist or is of another type, `Record` where a time is missing.
    fn times(&self, records: &R, times: &mut Vec<Timestamp>) -> Result<()>;
}

impl<T, F> Times<Vec<T>> for F
where
    T: Send + 'static,
    F: Fn(&T) -> Timestamp + Shared,
{
    fn times(&self, records: &Vec<T>, times: &mut Vec<Timestamp>) -> Result<()> {
        times.extend(records.iter().map(self));
        Ok(())
    }
}

/// The latest time a record can claim: the end of time is said by `End` alone.
const LAST: Timestamp = Timestamp::from_micros(i64::MAX - 1);

/// Gives rows their event time, and makes the watermark: per source partition the newest time less the lateness, the
/// least of those over the worker's active partitions.
///
/// A batch is cut before a row that comes later than the lateness allows, so that the watermark reaches every such row
/// however rows were batched. Partitions that are idle or have ended hold nothing back; where all are, the watermark
/// goes to the greatest that any has reached, and `Idle` follows.
/// A partition that has been announced and has sent nothing yet holds everything back. Each partition's newest time is
/// committed: after a restart it takes up where it stood.
///
/// ```
/// use std::sync::Arc;
/// use headwater_operators::{EventTime, Lateness, Message, Timestamp, harness::Harness};
///
/// let seconds = Arc::new(|at: &i64| Timestamp::from_seconds(*at));
/// let mut harness = Harness::new(move |local, next| {
///     Ok(Box::new(EventTime::new("time", Arc::clone(&seconds), Lateness::seconds(10), local, next)))
/// })?;
/// harness.origin("numbers/0")?;
/// harness.rows([100, 120, 105])?;
/// let messages: Vec<String> = harness.take_messages().iter().map(|message| match message {
///     Message::Batch(batch) => format!("{:?}", batch.records),
///     Message::Watermark(time) => format!("watermark {}", time.as_micros() / 1_000_000),
///     other => format!("{other:?}"),
/// }).collect();
/// // 105 is more than ten seconds behind 120: the watermark goes first.
/// assert_eq!(messages, ["[100, 120]", "watermark 110", "[105]"]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct EventTime<R, F> {
    operator: String,
    times: Arc<F>,
    /// In microseconds.
    lateness: i64,
    local: LocalState,
    next: Box<dyn Output<R>>,
    partitions: BTreeMap<u32, Partition>,
    /// The last watermark sent.
    sent: Timestamp,
    /// Whether `Idle` was the last word.
    idle: bool,
    cuts: Vec<(usize, Timestamp)>,
}

struct Partition {
    name: Arc<str>,
    newest: Timestamp,
    activity: Activity,
}

impl<R: Records, F: Times<R>> EventTime<R, F> {
    /// Puts times before `next`. `operator` is the id that the notes of the partitions are kept under.
    pub fn new(
        operator: impl Into<String>,
        times: Arc<F>,
        lateness: Lateness,
        local: &LocalState,
        next: Box<dyn Output<R>>,
    ) -> Self {
        Self {
            operator: operator.into(),
            times,
            lateness: micros_of(lateness.duration()),
            local: local.clone(),
            next,
            partitions: BTreeMap::new(),
            sent: Timestamp::MIN,
            idle: false,
            cuts: Vec::new(),
        }
    }

    fn behind(&self, newest: Timestamp) -> Timestamp {
        if newest == Timestamp::MIN {
            return newest;
        }
        Timestamp::from_micros(newest.as_micros().saturating_sub(self.lateness))
    }

    /// The least watermark of the active partitions other than `except`; none where there are no such.
    fn least(&self, except: Option<u32>) -> Option<Timestamp> {
        let active = self.partitions.iter().filter(|&(&id, at)| at.activity == Activity::Active && Some(id) != except);
        active.map(|(_, at)| self.behind(at.newest)).min()
    }

    /// Sends on what has changed since it was last told.
    fn tell(&mut self) -> Result<()> {
        match self.least(None) {
            None if !self.idle && self.sent < Timestamp::MAX => {
                // Else it would depend on which of them fell idle last.
                let reached = self.partitions.values().map(|at| self.behind(at.newest)).max();
                if let Some(reached) = reached.filter(|reached| *reached > self.sent) {
                    self.sent = reached;
                    self.next.send(Message::Watermark(reached))?;
                }
                self.idle = true;
                self.next.send(Message::Idle)
            }
            // After idleness the same watermark again: from here on this input holds back.
            Some(watermark) if self.idle || watermark > self.sent => {
                self.idle = false;
                self.sent = self.sent.max(watermark);
                self.next.send(Message::Watermark(self.sent))
            }
            _ => Ok(()),
        }
    }

    fn learn(&mut self, origin: Origin, activity: Activity) -> Result<()> {
        let known = self.partitions.contains_key(&origin.id);
        if !known {
            let note = self.local.restored(&self.operator).find(|note| *note.scope == *origin.name);
            let newest = note.map_or(Ok(Timestamp::MIN), newest_of)?;
            let partition = Partition { name: origin.name, newest, activity };
            self.partitions.insert(origin.id, partition);
        } else if let Some(partition) = self.partitions.get_mut(&origin.id) {
            partition.activity = activity;
        }
        // Those announced first must not decide before those announced next: an active partition alone says nothing.
        if activity == Activity::Active && !self.idle { Ok(()) } else { self.tell() }
    }

    fn batch(&mut self, mut batch: Batch<R>) -> Result<()> {
        let id = batch.origin;
        if id == Origin::NOWHERE {
            return self.put_back(batch);
        }
        match self.partitions.get_mut(&id) {
            Some(partition) if partition.activity != Activity::Ended => partition.activity = Activity::Active,
            Some(partition) => return Err(Error::bug(format!("{} has ended and sent a batch", partition.name))),
            None => return Err(Error::bug(format!("origin {id} sent a batch before it was announced"))),
        }
        self.tell()?;
        self.set_times(&mut batch)?;
        self.cut(id, &batch.times);
        // From the back, so that every row moves at most once.
        let mut tails = Vec::with_capacity(self.cuts.len());
        for &(row, watermark) in self.cuts.iter().rev() {
            tails.push((watermark, batch.split_off(row)?));
        }
        self.send_rows(batch)?;
        while let Some((watermark, tail)) = tails.pop() {
            self.sent = watermark;
            self.next.send(Message::Watermark(watermark))?;
            self.send_rows(tail)?;
        }
        self.tell()
    }

    fn set_times(&self, batch: &mut Batch<R>) -> Result<()> {
        batch.times.clear();
        self.times.times(&batch.records, &mut batch.times)?;
        if batch.times.len() != batch.records.rows() {
            return Err(Error::bug(format!("{} times for {} rows", batch.times.len(), batch.records.rows())));
        }
        Ok(())
    }

    /// Rows that come from no partition: they have their times, and no say in the watermark.
    fn put_back(&mut self, mut batch: Batch<R>) -> Result<()> {
        self.set_times(&mut batch)?;
        self.send_rows(batch)?;
        // Whoever gets a batch takes this input for one that speaks again.
        if self.idle { self.next.send(Message::Idle) } else { Ok(()) }
    }

    fn send_rows(&mut self, batch: Batch<R>) -> Result<()> {
        if batch.is_empty() { Ok(()) } else { self.next.send(Message::Batch(batch)) }
    }

    /// Finds the rows that the watermark has to reach first, and keeps the partition's newest time.
    fn cut(&mut self, id: u32, times: &[Timestamp]) {
        self.cuts.clear();
        let others = self.least(Some(id)).unwrap_or(Timestamp::MAX);
        let Some(mut newest) = self.partitions.get(&id).map(|partition| partition.newest) else { return };
        let mut floor = self.behind(newest);
        let mut sent = self.sent;
        for (row, &time) in times.iter().enumerate() {
            if time > newest {
                newest = time.min(LAST);
                floor = self.behind(newest);
            } else if time < floor && floor.min(others) > sent {
                sent = floor.min(others);
                self.cuts.push((row, sent));
            }
        }
        if let Some(partition) = self.partitions.get_mut(&id) {
            partition.newest = newest;
        }
    }

    fn note(&self) {
        if !self.partitions.is_empty() {
            // What may still be put back by hand keeps nobody waiting.
            let is_over = self.partitions.values().all(|partition| partition.activity == Activity::Ended);
            let reached = if is_over { Timestamp::MAX } else { self.sent };
            self.local.set_gauge("watermark", &self.operator, reached.as_micros());
        }
        for partition in self.partitions.values() {
            self.local.note(Note {
                operator: self.operator.clone(),
                scope: partition.name.to_string(),
                text: format!("{} {}", partition.newest.as_micros(), word(partition.activity)),
            });
        }
    }
}

/// What a note says of the activity, for those who read it: the source says it anew after a restart, because only it
/// knows whether more has come meanwhile.
fn word(activity: Activity) -> &'static str {
    match activity {
        Activity::Active => "active",
        Activity::Idle => "idle",
        Activity::Ended => "ended",
    }
}

fn newest_of(note: &Note) -> Result<Timestamp> {
    let micros = note.text.split(' ').next().and_then(|micros| micros.parse().ok());
    micros.map(Timestamp::from_micros).ok_or_else(|| {
        Error::corrupt(format!("note of {} on {} cannot be read: {}", note.operator, note.scope, note.text))
    })
}

impl<R: Records, F: Times<R>> Output<R> for EventTime<R, F> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        match message {
            Message::Batch(batch) => self.batch(batch),
            Message::Origin(origin, activity) => self.learn(origin, activity),
            Message::Tick(now) => {
                self.tell()?;
                self.next.send(Message::Tick(now))
            }
            Message::Barrier(epoch) => {
                self.tell()?;
                self.note();
                self.next.send(Message::Barrier(epoch))
            }
            Message::End => {
                if self.sent < Timestamp::MAX {
                    self.sent = Timestamp::MAX;
                    self.next.send(Message::Watermark(Timestamp::MAX))?;
                }
                self.next.send(Message::End)
            }
            // Of a union of streams without event time, of which one has ended: what is idle here is told by origins.
            Message::Watermark(_) | Message::Idle => Ok(()),
        }
    }

    fn work(&mut self) -> Result<Progress> {
        self.next.work()
    }
}
