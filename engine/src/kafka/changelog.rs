//! The log of a job whose commits are in Kafka: delta blocks and markers in its changelog topic, committed together
//! with outputs and offsets.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_state::{BlockLog, Bulk, Commit, Epoch, Store, crash};

use super::assembly::LastMarker;
use serde_json::value::RawValue;

use super::checkpoint::Checkpoint;
use super::ffi::GroupOffset;
use super::marker::{self, BLOCK, Marker, Token, VERSION};
use super::position::Identity;
use super::session::{Local, Session};
use super::source_offsets::group_offset;
use super::transactions::Transactions;
use super::wanted::Wanted;
use super::written::Outputs;
use crate::commit_record::CommitRecord;
use crate::job_state::SharedLog;
use crate::progress::Phase;
use crate::run::Control;
use crate::sink::Outgoing;
use crate::{Error, Result, clock, state_dir};

/// The changelog, open for writing.
pub(crate) struct Changelog {
    session: Arc<Session>,
    /// The assignment under which it was opened.
    term: u64,
    transactions: Arc<Transactions>,
    job_id: String,
    /// What the state is, for commits that have a marker in every shard.
    manifest: Box<RawValue>,
    directory: Option<PathBuf>,
    identity: Identity,
    log: Mutex<Log>,
}

struct Log {
    last: Option<(Epoch, Vec<u8>)>,
    /// Per shard.
    markers: Vec<LastMarker>,
    /// What changed of them since the tables' last bulk.
    unsaved: VecDeque<(Epoch, Vec<(u16, LastMarker)>)>,
    saved: Vec<LastMarker>,
    /// The next commit has a marker in every shard.
    claims: bool,
    /// When all offsets were committed.
    all_at: Option<Instant>,
    /// Source offsets as they are committed, by the engine's name of the partition.
    offsets: BTreeMap<String, String>,
    /// Where the last records in outputs are.
    outputs: Outputs,
    /// The first commit that the log must hold.
    since: u64,
    /// Where the running rotation began.
    rotation: Option<Beginning>,
    /// What was before it can be deleted, once a marker says so.
    shorten: Option<Vec<i64>>,
    bytes: u64,
}

/// Where the log begins once a rotation is complete.
struct Beginning {
    epoch: u64,
    /// Per shard.
    offsets: Vec<i64>,
    /// Of the log then.
    bytes: u64,
}

impl Changelog {
    /// Takes the job over, and brings the tables of `local` level. Steps 1 to 4 of the protocol, claims included.
    ///
    /// # Errors
    /// `Fenced` where another instance came first; `Corrupt` where log and offsets do not fit together; `Config` and
    /// `Unavailable` as brokers answer.
    pub fn open(
        session: &Arc<Session>,
        term: u64,
        local: &Local<'_>,
        wanted: &Wanted<'_>,
        control: &Control,
    ) -> Result<Self> {
        session.membership.check(term)?;
        control.progress.enter(Phase::Opening);
        let began = clock::now();
        let fresh = wanted.fresh;
        let (transactions, found) = session.take_over(term, fresh, control)?;
        tracing::debug!(took = ?clock::now() - began, "nothing is open");
        let replayed =
            if fresh { session.begin_anew(&found)? } else { session.replay(&found, local, wanted, control)? };
        let job_id = match &replayed.job {
            Some(id) => id.clone(),
            None => state_dir::new_id()?,
        };
        let epoch = replayed.last.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch);
        let record = match &replayed.last {
            Some((_, record)) if !fresh => CommitRecord::read(record)?,
            _ => CommitRecord::default(),
        };
        if !fresh {
            session.check_sources(replayed.last.as_ref().map(|_| &record))?;
        }
        let manifest = marker::raw_of(&wanted.manifest(&job_id, session.shards))?;
        let changelog = Self {
            session: Arc::clone(session),
            term,
            transactions: Arc::new(transactions),
            job_id,
            manifest,
            directory: local.directory.map(Into::into),
            identity: replayed.identity,
            log: Mutex::new(Log {
                last: replayed.last,
                saved: replayed.markers.clone(),
                markers: replayed.markers,
                unsaved: VecDeque::new(),
                claims: true,
                all_at: None,
                offsets: BTreeMap::new(),
                outputs: Outputs::default(),
                since: replayed.since.unwrap_or(epoch.0 + 1),
                rotation: None,
                shorten: None,
                bytes: replayed.log_bytes,
            }),
        };
        changelog.claim(epoch.next(), &record, &*local.store)?;
        tracing::debug!(took = ?clock::now() - began, "claimed every shard");
        Ok(changelog)
    }

    /// Commits an epoch without changes that names the owner in every shard: whoever was it before can commit no more.
    fn claim(&self, epoch: Epoch, record: &CommitRecord, store: &dyn Store) -> Result<()> {
        let commit = Commit { epoch, blocks: Vec::new(), marker: record.write()? };
        self.append(&commit)?;
        store.apply(&Bulk::merge([&commit])?)?;
        self.trim(epoch)?;
        crash::point("kafka.claimed");
        Ok(())
    }

    /// The id of the job, as its changelog has it.
    pub fn job_id(&self) -> &str {
        &self.job_id
    }
}

