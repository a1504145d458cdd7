//! A process as an instance of a job whose commits are in Kafka: its name, its membership, the job's own topics.
//! It lives through all attempts of a run.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_state::{Bulk, Commit, Epoch, Store};
use rdkafka::Offset;

use super::admin::Admin;
use super::asking::Asker;
use super::checkpoint::Checkpoint;
use super::client::Client;
use super::config::Kafka;
use super::internal_topics;
use super::membership::{Membership, lock_topic};
use super::reader::Reader;
use super::wanted::Wanted;
use crate::plan::Plan;
use crate::progress::Phase;
use crate::run::Control;
use crate::{Error, Result, RunOptions, clock};

/// Committed blocks that a standby gathers before it writes them to its tables.
const STANDBY_BYTES: usize = 16 << 20;
/// How often a standby looks for more.
const STANDBY_LOOK: Duration = Duration::from_millis(500);
/// The only member of a group is assigned the job within this.
const ALONE_MAX: Duration = Duration::from_secs(20);
/// How long committed blocks wait at most until a standby writes them to its tables.
const STANDBY_LAG: Duration = Duration::from_secs(2);

/// An instance of a job.
pub(crate) struct Session {
    pub(super) kafka: Kafka,
    pub(super) job: String,
    pub(super) instance: String,
    pub(super) interval: Duration,
    pub(super) membership: Membership,
    pub(super) admin: Admin,
    pub(super) shards: u16,
    /// The topics of the same cluster that the job reads, and how many partitions they have.
    pub(super) sources: Vec<(String, i32)>,
    /// The topics that the job writes.
    pub(super) outputs: Vec<String>,
    /// Offsets of partitions that stand still are committed anew so often.
    pub(super) recommit: Duration,
    /// Those who ask questions, of what is not committed and of what is. They stay connected: whoever takes over has no time
    /// to connect again.
    pub(super) askers: [OnceLock<Asker>; 2],
    /// The newest commit when this instance joined, if it is to start over.
    pub(super) newest: OnceLock<u64>,
}

/// The tables of this process, and where its files are.
pub(crate) struct Local<'a> {
    pub store: Arc<dyn Store>,
    pub directory: Option<&'a Path>,
}

impl Session {
    /// Makes the job's own topics where they are missing, and joins its group, after `another` session that
    /// [is over](Self::is_over).
    ///
    /// # Errors
    /// `Config` for wrong options, missing rights, or topics that would lose state; `Unavailable` where no broker
    /// answers.
    pub fn start(
        kafka: &Kafka,
        plan: &Plan,
        options: &RunOptions,
        instance: &str,
        another: Option<&Self>,
    ) -> Result<Self> {
        let job = plan.job.as_str();
        let (state, lock) = (state_topic(job), lock_topic(job));
        // Whoever gives a wrong address learns of it at once, and why.
        Client::reach(kafka)?;
        let admin = Admin::new(kafka)?;
        let shards = internal_topics::ensure(kafka, &admin, &state, &lock, options.shards)?;
        let here = plan.kafka_inputs.iter().filter(|topic| topic.cluster().shares_broker(kafka));
        let sources = here.map(|topic| {
            let partitions = admin.partitions(topic.name())?;
            Ok((topic.name().to_owned(), i32::from(partitions)))
        });
        let sources = sources.collect::<Result<_>>()?;
        let newest = another.map(|another| another.newest.clone()).unwrap_or_default();
        let another = another.map(|another| &another.membership);
        let membership = Membership::join(kafka, job, instance, !options.leave, another)?;
        Ok(Self {
            kafka: kafka.clone(),
            job: job.to_owned(),
            instance: instance.to_owned(),
            interval: options.commit_interval,
            membership,
            admin,
            shards,
            sources,
            outputs: plan.kafka_outputs.clone(),
            recommit: options.recommit_interval,
            askers: Default::default(),
            newest,
        })
    }

    /// The name of this process among those of the job.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Whether it takes another session to go on.
    pub fn is_over(&self) -> bool {
        self.membership.is_replaced()
    }

