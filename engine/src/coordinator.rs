//! Drives epochs: lets workers run, stops them all, commits everything at once, lets them go on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use headwater_operators::Timestamp;
use headwater_state::{Commit, Epoch, WriteBehind};

use crate::commit_record::CommitRecord;
use crate::graph::is_internal;
use crate::letters::{self, SETTLED};
use crate::progress::{Committed, Phase, Step};
use crate::report::{Counts, Inbound, Prepared, Report};
use crate::rotation::Rotation;
use crate::run::Control;
use crate::sink::{Chunk, SinkCommitter};
use crate::{Error, Result, clock};

/// How often a running epoch looks whether it should stop, and ticks.
const LOOK_UP: Duration = Duration::from_millis(50);
/// Committed blocks wait at most this long before they are written to the tables.
const LAG_TIME_MAX: Duration = Duration::from_secs(30);
/// A run that is asked to stop waits so long for what outboxes have begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many of the last written records the live view keeps.
const RECENT_MAX: usize = 50;

/// The open end of a sink.
pub(crate) struct OpenSink {
    pub topic: String,
    pub node: usize,
    pub committer: Box<dyn SinkCommitter>,
}

pub(crate) struct Coordinator<'a> {
    pub peers: Vec<Sender<Inbound>>,
    pub reports: Receiver<Report>,
    pub sinks: Vec<OpenSink>,
    pub write_behind: WriteBehind,
    pub record: CommitRecord,
    pub epoch: Epoch,
    pub interval: Duration,
    pub control: &'a Control,
    pub recent: VecDeque<(String, String)>,
    /// Records written in the running epoch, by topic.
    pub written: BTreeMap<String, u64>,
    /// When the dead letters were written that this epoch has settled.
    pub settled: Vec<i64>,
    /// Since when commits wait for the tables.
    pub lag: Option<(Epoch, Instant)>,
    pub commits: u64,
    /// Where the log is one that instances share.
    pub rotation: Option<Rotation>,
    /// The topics of dead letters.
    pub letters: Vec<String>,
}

