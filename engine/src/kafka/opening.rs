//! Takes a job over: ends what its last owner left open, finds out what is committed, and reads it.
//!
//! The order matters: fence, then the committed tokens, then the end of the changelog. Read the other way round, a
//! commit that happens in between is lost.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater_state::{Epoch, crash};
use rdkafka::Offset;

use super::assembly::LastMarker;
use super::filling::fill;
use super::healing::{Hanging, Healing};
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
    /// Waits until nothing of the job is open, and says what is committed. Steps 1 to 3 of the protocol; every wait goes
    /// back to the first. A job that starts over does not mind what somebody else has set. `transactions` has the
    /// instance's own id, which it has just taken.
    ///
    /// # Errors
    /// `Fenced` where this is not the active instance any more; `Unavailable` where something stays open, or somebody
    /// asked to stop.
    pub(super) fn find(&self, transactions: &Transactions, term: u64, fresh: bool, control: &Control) -> Result<Found> {
        let mut patience = Patience::new(&control.progress, PATIENCE);
        let mut taking = Taking { transactions, term, fresh, fenced: BTreeSet::new(), healing: Healing::default() };
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
        let before = self.tokens(anybody, taking.fresh)?;
        let writers = self.open_writers(anybody, stable)?;
        let mut strangers: BTreeSet<&str> = before.iter().flatten().map(|token| token.owner.as_str()).collect();
        strangers.extend(writers.values().map(|(writer, _)| writer.as_str()));
        strangers.retain(|writer| !taking.fenced.contains(*writer));
        self.fence_those_gone(&strangers, &mut taking.fenced, control)?;
        // 2. What is committed, which cannot change behind our back any more.
        let Some(committed) = self.committed(stable, taking.fresh)? else {
            return Ok(Err(format!("the offsets of group {}: a transaction on them is open", self.job)));
        };
        let tokens: Vec<_> = committed.iter().map(|of| of.as_ref().map(|(token, _)| token.clone())).collect();
        if tokens != before {
            return Ok(Err("commits that go on: another instance of the job writes".to_owned()));
        }
        // 3. The end of the log, after that.
        let ends = self.offsets(stable, Offset::End)?;
        let true_ends = self.offsets(anybody, Offset::End)?;
        let open: Vec<usize> = (0..ends.len()).filter(|shard| ends[*shard] < true_ends[*shard]).collect();
        if open.is_empty() {
            return Ok(Ok(Found { term: taking.term, tokens, ends }));
        }
        // What was open before its writer was fenced, and is now.
        let hangs = |(shard, (writer, from)): (&u16, &(String, i64))| {
            let at = usize::from(*shard);
            let hangs = ends[at] == *from && *from < true_ends[at] && taking.fenced.contains(writer);
            let (writer, committed) = (writer.clone(), committed[at].clone());
            hangs.then_some(Hanging { shard: *shard, writer, from: *from, committed })
        };
        let hanging: Vec<Hanging> = writers.iter().filter_map(hangs).collect();
        if let Some(what) = self.heal(hanging, taking, control)? {
            return Ok(Err(what));
        }
        let writers: BTreeSet<&str> = writers.values().map(|(writer, _)| writer.as_str()).collect();
        let writers = if writers.is_empty() { &strangers } else { &writers };
        Ok(Err(format!("a transaction of {writers:?} on {} {open:?} that is open", self.state_topic())))
    }

    fn fence_those_gone(
        &self,
        writers: &BTreeSet<&str>,
        fenced: &mut BTreeSet<String>,
        control: &Control,
    ) -> Result<()> {
        if writers.is_empty() {
            return Ok(());
        }
        let members = self.membership.members()?;
        for writer in writers {
            let instance = writer.strip_prefix(&format!("{}/", self.job)).unwrap_or(writer);
            if !members.iter().any(|member| member == instance) {
                tracing::info!(writer, "fencing an instance that is gone");
                fence(&self.kafka, writer, &self.instance, &|| control.stopping())?;
                crash::point("kafka.fenced");
                fenced.insert((*writer).to_owned());
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

fn reader_has_markers(markers: &[LastMarker]) -> bool {
    markers.iter().any(|last| last.token.is_some())
}