    /// Leaves the work to another instance, where there is one.
    ///
    /// # Errors
    /// `Unavailable` where the broker does not answer.
    pub fn step_aside(&self, control: &Control) -> Result<()> {
        self.membership.step_aside(&|| control.stopping())
    }

    /// How many shards the job has: as many as its changelog has partitions.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    pub fn state_topic(&self) -> String {
        state_topic(&self.job)
    }

    pub(super) fn transactional_id(&self) -> String {
        format!("{}/{}", self.job, self.instance)
    }

    /// Connects to read the changelog.
    pub(super) fn client(&self) -> Result<Client> {
        Client::to_read(&self.kafka.topic(self.state_topic()), usize::from(self.shards))
    }

    /// Whether tables that are as far as `checkpoint` says can follow the changelog; if not, why.
    ///
    /// # Errors
    /// `Config` where the changelog is another one than the tables were made from.
    pub fn follows(&self, checkpoint: Option<&Checkpoint>) -> Result<Result<(), String>> {
        let Some(checkpoint) = checkpoint else { return Ok(Err("how far they are is not known".to_owned())) };
        let client = self.client()?;
        let now = client.identity();
        if (&checkpoint.topic, &checkpoint.cluster) != (&now.topic, &now.cluster) {
            return Err(Error::config(format!(
                "the state here was made from another changelog than {} is now: the topic was deleted and created again, \
                 or this is another cluster; bring the topic back, or start over with --fresh",
                self.state_topic()
            )));
        }
        if checkpoint.shards.len() != usize::from(self.shards) {
            return Ok(Err("what was written down of them is of other shards".to_owned()));
        }
        let asker = self.stable()?;
        let (lows, highs) = (self.offsets(asker, Offset::Beginning)?, self.offsets(asker, Offset::End)?);
        for (number, (offset, _)) in checkpoint.shards.iter().enumerate() {
            let (low, high) = (lows[number], highs[number]);
            // Tables are not given up for a log that cannot fill others.
            if low == high || *offset >= high {
                return Err(Error::corrupt(format!(
                    "{}[{number}] begins at offset {low} and ends at {high}, and the state here has followed it to {offset}: \
                     somebody else has deleted commits; bring the topic's data back, or start over with --fresh",
                    self.state_topic()
                )));
            }
            if *offset < low {
                return Ok(Err(format!("the changelog begins at offset {low} of shard {number}, behind {offset}")));
            }
        }
        Ok(Ok(()))
    }

    /// Follows the changelog into the tables until this is the active instance, and says since when it is; `None`
    /// where it was asked to stop before. An instance that is to start over leaves its tables empty.
    ///
    /// # Errors
    /// What reading and writing report.
    pub fn stand_by(&self, local: &Local<'_>, wanted: &Wanted<'_>, control: &Control) -> Result<Option<u64>> {
        let mut tail = None;
        let mut told = false;
        let began = clock::now();
        let is_over = || control.stopping() || !matches!(self.membership.term(), Ok(None));
        loop {
            if let Some(term) = self.membership.term()? {
                if let Some(Tail { reader, .. }) = tail {
                    reader.close_aside();
                }
                // Replicas are started alike: one that takes over must not wipe what the other has done.
                if wanted.fresh {
                    self.check_nobody_went_on()?;
                }
                return Ok(Some(term));
            }
            if control.stopping() {
                return Ok(None);
            }
            // Most starts are assigned at once, and brokers let the first member of a group wait for more of them, 3 s by
            // default; there is nothing to follow yet.
            let waited = clock::now() - began;
            if waited < STANDBY_LOOK * 2 {
                self.membership.wait(Duration::from_millis(50));
                continue;
            }
            if !told {
                let is_alone = self.membership.is_alone();
                if is_over() {
                    continue;
                }
                if is_alone == Some(true) && waited < ALONE_MAX {
                    self.membership.wait(STANDBY_LOOK);
                    continue;
                }
                told = true;
                self.tell_standby(is_alone == Some(false), control);
            }
            if wanted.fresh {
                self.membership.wait(STANDBY_LOOK);
                continue;
            }
            let tail = match &mut tail {
                Some(tail) => tail,
                none => {
                    // Who takes over asks both.
                    self.anybody()?;
                    let reader = self.reader(local)?;
                    none.insert(Tail { reader, held: Vec::new(), bytes: 0, since: clock::now() })
                }
            };
            tail.follow(self, (local, wanted), &is_over)?;
            self.membership.wait(STANDBY_LOOK);
        }
    }

    fn tell_standby(&self, has_another: bool, control: &Control) {
        control.progress.enter(Phase::StandingBy);
        let (job, timeout) = (&self.job, self.membership.session_timeout());
        if has_another {
            tracing::info!(
                "standing by: another instance of {job} is active, or its place is kept for it ({timeout:?} after its last sign)"
            );
        } else {
            tracing::info!("standing by until the group of {job} makes this instance the active one");
        }
    }

    /// Reads the changelog from where the tables are.
    pub(super) fn reader(&self, local: &Local<'_>) -> Result<Reader> {
        let client = self.client()?;
        let checkpoint = local.directory.and_then(Checkpoint::load).filter(|checkpoint| checkpoint.epoch > 0);
        let topic = self.state_topic();
        match checkpoint {
            Some(checkpoint) if checkpoint.epoch <= local.store.durable().0 => {
                let starts: Vec<i64> = checkpoint.shards.iter().map(|(offset, _)| *offset).collect();
                let mut reader = Reader::new(client, &topic, &starts, false, local.store.durable())?;
                reader.assembly.job = checkpoint.job;
                Ok(reader)
            }
            _ => {
                let lows = self.offsets(self.stable()?, Offset::Beginning)?;
                Reader::new(client, &topic, &lows, true, local.store.durable())
            }
        }
    }
}