impl Coordinator<'_> {
    /// Runs epochs until every input has ended or somebody asks to stop. How many were committed.
    pub fn run(mut self) -> Result<u64> {
        self.control.progress.go_back(self.record.totals.records_in);
        self.publish(Counts::default(), Size::default(), Duration::ZERO);
        let base = self.record.totals.clone();
        let mut committed_last = self.settle(&base)?;
        let mut lingered = false;
        self.control.progress.enter(Phase::Running);
        loop {
            let rotate = committed_last && self.rotate()?;
            self.tell(|| Inbound::Resume { committed: committed_last, rotate })?;
            self.tick()?;
            self.gather(self.interval)?;
            let stopping = self.control.stopping();
            let prepared = self.stop_all()?;
            let ended = prepared.iter().all(|part| part.ended);
            let pressure = prepared.iter().any(|part| part.pressure);
            committed_last = self.commit(prepared, &base, ended)?;
            self.keep_up(pressure)?;
            // What outboxes have begun is waited for, and one more commit remembers it.
            if ended || lingered || (stopping && !self.linger()) {
                break;
            }
            lingered = stopping;
        }
        self.control.progress.enter(Phase::Stopping);
        self.tell(|| Inbound::Shutdown)?;
        self.write_behind.flush_and_wait()?;
        self.write_behind.close()?;
        Ok(self.commits)
    }

    /// Sends a barrier through every worker before any record: behind it each has heard which of its peers are idle
    /// and which watermarks were restored. Without it, whether a record of the first epoch is late would depend on who
    /// spoke first. What the last commit left over, due timers and closing windows, may go on before the barrier, so
    /// it ends an epoch like any other. The clock goes before it too, as no record may meet an operator that has never
    /// heard the time. Whether that was committed.
    ///
    /// The first commit of a job has no records. It says where the outputs begin, so that what is written to them
    /// before the next one is known to be nobody else's; and where the inputs begin, so that one which begins at its
    /// newest record skips nothing.
    fn settle(&mut self, base: &crate::commit_record::Totals) -> Result<bool> {
        self.tick()?;
        let prepared = self.stop_all()?;
        self.commit(prepared, base, self.record.ended)
    }

    fn tell(&self, inbound: impl Fn() -> Inbound) -> Result<()> {
        for peer in &self.peers {
            if peer.send(inbound()).is_err() {
                return Err(self.failure());
            }
        }
        Ok(())
    }

    /// Why a worker has gone.
    fn failure(&self) -> Error {
        for report in self.reports.try_iter() {
            if let Report::Failed(error) = report {
                return error;
            }
        }
        Error::bug("a worker has stopped without a word")
    }

    fn tick(&mut self) -> Result<()> {
        let now = clock::wall().max(Timestamp::from_micros(self.record.tick_micros));
        self.record.tick_micros = now.as_micros();
        self.control.progress.set_behind_bytes(self.write_behind.retained_bytes() as u64);
        self.tell(|| Inbound::Tick(now))
    }

    /// Takes what workers send until the epoch should end.
    fn gather(&mut self, interval: Duration) -> Result<()> {
        let end = clock::now() + interval;
        let mut ended = 0;
        loop {
            self.control.progress.look_around();
            let left = end.saturating_duration_since(clock::now());
            if left.is_zero() || self.control.stopping() {
                return Ok(());
            }
            match self.reports.recv_timeout(left.min(LOOK_UP)) {
                Ok(Report::Chunk { sink, chunk }) => self.append(sink, chunk)?,
                Ok(Report::Full) => return Ok(()),
                Ok(Report::Ended) => {
                    ended += 1;
                    if ended == self.peers.len() {
                        return Ok(());
                    }
                }
                Ok(Report::Prepared(_)) => return Err(Error::bug("a worker prepared before the barrier")),
                Ok(Report::Failed(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => {
                    self.check()?;
                    self.tick()?;
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure()),
            }
        }
    }

    /// That no other instance has taken over.
    fn check(&self) -> Result<()> {
        self.rotation.as_ref().map_or(Ok(()), |rotation| rotation.log.check())
    }

    /// Begins a rotation of the log if one is due. Whether workers begin theirs with the next epoch.
    fn rotate(&mut self) -> Result<bool> {
        let Some(rotation) = self.rotation.as_mut().filter(|rotation| rotation.is_due()) else { return Ok(false) };
        self.write_behind.flush_and_wait()?;
        self.lag = None;
        rotation.begin();
        Ok(true)
    }

    /// Sends the barrier and waits until it has passed through every worker.
    fn stop_all(&mut self) -> Result<Vec<Prepared>> {
        let epoch = self.epoch.next();
        self.tell(|| Inbound::Barrier(epoch))?;
        let mut prepared = Vec::with_capacity(self.peers.len());
        while prepared.len() < self.peers.len() {
            self.control.progress.look_around();
            match self.reports.recv() {
                Ok(Report::Prepared(part)) => prepared.push(*part),
                Ok(Report::Chunk { sink, chunk }) => self.append(sink, chunk)?,
                Ok(Report::Full | Report::Ended) => {}
                Ok(Report::Failed(error)) => return Err(error),
                Err(_) => return Err(self.failure()),
            }
        }
        prepared.sort_by_key(|part| part.worker);
        Ok(prepared)
    }

    /// Waits for what sinks have begun. Whether one has something to commit.
    fn linger(&mut self) -> bool {
        let deadline = clock::now() + PATIENCE;
        self.sinks.iter_mut().for_each(|sink| sink.committer.close());
        let mut any = false;
        for sink in &mut self.sinks {
            any |= sink.committer.linger(deadline);
        }
        any
    }

    fn append(&mut self, node: usize, chunk: Chunk) -> Result<()> {
        let sink = self.sinks.iter_mut().find(|sink| sink.node == node);
        let sink = sink.ok_or_else(|| Error::bug(format!("node {node} is not a sink")))?;
        *self.written.entry(sink.topic.clone()).or_default() += chunk.records as u64;
        if sink.topic == SETTLED {
            self.settled.extend(letters::settled_times(&chunk.bytes)?);
        }
        if is_internal(&sink.topic) {
            return sink.committer.append(chunk).map_err(|error| error.within(format!("write {}", sink.topic)));
        }
        let lines = chunk.bytes.trim_ascii_end().rsplit(|&byte| byte == b'\n').take(RECENT_MAX);
        let lines: Vec<String> = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        for line in lines.into_iter().rev().filter(|line| !line.is_empty()) {
            self.recent.push_back((sink.topic.clone(), line));
        }
        while self.recent.len() > RECENT_MAX {
            self.recent.pop_front();
        }
        sink.committer.append(chunk).map_err(|error| error.within(format!("write {}", sink.topic)))
    }

    /// Commits the epoch, unless it changed nothing. Whether it did.
    fn commit(&mut self, prepared: Vec<Prepared>, base: &crate::commit_record::Totals, ended: bool) -> Result<bool> {
        let began = clock::now();
        let state_bytes: usize = prepared.iter().map(|part| part.state_bytes).sum();
        let mut record = CommitRecord { ended, ..self.record.clone() };
        record.notes.clear();
        let rotated = prepared.iter().all(|part| part.rotated);
        let mut blocks = Vec::new();
        let mut counts = Counts::default();
        let mut size = Size { state_bytes, ..Size::default() };
        for part in prepared {
            record.positions.extend(part.positions);
            record.notes.extend(part.changes.notes);
            size.changed_rows += part.changes.rows;
            blocks.extend(part.changes.blocks);
            counts.add(part.counts);
        }
        record.notes.sort();
        // The log wants shards in order; a worker's own blocks are already.
        blocks.sort_by_key(|block| block.shard);
        for sink in &mut self.sinks {
            let length = sink.committer.prepare().map_err(|error| error.within(format!("write {}", sink.topic)))?;
            // What has no place to find again is not remembered: an outbox may have the name of a topic.
            if !length.is_empty() {
                record.sinks.insert(sink.topic.clone(), length);
            }
        }
        let is_due = self.rotation.as_ref().is_some_and(|rotation| rotation.log.is_due());
        let has_written = self.rotation.is_some() && !self.written.is_empty();
        if blocks.is_empty() && !record.moved_since(&self.record) && !is_due && !has_written {
            return Ok(false);
        }
        self.count(&mut record, base, &counts);
        size.changed_bytes = blocks.iter().map(|block| block.bytes.len() as u64).sum();
        let epoch = self.epoch.next();
        self.write_behind.commit(Commit { epoch, blocks, marker: record.write()? })?;
        self.epoch = epoch;
        self.record = record;
        self.commits += 1;
        if let Some(rotation) = &mut self.rotation {
            rotation.committed(rotated);
        }
        for sink in &mut self.sinks {
            sink.committer.committed().map_err(|error| error.within(format!("write {}", sink.topic)))?;
        }
        let commit_time = clock::now() - began;
        self.control.progress.count(Step {
            commit_time,
            changed_bytes: size.changed_bytes,
            changed_rows: size.changed_rows,
            records_in: std::mem::take(&mut counts.read),
        });
        self.publish(counts, size, commit_time);
        Ok(true)
    }

    /// Has the tables follow the log within the time allowed, and at once where memory waits for it.
    fn keep_up(&mut self, pressure: bool) -> Result<()> {
        if pressure {
            self.lag = None;
            return self.write_behind.flush_and_wait();
        }
        let oldest = self.write_behind.oldest_retained();
        match (oldest, self.lag) {
            (None, _) => self.lag = None,
            (Some(oldest), Some((since_epoch, since))) if oldest <= since_epoch => {
                if clock::now() - since > LAG_TIME_MAX {
                    self.write_behind.request_flush();
                    self.lag = None;
                }
            }
            (Some(_), _) => self.lag = Some((self.epoch, clock::now())),
        }
        Ok(())
    }

    /// The partition whose newest record is the oldest: it holds the watermark of `operator` back.
    fn slowest(&self, operator: &str) -> Option<String> {
        let notes = self.record.notes.iter().filter(|note| note.operator == operator && note.text.ends_with(" active"));
        let newest = |note: &&headwater_state::Note| note.text.split(' ').next().and_then(|micros| micros.parse().ok());
        notes.min_by_key(|note| newest(note).unwrap_or(i64::MIN)).map(|note| note.scope.clone())
    }

    /// What is counted over all runs.
    fn count(&mut self, record: &mut CommitRecord, base: &crate::commit_record::Totals, counts: &Counts) {
        let totals = &mut record.totals;
        totals.records_in = base.records_in + counts.records_in;
        totals.bad = base.bad + counts.bad;
        totals.late = base.late + counts.late;
        for (topic, written) in std::mem::take(&mut self.written) {
            if self.letters.contains(&topic) {
                totals.open_letters.written(written, record.tick_micros);
            }
            *totals.records_out.entry(topic).or_default() += written;
        }
        std::mem::take(&mut self.settled).into_iter().for_each(|written| totals.open_letters.settled(written));
    }

    fn publish(&self, counts: Counts, size: Size, commit_time: Duration) {
        let totals = &self.record.totals;
        self.control.progress.commit(Committed {
            epoch: self.epoch.0,
            records_in: totals.records_in,
            records_out: totals
                .records_out
                .iter()
                .filter(|(topic, _)| !is_internal(topic))
                .map(|(topic, count)| (topic.clone(), *count))
                .collect(),
            dead_letters: totals.open_letters.len(),
            dead_letters_since: totals.open_letters.oldest(),
            bad: totals.bad,
            late: totals.late,
            held_back_by: counts.watermark.as_ref().and_then(|(_, operator)| self.slowest(operator)),
            watermark: counts.watermark.map(|(watermark, _)| watermark),
            open_windows: counts.open_windows,
            state_bytes: size.state_bytes as u64,
            changed_bytes: size.changed_bytes,
            changed_rows: size.changed_rows,
            commit_time,
            recent: self.recent.iter().cloned().collect(),
            ended: self.record.ended,
        });
    }
}

/// How much state there is, and how much of it an epoch changed.
#[derive(Default)]
struct Size {
    state_bytes: usize,
    changed_bytes: u64,
    changed_rows: u64,
}

impl Counts {
    /// Adds another worker's.
    pub fn add(&mut self, other: Self) {
        self.records_in += other.records_in;
        self.bad += other.bad;
        self.late += other.late;
        self.read.extend(other.read);
        // Every worker holds its shards of the same windows.
        self.open_windows = self.open_windows.max(other.open_windows);
        // A worker whose partitions have all ended, or that has none, holds nothing back.
        self.watermark = [self.watermark.take(), other.watermark].into_iter().flatten().min();
    }
}
