//! Takes a job over: ends what its last owner left open, finds out what is committed, and reads it.
//!
//! The order matters: fence, then the committed tokens, then the end of the changelog. Read the other way round, a
//! commit that happens in between is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use headwater_state::{Epoch, crash};
use rdkafka::Offset;

use super::asking::{ANSWER_TIMEOUT, Committed, STABLE_TIMEOUT, tokens_of};
use super::assembly::LastMarker;
use super::filling::fill;
use super::healing::{Healing, Open, Place, STILL};
use super::marker::Token;
use super::patience::{Patience, remedy};
use super::position::Identity;
use super::reader::Reader;
use super::session::{Local, Session, save};
use super::transactions::{Transactions, fence};
use super::wanted::Wanted;
use crate::run::Control;
use crate::{Error, Kind, Result, clock};

/// Opening waits so long for transactions that others have open.
const PATIENCE: Duration = Duration::from_secs(120);
const AGAIN: Duration = Duration::from_millis(200);

/// A take-over on its way.
pub(super) struct Taking<'a> {
    /// Of the instance's own id.
    pub transactions: &'a Transactions,
    /// The assignment under which it began.
    pub term: u64,
    fresh: bool,
    pub began: Instant,
    /// Transactional ids that were taken since, whose transactions the brokers have ended as far as they know.
    fenced: BTreeSet<String>,
    pub healing: Healing,
}

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
    /// Takes the transactional id, and finds out what is committed. Steps 1 to 3.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub(super) fn take_over(&self, term: u64, fresh: bool, control: &Control) -> Result<(Transactions, Found)> {
        let id = self.transactional_id();
        let began = clock::now();
        std::thread::scope(|scope| {
            // Their first questions take as long as the id.
            scope.spawn(|| self.prime(self.anybody()));
            scope.spawn(|| self.prime(self.stable()));
            let stopping = || control.stopping();
            let transactions = Transactions::start(&self.kafka, &id, &self.instance, self.interval, &stopping)?;
            tracing::debug!(took = ?clock::now() - began, "took the transactional id");
            let found = self.find(&transactions, term, fresh, control)?;
            Ok((transactions, found))
        })
    }

    /// Waits until nothing of the job is open, and says what is committed. Steps 1 to 3 of the protocol; every wait goes
    /// back to the first. A job that starts over does not mind what somebody else has set. `transactions` has the
    /// instance's own id, which it has just taken.
    ///
    /// # Errors
    /// `Fenced` where this is not the active instance any more; `Unavailable` where something stays open, or somebody
    /// asked to stop.
    fn find(&self, transactions: &Transactions, term: u64, fresh: bool, control: &Control) -> Result<Found> {
        let mut patience = Patience::new(&control.progress, PATIENCE);
        let mut taking = Taking {
            transactions,
            term,
            fresh,
            began: clock::now(),
            fenced: BTreeSet::new(),
            healing: Healing::default(),
        };
        taking.fenced.insert(self.transactional_id());
        loop {
            self.membership.check(term)?;
            match self.look(&mut taking, control)? {
                Ok(found) => return Ok(found),
                Err(what) => patience.wait_for(what, || remedy(self.kafka.brokers()))?,
            }
            clock::wait(AGAIN, || control.stopping());
            go_on(control)?;
        }
    }

    /// Goes through steps 1 to 3 once. What was found, or what is to be waited for.
    fn look(&self, taking: &mut Taking<'_>, control: &Control) -> Result<Result<Found, String>> {
        let (anybody, stable) = (self.anybody()?, self.stable()?);
        // 1. Whoever wrote last and is gone can write no more.
        let before = self.committed(anybody, taking.fresh, ANSWER_TIMEOUT)?.ok_or_else(|| self.untold())?;
        let open_writers = self.open_writers(anybody, stable)?;
        let mut writers: BTreeSet<String> = before.iter().flatten().map(|(token, _)| token.owner.clone()).collect();
        writers.extend(open_writers.values().map(|(writer, _)| writer.clone()));
        writers.extend(taking.healing.owners.iter().cloned());
        self.fence_those_gone(&writers, taking, control)?;
        // 2. What is committed, which cannot change behind our back any more.
        let committed = self.committed(stable, taking.fresh, STABLE_TIMEOUT)?;
        if committed.as_ref().is_some_and(|committed| !is_same(committed, &before)) {
            return Ok(Err("commits that go on: another instance of the job writes".to_owned()));
        }
        // 3. The end of the log, after that.
        let ends = self.offsets(stable, Offset::End)?;
        let true_ends = self.offsets(anybody, Offset::End)?;
        let mut shards: BTreeSet<u16> = (0..self.shards).collect();
        shards.retain(|shard| ends[usize::from(*shard)] < true_ends[usize::from(*shard)]);
        let outputs = self.open_outputs(&before, &mut taking.healing)?;
        taking.healing.only_outputs = committed.is_some() && shards.is_empty();
        let mut open = Open { committed: &before, group: committed.is_none(), shards, outputs, writers };
        if open.is_over() && (taking.fresh || self.is_kept(&open)?) {
            return Ok(Ok(Found { term: taking.term, tokens: tokens_of(before), ends }));
        }
        if open.writers.iter().all(|writer| taking.fenced.contains(writer)) {
            // What was open before its writer was fenced, and is now: its coordinator has ended all that it knows of.
            let hangs =
                |shard: &u16| open_writers.get(shard).is_some_and(|(_, from)| ends[usize::from(*shard)] == *from);
            if open.shards.iter().all(hangs) {
                open.writers.insert(self.transactional_id());
                return Ok(Err(self.heal(&open, taking, control)?));
            }
        }
        Ok(Err(open.describe(self)))
    }

    /// Which outputs have a transaction open, where the job may have left one.
    fn open_outputs(&self, committed: &Committed, healing: &mut Healing) -> Result<BTreeMap<Place, i64>> {
        let mut open = BTreeMap::new();
        if committed.iter().all(Option::is_none) {
            return Ok(open);
        }
        for topic in &self.outputs {
            let asked = [(self.anybody()?, Offset::End), (self.stable()?, Offset::End)];
            // Where it was deleted, whoever writes to it makes it, or says what is wrong.
            let Some([ends, stable]) = self.bounds_of(topic, asked)? else { continue };
            for (partition, (stable, end)) in (0..).zip(stable.into_iter().zip(ends)) {
                let place = (topic.clone(), partition);
                if stable < end && healing.notes(&place, stable) {
                    open.insert(place, stable);
                }
            }
        }
        Ok(open)
    }

    /// Those that are members may only be slow to end what they have begun, as one is that this one follows. That takes no
    /// longer than a session.
    fn fence_those_gone(&self, writers: &BTreeSet<String>, taking: &mut Taking<'_>, control: &Control) -> Result<()> {
        let strangers: Vec<&String> = writers.iter().filter(|writer| !taking.fenced.contains(*writer)).collect();
        if strangers.is_empty() {
            return Ok(());
        }
        let members = self.membership.members()?;
        let session = self.membership.session_timeout();
        let patience = if taking.healing.only_outputs { STILL.min(session) } else { session };
        let is_slow = clock::now() - taking.began >= patience;
        for writer in strangers {
            let instance = writer.strip_prefix(&format!("{}/", self.job)).unwrap_or(writer);
            if is_slow || !members.iter().any(|member| member == instance) {
                self.membership.check(taking.term)?;
                tracing::info!(writer, "fencing an instance that is gone, or does not end what it has begun");
                fence(&self.kafka, writer, &self.instance, &|| control.stopping())?;
                crash::point("kafka.fenced");
                taking.fenced.insert(writer.clone());
            }
        }
        Ok(())
    }

    /// Brings the tables level with the changelog. Step 4.
    ///
    /// # Errors
    /// `Corrupt` where what is there is not what was committed; `Unavailable` where somebody asked to stop; what reading
    /// and writing report.
    pub(super) fn replay(
        &self,
        found: &Found,
        local: &Local<'_>,
        wanted: &Wanted<'_>,
        control: &Control,
    ) -> Result<Replayed> {
        let mut reader = self.reader(local)?;
        reader.read_to_last(&found.ends);
        let began = clock::now();
        let (mut last, mut records) = (None, 0u64);
        let gone = || control.stopping() || self.membership.check(found.term).is_err();
        fill(&*local.store, |filling| {
            while let Some(mut commit) = reader.next(&gone)? {
                records += 1;
                let (done, total) = reader.progress();
                control.progress.restoring(done, total);
                last = Some((commit.epoch, std::mem::take(&mut commit.marker)));
                filling.add(commit)?;
            }
            Ok(())
        })?;
        go_on(control)?;
        self.membership.check(found.term)?;
        let markers = reader.last();
        self.check_tokens(found, &markers)?;
        reader.assembly.check_whole()?;
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
            let now = self.tokens(self.stable()?, false)?;
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
}

/// What was read so far can be read again by the next start.
fn go_on(control: &Control) -> Result<()> {
    if control.stopping() { Err(Error::unavailable("asked to stop while opening")) } else { Ok(()) }
}

fn is_same(one: &Committed, other: &Committed) -> bool {
    fn tokens(of: &Committed) -> impl Iterator<Item = Option<&Token>> {
        of.iter().map(|committed| committed.as_ref().map(|(token, _)| token))
    }
    tokens(one).eq(tokens(other))
}

fn reader_has_markers(markers: &[LastMarker]) -> bool {
    markers.iter().any(|last| last.token.is_some())
}