impl SharedLog for Changelog {
    fn transaction(&self) -> crate::sink::Transaction {
        Arc::clone(&self.transactions) as crate::sink::Transaction
    }

    fn instance(&self) -> Option<String> {
        Some(self.session.instance().to_owned())
    }

    fn check(&self) -> Result<()> {
        self.session.membership.check(self.term)
    }

    fn owned_for(&self) -> Duration {
        self.session.membership.session_timeout() / 2
    }

    fn is_due(&self) -> bool {
        self.log().is_due(self.session.recommit)
    }

    fn begin_rotation(&self) {
        let mut log = self.log();
        log.rotation = Some(Beginning {
            epoch: log.last.as_ref().map_or(0, |(epoch, _)| epoch.0) + 1,
            // The last markers stay: tables that are as old begin to read with them.
            offsets: log.markers.iter().map(|last| last.offset).collect(),
            bytes: log.bytes,
        });
        log.claims = true;
    }

    fn end_rotation(&self) {
        let mut log = self.log();
        let Some(beginning) = log.rotation.take() else { return };
        log.since = beginning.epoch;
        // Not earlier: one that a restart breaks off is due again at once.
        log.bytes = log.bytes.saturating_sub(beginning.bytes);
        // Whoever finds the log shortened must find a marker that allows it.
        log.shorten = Some(beginning.offsets);
        log.claims = true;
    }

    fn bytes(&self) -> u64 {
        self.log().bytes
    }

    fn settle(&self) {
        let outputs = self.log().outputs.clone();
        self.session.await_readable(&outputs);
    }
}

impl Changelog {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shorten(&self, log: &mut Log, offsets: Vec<i64>) {
        let topic = self.session.state_topic();
        if let Err(error) = self.session.admin.delete_before(&topic, &offsets) {
            tracing::warn!(
                %error,
                "{topic} was not shortened and goes on growing; allow the client's user Delete on it"
            );
            // Tried again with the next commit that has a marker in every shard.
            log.shorten = Some(offsets);
        }
    }

    /// Produces a commit's blocks and markers, and commits them with the offsets.
    fn write(&self, log: &mut Log, commit: &Commit) -> Result<()> {
        self.check()?;
        let owner = self.session.transactional_id();
        let token = Token { epoch: commit.epoch.0, attempt: state_dir::new_id()?, owner };
        let is_full = log.is_due(self.session.recommit);
        let shards = if is_full { (0..self.session.shards).collect() } else { changed(commit) };
        let manifest = is_full.then(|| self.manifest.clone());
        // The markers say where the records of outputs are.
        self.transactions.drain()?;
        self.look_after(log)?;
        let outputs = self.transactions.written();
        let marks = Marks { token: &token, shards: &shards, manifest, outputs: Some(outputs.clone()) };
        self.produce(log, commit, marks)?;
        crash::point("kafka.before_drain");
        let placed = self.transactions.drain()?;
        let state = self.session.state_topic();
        let mut offsets = Vec::with_capacity(shards.len() + 8);
        let mut marked = Vec::with_capacity(shards.len());
        for shard in shards {
            let offset = placed.of_marker(shard)?;
            offsets.push(GroupOffset::new(&state, i32::from(shard), offset + 1, token.to_string())?);
            marked.push((shard, LastMarker { offset, token: Some(token.clone()) }));
        }
        let positions = CommitRecord::read(&commit.marker)?.positions;
        for (name, position) in &positions {
            if is_full || log.offsets.get(name) != Some(position) {
                offsets.extend(group_offset(name, position, &self.identity, &token));
            }
        }
        let committing = self.session.membership.commit(self.term)?;
        self.transactions.commit(&offsets, &committing.member)?;
        drop(committing);
        log.outputs.follow(outputs);
        if is_full {
            log.all_at = Some(clock::now());
            log.claims = false;
        }
        for (shard, last) in &marked {
            log.markers[usize::from(*shard)] = last.clone();
        }
        log.unsaved.push_back((commit.epoch, marked));
        log.offsets = positions;
        log.last = Some((commit.epoch, commit.marker.clone()));
        if is_full && let Some(offsets) = log.shorten.take() {
            self.shorten(log, offsets);
        }
        self.look_after(log)?;
        // Taking the id anew lifts a fence, so all shards are claimed with the next commit.
        self.check()?;
        log.claims |= self.transactions.settle()?;
        Ok(())
    }

