//! Takes a job over: ends what its last owner left open, finds out what is committed, and reads it.
//!
//! The order matters: fence, then the committed tokens, then the end of the changelog. Read the other way round, a
//! commit that happens in between is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use headwater_state::{Epoch, crash};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::assembly::LastMarker;
use super::errors::refused_options;
use super::filling::fill;
use super::marker::Token;
use super::options::Role;
use super::patience::{Patience, remedy};
use super::position::Identity;
use super::reader::Reader;
use super::session::{Local, Session, save};
use super::told::Told;
use super::transactions::fence;
use super::wanted::Wanted;
use crate::progress::Progress;
use crate::{Error, Kind, Result, clock};

/// Opening waits so long for transactions that others have open.
const PATIENCE: Duration = Duration::from_secs(120);
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(200);

/// Asks about offsets, and reads what is not committed.
pub(super) type Asker = BaseConsumer<Told>;

/// What is committed.
pub(super) struct Found {
    /// The assignment under which it was found.
    term: u64,
    /// Per shard.
    tokens: Vec<Option<Token>>,
    /// Per shard: where its log ends, with nothing open.
    ends: Vec<i64>,
}

/// What was read.
pub(super) struct Replayed {
    /// The last commit, with its record.
    pub last: Option<(Epoch, Vec<u8>)>,
    pub markers: Vec<LastMarker>,
    pub job: Option<String>,
    /// Bytes of the log since its last rotation began.
    pub log_bytes: u64,
    /// The first commit that the log must hold.
    pub since: Option<u64>,
    /// What the changelog is.
    pub identity: Identity,
}

impl Replayed {
    fn of(reader: Reader, last: Option<(Epoch, Vec<u8>)>, markers: Vec<LastMarker>) -> Self {
        let replayed = Self {
            last,
            markers,
            job: reader.assembly.job.clone(),
            log_bytes: reader.assembly.log_bytes(),
            since: reader.assembly.since(),
            identity: reader.client().identity().clone(),
        };
        reader.close_aside();
        replayed
    }
}

impl Session {
    /// Waits until nothing of the job is open, and says what is committed. Steps 1 to 3 of the protocol; every wait goes
    /// back to the first. A job that starts over does not mind what somebody else has set.
    ///
    /// # Errors
    /// `Fenced` where this is not the active instance any more; `Unavailable` where something stays open.
    pub(super) fn find(&self, term: u64, fresh: bool, progress: &Progress) -> Result<Found> {
        let anybody = self.asker("read_uncommitted")?;
        let stable = self.asker("read_committed")?;
        let mut patience = Patience::new(progress, PATIENCE);
        let mut fenced = BTreeSet::new();
        loop {
            self.membership.check(term)?;
            // 1. Whoever wrote last and is gone can write no more.
            let before = self.tokens(anybody, fresh)?;
            let writers = self.open_writers(anybody, stable)?;
            let mut strangers: BTreeSet<String> = before.iter().flatten().map(|token| token.owner.clone()).collect();
            strangers.extend(writers.iter().cloned());
            strangers.remove(&self.transactional_id());
            strangers.retain(|writer| !fenced.contains(writer));
            if !strangers.is_empty() {
                let members = self.membership.members()?;
                for writer in &strangers {
                    let instance = writer.strip_prefix(&format!("{}/", self.job)).unwrap_or(writer);
                    if !members.iter().any(|member| member == instance) {
                        tracing::info!(writer, "fencing an instance that is gone");
                        fence(&self.kafka, writer, &self.instance)?;
                        crash::point("kafka.fenced");
                        fenced.insert(writer.clone());
                    }
                }
            }
            // 2. What is committed, which cannot change behind our back any more.
            let Some(tokens) = self.stable_tokens(stable, fresh)? else {
                let what = format!("the offsets of group {}: a transaction on them is open", self.job);
                patience.wait_for(what, || remedy(self.kafka.brokers()))?;
                clock::wait(AGAIN, || false);
                continue;
            };
            if tokens != before {
                patience.wait_for("commits that go on: another instance of the job writes", || {
                    remedy(self.kafka.brokers())
                })?;
                clock::wait(AGAIN, || false);
                continue;
            }
            // 3. The end of the log, after that.
            let ends = self.offsets(stable, Offset::End)?;
            let true_ends = self.offsets(anybody, Offset::End)?;
            let is_open = |(_, (stable, end)): &(usize, (&i64, &i64))| stable < end;
            let open = ends.iter().zip(&true_ends).enumerate().filter(is_open).map(|(shard, _)| shard);
            let open: Vec<usize> = open.collect();
            if !open.is_empty() {
                let writers = if writers.is_empty() { &strangers } else { &writers };
                let what = format!("a transaction of {writers:?} on {} {open:?} that is open", self.state_topic());
                patience.wait_for(what, || remedy(self.kafka.brokers()))?;
                clock::wait(AGAIN, || false);
                continue;
            }
            return Ok(Found { term, tokens, ends });
        }
    }