/// The name of a job's changelog.
pub(super) fn state_topic(job: &str) -> String {
    format!("{job}.state")
}

/// A standby on its way along the changelog.
struct Tail {
    reader: Reader,
    held: Vec<Commit>,
    bytes: usize,
    since: std::time::Instant,
}

impl Tail {
    fn follow(
        &mut self,
        session: &Session,
        (local, wanted): (&Local<'_>, &Wanted<'_>),
        stopping: &dyn Fn() -> bool,
    ) -> Result<()> {
        // By another connection than the reader's, where questions wait behind fetches.
        let ends = session.offsets(session.stable()?, Offset::End)?;
        self.reader.read_to(&ends);
        while let Some(commit) = self.reader.next(stopping)? {
            if self.held.is_empty() {
                self.since = clock::now();
            }
            self.bytes += bytes_of(&commit);
            self.held.push(commit);
            if self.bytes >= STANDBY_BYTES {
                self.write(local)?;
            }
        }
        // A newer version of the job may have become the active one, with tables that this one does not know.
        wanted.check_newest(&mut self.reader, session)?;
        if !self.held.is_empty() && self.reader.assembly.is_whole() && clock::now() - self.since >= STANDBY_LAG {
            self.write(local)?;
        }
        Ok(())
    }

    fn write(&mut self, local: &Local<'_>) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        self.bytes = 0;
        local.store.apply(&Bulk::merge(&held)?)?;
        if self.reader.assembly.is_whole()
            && let Some(last) = held.last()
        {
            save(&self.reader, local, last.epoch)?;
        }
        Ok(())
    }
}

pub(super) fn bytes_of(commit: &Commit) -> usize {
    commit.blocks.iter().map(|block| block.bytes.len()).sum()
}

/// Writes down how far the tables are, after them.
pub(super) fn save(reader: &Reader, local: &Local<'_>, epoch: Epoch) -> Result<()> {
    match local.directory {
        Some(directory) => {
            let identity = reader.client().identity();
            Checkpoint::new(identity, reader.assembly.job.as_deref(), epoch, &reader.last()).save(directory)
        }
        None => Ok(()),
    }
}