    /// That the last commit has ended everywhere, if connections were lost.
    fn look_after(&self, log: &Log) -> Result<()> {
        let Some(lost) = self.transactions.disturbed() else { return Ok(()) };
        self.session.check_ended(&log.markers, &log.outputs)?;
        self.transactions.calm(lost);
        Ok(())
    }

    /// Produces blocks, then the markers.
    fn produce(&self, log: &mut Log, commit: &Commit, marks: Marks<'_>) -> Result<()> {
        let Marks { token, shards, mut manifest, mut outputs } = marks;
        let topic = self.session.state_topic();
        let add = |value: &[u8], shard: u16, tag| {
            let (key, value) = (Some(token.owner.as_bytes()), Some(value));
            let record = Outgoing { topic: &topic, key, value, headers: &[], timestamp: None };
            self.transactions.add(&record, Some(i32::from(shard)), tag)
        };
        crash::point("kafka.before_blocks");
        let mut bytes = Vec::new();
        for block in &commit.blocks {
            bytes.clear();
            bytes.push(BLOCK);
            bytes.extend_from_slice(&block.bytes);
            add(&bytes, block.shard.0, Transactions::NO_TAG)?;
            log.bytes += bytes.len() as u64;
        }
        crash::point("kafka.before_markers");
        let mut record = Some(marker::raw(&commit.marker)?);
        let mut earlier = Some(log.outputs.clone()).filter(|outputs| !outputs.is_empty());
        for shard in shards {
            let blocks = || commit.blocks.iter().filter(|block| block.shard.0 == *shard);
            let marker = Marker {
                v: VERSION,
                job: self.job_id.clone(),
                token: token.clone(),
                blocks: blocks().count() as u32,
                digest: marker::digest(blocks()),
                shards: shards.to_vec(),
                record: record.take(),
                outputs: outputs.take(),
                earlier: earlier.take(),
                since: log.since,
                manifest: manifest.take(),
                log_bytes: log.bytes,
            };
            let bytes = marker.write()?;
            log.bytes += bytes.len() as u64;
            add(&bytes, *shard, Transactions::tag_of(*shard))?;
        }
        Ok(())
    }
}

/// What a commit's markers have in common, and where they are.
struct Marks<'a> {
    token: &'a Token,
    shards: &'a [u16],
    /// Of the first of them.
    manifest: Option<Box<RawValue>>,
    outputs: Option<Outputs>,
}

/// The shards that a commit changes; the first where it changes none, because its record has to be somewhere.
fn changed(commit: &Commit) -> Vec<u16> {
    let mut shards: Vec<u16> = commit.blocks.iter().map(|block| block.shard.0).collect();
    shards.dedup();
    if shards.is_empty() { vec![0] } else { shards }
}

impl Log {
    /// Whether the next commit names the owner in every shard, and has all offsets.
    fn is_due(&self, recommit: Duration) -> bool {
        self.claims || self.all_at.is_none_or(|at| clock::now() - at >= recommit)
    }
}

impl BlockLog for Changelog {
    fn append(&self, commit: &Commit) -> Result<()> {
        let mut log = self.log();
        let expected = log.last.as_ref().map_or(Epoch(0), |(epoch, _)| *epoch).next();
        if commit.epoch != expected {
            return Err(Error::bug(format!("commit {} does not follow the log's last", commit.epoch)));
        }
        self.write(&mut log, commit)
    }

    fn last(&self) -> Result<Option<(Epoch, Vec<u8>)>> {
        Ok(self.log().last.clone())
    }

    /// The topic itself is shortened by rotations; here is written down how far the tables are.
    fn trim(&self, epoch: Epoch) -> Result<()> {
        let mut log = self.log();
        while log.unsaved.front().is_some_and(|(of, _)| *of <= epoch) {
            let Some((_, marked)) = log.unsaved.pop_front() else { break };
            for (shard, last) in marked {
                log.saved[usize::from(shard)] = last;
            }
        }
        match &self.directory {
            Some(directory) => Checkpoint::new(&self.identity, Some(&self.job_id), epoch, &log.saved).save(directory),
            None => Ok(()),
        }
    }
}