    /// Brings the tables level with the changelog. Step 4.
    ///
    /// # Errors
    /// `Corrupt` where what is there is not what was committed; what reading and writing report.
    pub(super) fn replay(
        &self,
        found: &Found,
        local: &Local<'_>,
        wanted: &Wanted<'_>,
        progress: &Progress,
    ) -> Result<Replayed> {
        let mut reader = self.reader(local)?;
        reader.read_to(&found.ends);
        let began = clock::now();
        let (mut last, mut records) = (None, 0u64);
        let gone = || self.membership.check(found.term).is_err();
        fill(&*local.store, |filling| {
            while let Some(mut commit) = reader.next(&gone)? {
                records += 1;
                let (done, total) = reader.progress();
                progress.restoring(done, total);
                last = Some((commit.epoch, std::mem::take(&mut commit.marker)));
                filling.add(commit)?;
            }
            Ok(())
        })?;
        self.membership.check(found.term)?;
        let markers = reader.last();
        self.check_tokens(found, &markers)?;
        if !reader.assembly.is_whole() {
            return Err(Error::corrupt(format!(
                "{} has a commit of which a part is missing: somebody else has deleted records; bring the topic's data \
                 back, or start over with --fresh",
                self.state_topic()
            )));
        }
        wanted.check_newest(&mut reader, self)?;
        if let Some((epoch, _)) = &last {
            save(&reader, local, *epoch)?;
            tracing::info!(commits = records, bytes = reader.bytes, took = ?clock::now() - began, "read the changelog");
        }
        let last = match last {
            Some((epoch, record)) if record.is_empty() => {
                return Err(Error::corrupt(format!("{} has commit {epoch} without its record", self.state_topic())));
            }
            // The tables were level already.
            None if reader_has_markers(&markers) => self.last_record(&mut reader, &markers)?,
            last => last,
        };
        crash::point("kafka.replayed");
        Ok(Replayed::of(reader, last, markers))
    }

    /// Empties the changelog: the job starts over. Commits go on being counted.
    ///
    /// # Errors
    /// `Fenced` where this is not the active instance any more; `Config` where records may not be deleted.
    pub(super) fn begin_anew(&self, found: &Found) -> Result<Replayed> {
        self.membership.check(found.term)?;
        self.admin.delete_before(&self.state_topic(), &found.ends)?;
        let epoch = found.tokens.iter().flatten().map(|token| token.epoch).max();
        let markers = found.ends.iter().map(|end| LastMarker { offset: *end, token: None }).collect();
        Ok(Replayed {
            last: epoch.map(|epoch| (Epoch(epoch), Vec::new())),
            markers,
            job: None,
            log_bytes: 0,
            since: None,
            identity: self.client()?.identity().clone(),
        })
    }

    /// The record of the last commit, where everything before it was read earlier.
    fn last_record(&self, reader: &mut Reader, markers: &[LastMarker]) -> Result<Option<(Epoch, Vec<u8>)>> {
        let epoch = markers.iter().filter_map(|last| last.token.as_ref()).map(|token| token.epoch).max();
        let record = reader.assembly.record_of(epoch.unwrap_or_default());
        match (epoch, record) {
            (Some(epoch), Some(record)) => Ok(Some((Epoch(epoch), record))),
            _ => Err(Error::corrupt(format!("{} has no record of its last commit", self.state_topic()))),
        }
    }

    /// That the log ends with what the group says is committed.
    fn check_tokens(&self, found: &Found, markers: &[LastMarker]) -> Result<()> {
        let topic = self.state_topic();
        let mut expired = 0;
        for (shard, (token, last)) in found.tokens.iter().zip(markers).enumerate() {
            if token == &last.token {
                continue;
            }
            // A marker that can be read was committed, and with it an offset.
            if token.is_none() {
                expired += 1;
                continue;
            }
            let say = |token: &Option<Token>| token.as_ref().map_or("nothing".to_owned(), |token| format!("`{token}`"));
            // The next owner may have come in between.
            let now = self.tokens(self.asker("read_committed")?, false)?;
            if now.get(shard) != Some(token) {
                return Err(Error::new(Kind::Fenced, format!("{topic}[{shard}] was taken over while it was read")));
            }
            return Err(Error::corrupt(format!(
                "{topic}[{shard}] ends with {} and the group {} says that {} is committed: the topic was cut or written \
                 by somebody else; bring its data back, or start over with --fresh",
                say(&last.token),
                self.job,
                say(token)
            )));
        }
        if expired > 0 {
            tracing::warn!(
                "the group {} has no offsets of {expired} partitions of {topic} any more, as after it was empty for longer \
                 than the brokers keep offsets: going by the changelog itself",
                self.job
            );
        }
        Ok(())
    }

    /// Has one who asks connect, and find out whom to ask.
    pub(super) fn prime(&self, isolation: &str) {
        if let Ok(asker) = self.asker(isolation) {
            // What it answers now may change: it is asked again.
            drop(self.stable_tokens(asker, true));
        }
    }

    pub(super) fn asker(&self, isolation: &str) -> Result<&Asker> {
        let place = &self.askers[usize::from(isolation == "read_committed")];
        if let Some(asker) = place.get() {
            // What was reported meanwhile is known from elsewhere.
            while asker.poll(Duration::ZERO).is_some() {}
            return Ok(asker);
        }
        let options = [
            ("group.id", self.job.clone()),
            ("client.id", format!("{}-asks", self.instance)),
            ("reconnect.backoff.max.ms", "1000".to_owned()),
        ];
        let mut config = self.kafka.client_config(Role::Consumer, &options)?;
        config.set("isolation.level", isolation);
        let asker = config.create_with_context(Told::default()).map_err(|error| refused_options(&error))?;
        Ok(place.get_or_init(|| asker))
    }

    /// The newest commit that the group knows of.
    pub(super) fn newest_commit(&self) -> Result<u64> {
        let tokens = self.tokens(self.asker("read_uncommitted")?, true)?;
        Ok(tokens.iter().flatten().map(|token| token.epoch).max().unwrap_or_default())
    }

    /// The committed tokens, pending ones not.
    fn tokens(&self, asker: &Asker, fresh: bool) -> Result<Vec<Option<Token>>> {
        self.stable_tokens(asker, fresh)?
            .ok_or_else(|| Error::unavailable("Kafka does not tell the offsets of the job's group"))
    }

    /// The same; `None` while a transaction on them is open.
    fn stable_tokens(&self, asker: &Asker, fresh: bool) -> Result<Option<Vec<Option<Token>>>> {
        let topic = self.state_topic();
        let mut list = TopicPartitionList::with_capacity(usize::from(self.shards));
        list.add_partition_range(&topic, 0, i32::from(self.shards) - 1);
        let offsets = match asker.committed_offsets(list, ANSWER_TIMEOUT) {
            Ok(offsets) => offsets,
            Err(error) => {
                tracing::debug!(%error, "no offsets yet");
                return Ok(None);
            }
        };
        let mut tokens = vec![None; usize::from(self.shards)];
        for element in offsets.elements() {
            if element.error().is_err() {
                return Ok(None);
            }
            let Ok(shard) = usize::try_from(element.partition()) else { continue };
            if !matches!(element.offset(), Offset::Offset(_)) {
                continue;
            }
            let token = Token::parse(element.metadata());
            if token.is_none() && !fresh {
                return Err(Error::config(format!(
                    "the offset of {topic}[{shard}] in group {} was set by somebody else; it is the job's own: start over \
                     with --fresh, or go on from the last commit after: kafka-consumer-groups --delete-offsets --group {} \
                     --topic {topic}",
                    self.job, self.job
                )));
            }
            tokens[shard] = token;
        }
        Ok(Some(tokens))
    }

    /// Where the partitions of the changelog begin (`Offset::Beginning`) or end (`Offset::End`): for a reader of what is
    /// committed, where the first transaction is that is open.
    pub(super) fn offsets(&self, asker: &Asker, which: Offset) -> Result<Vec<i64>> {
        let topic = self.state_topic();
        let failed = |cause: String| Error::unavailable(format!("Kafka does not tell the offsets of {topic}: {cause}"));
        let mut list = TopicPartitionList::with_capacity(usize::from(self.shards));
        for number in 0..i32::from(self.shards) {
            list.add_partition_offset(&topic, number, which).map_err(|error| failed(error.to_string()))?;
        }
        // The two are times, too: one request for all.
        let found = asker.offsets_for_times(list, ANSWER_TIMEOUT).map_err(|error| failed(error.to_string()))?;
        let mut offsets = vec![0; usize::from(self.shards)];
        for element in found.elements() {
            element.error().map_err(|error| failed(error.to_string()))?;
            let place = usize::try_from(element.partition()).ok().and_then(|at| offsets.get_mut(at));
            match (place, element.offset()) {
                (Some(place), Offset::Offset(offset)) => *place = offset,
                // An empty partition.
                (Some(_), Offset::End | Offset::Beginning) => {}
                (_, other) => return Err(failed(format!("{other:?}"))),
            }
        }
        Ok(offsets)
    }

    /// The transactional ids that have written to the changelog and not ended their transaction.
    fn open_writers(&self, anybody: &Asker, stable: &Asker) -> Result<BTreeSet<String>> {
        let topic = self.state_topic();
        let stable = self.offsets(stable, Offset::End)?;
        let ends = self.offsets(anybody, Offset::End)?;
        let mut open: BTreeMap<i32, i64> = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for (number, (from, end)) in (0i32..).zip(stable.iter().zip(&ends)) {
            if from < end {
                open.insert(number, *end);
                list.add_partition_offset(&topic, number, Offset::Offset(*from))
                    .map_err(|error| Error::bug("an offset is out of range").caused_by(error))?;
            }
        }
        let mut writers = BTreeSet::new();
        if open.is_empty() {
            return Ok(writers);
        }
        anybody.assign(&list).map_err(|error| Error::bug("librdkafka does not assign").caused_by(error))?;
        let deadline = clock::now() + Duration::from_secs(3);
        // One record of each partition names the writer: a shard has one owner at a time.
        while !open.is_empty() && clock::now() < deadline {
            match anybody.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    if let Some(key) = message.key() {
                        writers.insert(String::from_utf8_lossy(key).into_owned());
                    }
                    open.remove(&message.partition());
                }
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(_)) | None => {}
            }
        }
        anybody.unassign().map_err(|error| Error::bug("librdkafka does not unassign").caused_by(error))?;
        Ok(writers)
    }
}

fn reader_has_markers(markers: &[LastMarker]) -> bool {
    markers.iter().any(|last| last.token.is_some())
}
