//! Ends what the brokers have lost sight of: Kafka 4.1 to 4.4 may leave the marker that ends a transaction out of partitions
//! that had no leader at that moment (KAFKA-20734). They stay open for ever, though nobody can write to them any more.
//!
//! A transaction of the same producer id ends what is open of the last one in every partition that it writes to. A crash
//! or a timeout aborts it, and with it what was open, so committing that way may lose what is committed. Here it is aborted
//! in every case; what is to stay is copied first, by a producer of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::asking::Committed;
use super::ffi::GroupOffset;
use super::judgement::{Held, Judgement, Unclear};
use super::opening::Taking;
use super::session::Session;
use super::transactions::Transactions;
use crate::run::Control;
use crate::sink::Outgoing;
use crate::{Result, clock};

/// More does not help where these did not.
const ATTEMPTS: usize = 3;
/// Others' transactions on outputs are waited for so long, where they hide whether the job's has ended.
const OTHERS: Duration = Duration::from_secs(5);
/// What nobody writes to any more stands still for so long.
pub(super) const STILL: Duration = Duration::from_secs(2);

/// A partition of an output.
pub(super) type Place = (String, i32);

/// An output that is open.
struct Noted {
    /// From there on.
    stable: i64,
    /// Since when that is so.
    since: Instant,
    first: Instant,
}

/// What this opening has done about it.
#[derive(Default)]
pub(super) struct Healing {
    attempts: usize,
    /// Who wrote what hangs, as far as only the changelog tells.
    pub owners: BTreeSet<String>,
    /// Outputs that were looked after: those where the job's own records hung, with the offset from which on they did.
    done: BTreeMap<Place, Option<i64>>,
    /// Those that are open.
    open: BTreeMap<Place, Noted>,
    /// Outputs that were open when nothing else was any more, and nobody could write for the job. Those that open later are
    /// others'.
    suspects: Option<BTreeSet<Place>>,
    /// Nothing but outputs was open at the last look.
    pub only_outputs: bool,
}

impl Healing {
    /// Whether an output that is open from `stable` on is to be looked after. Others may have transactions there, which come and
    /// go.
    pub fn notes(&mut self, place: &Place, stable: i64) -> bool {
        let now = clock::now();
        let noted = self.open.entry(place.clone()).or_insert(Noted { stable, since: now, first: now });
        if noted.stable != stable {
            (noted.stable, noted.since) = (stable, now);
        }
        let is_suspect = self.suspects.as_ref().is_none_or(|suspects| suspects.contains(place));
        is_suspect && !self.is_done(place, stable)
    }

    /// What was done about outputs.
    fn remember(&mut self, outputs: BTreeMap<Place, Held>, open: &BTreeMap<Place, i64>) {
        for (place, held) in outputs {
            if matches!(held, Held::Hidden | Held::Untold) {
                tracing::warn!("{} [{}] has others' transactions open, not waited for any longer", place.0, place.1);
            }
            let hung = matches!(held, Held::Hung(_)).then(|| open[&place]);
            self.done.insert(place, hung);
        }
    }

    fn is_still(&self, place: &Place) -> bool {
        self.open.get(place).is_some_and(|noted| clock::now() - noted.since >= STILL)
    }

    /// Whether others have had their time.
    fn is_long(&self, place: &Place) -> bool {
        self.open.get(place).is_some_and(|noted| clock::now() - noted.first >= OTHERS)
    }

    /// Whether nothing more is to be done about it.
    fn is_done(&self, place: &Place, stable: i64) -> bool {
        self.done.get(place).is_some_and(|hung| hung.is_none_or(|hung| stable > hung))
    }
}

/// What is open though its writers are this one, or are fenced.
pub(super) struct Open<'a> {
    /// As the group has it, what is pending left out.
    pub committed: &'a Committed,
    pub group: bool,
    pub shards: BTreeSet<u16>,
    /// Those that end, for readers of what is committed, before records of a transaction that is open: at this offset.
    pub outputs: BTreeMap<Place, i64>,
    /// The transactional ids that may have left it.
    pub writers: BTreeSet<String>,
}

impl Session {
    /// Ends what hangs: its writers' coordinator has ended all that it knows of. What is waited for until that shows, or
    /// because it cannot be done.
    ///
    /// # Errors
    /// `Fenced` where this is not the active instance any more; `Unavailable` as brokers answer.
    pub(super) fn heal(&self, open: &Open<'_>, taking: &mut Taking<'_>, control: &Control) -> Result<String> {
        let (what, id) = (open.describe(self), self.copies_id());
        // What the group does not know of may have been committed and forgotten; and a copy that hangs would be copied by the
        // producer that must then abort.
        let is_unknown = open.shards.iter().any(|shard| open.committed[usize::from(*shard)].is_none());
        if taking.healing.attempts >= ATTEMPTS || is_unknown || open.writers.contains(&id) {
            return Ok(what);
        }
        let only_outputs = taking.healing.only_outputs;
        if only_outputs {
            taking.healing.suspects.get_or_insert_with(|| open.outputs.keys().cloned().collect());
        }
        let is_long = open.outputs.keys().all(|place| taking.healing.is_long(place));
        let is_still = |place: &Place| taking.healing.is_still(place);
        if only_outputs && !is_long && !open.outputs.keys().any(is_still) {
            return Ok(what);
        }
        // Whoever was at copying is fenced, too, and what it has not committed is aborted, before anything is judged.
        let copier = self.producer(&id, control)?;
        let tails = self.tails(open, &id, true)?;
        let owners = tails.owners();
        if !owners.is_subset(&open.writers) {
            // They are fenced first, as all others were.
            taking.healing.owners.extend(owners);
            return Ok(what);
        }
        let mut judged = match self.judge(open, &tails)? {
            Ok(judged) => judged,
            Err(Unclear::State(_)) if only_outputs && is_long => {
                // Reading the log tells more.
                let outputs = open.outputs.keys().map(|place| (place.clone(), Held::Untold)).collect();
                taking.healing.remember(outputs, &open.outputs);
                return Ok(what);
            }
            Err(Unclear::State(unclear) | Unclear::Outputs(unclear)) => return Ok(format!("{what}, with {unclear}")),
        };
        for (place, held) in &mut judged.outputs {
            if matches!(held, Held::Attempt) && !taking.healing.is_still(place) {
                *held = Held::Hidden;
            }
        }
        if !is_long && judged.outputs.values().any(|held| matches!(held, Held::Hidden)) {
            return Ok(what);
        }
        taking.healing.attempts += usize::from(judged.lacks() || !only_outputs);
        if !judged.copies.is_empty() && !self.copy(open, &judged.copies, &copier, taking.term)? {
            return Ok(what);
        }
        if !open.is_over() {
            self.end(open, judged, taking, control)?;
        }
        Ok(what)
    }

    /// Ends what is open, once what is to stay of it is copied.
    fn end(&self, open: &Open<'_>, judged: Judgement, taking: &mut Taking<'_>, control: &Control) -> Result<()> {
        if open.group || !open.shards.is_empty() || !judged.copies.is_empty() {
            let what = open.describe(self);
            tracing::warn!("ending {what}: the brokers have lost sight of it (KAFKA-20734)");
        }
        for writer in &open.writers {
            self.membership.check(taking.term)?;
            let outputs = judged.ended();
            if *writer == self.transactional_id() {
                self.abort_in(taking.transactions, writer, (open, &outputs), taking.term)?;
            } else {
                self.abort_in(&self.producer(writer, control)?, writer, (open, &outputs), taking.term)?;
            }
        }
        taking.healing.remember(judged.outputs, &open.outputs);
        Ok(())
    }

    /// Whether all that is committed can be read, where nothing is open any more. It may not: the next transaction of the same
    /// producer may have begun in an output before anybody noticed that the end of the last one is missing there, and been
    /// aborted.
    pub(super) fn is_kept(&self, open: &Open<'_>) -> Result<bool> {
        let copies = self.copies_id();
        // An attempt that was aborted may be large, and is of no interest where all else is as it should be.
        let seen = self.tails(open, &copies, false)?;
        let tails = if seen.is_whole() { seen } else { self.tails(open, &copies, true)? };
        Ok(match self.judge(open, &tails)? {
            Ok(judged) => !judged.lacks(),
            // Reading the log says what is wrong with it.
            Err(Unclear::State(_)) => true,
            Err(Unclear::Outputs(_)) => false,
        })
    }

    /// The transactional id of copies. No instance has it, since their names are not empty.
    fn copies_id(&self) -> String {
        format!("{}//copies", self.job)
    }

    /// Aborts a transaction of the producer that has all that is open: nobody who reads what is committed sees that.
    fn abort_in(
        &self,
        transactions: &Transactions,
        writer: &str,
        (open, outputs): (&Open<'_>, &[&Place]),
        term: u64,
    ) -> Result<()> {
        let state = self.state_topic();
        let shards = open.shards.iter().map(|shard| (&state, i32::from(*shard)));
        for (topic, partition) in shards.chain(outputs.iter().map(|(topic, partition)| (topic, *partition))) {
            let (key, value) = (Some(writer.as_bytes()), Some(&b"aborted"[..]).filter(|_| *topic == state));
            let record = Outgoing { topic, key, value, headers: &[], timestamp: None };
            transactions.add(&record, Some(partition), Transactions::NO_TAG)?;
        }
        transactions.drain()?;
        if open.group {
            let offset = GroupOffset::new(&state, 0, 0, String::new())?;
            let committing = self.membership.commit(term)?;
            transactions.abort_with(&[offset], &committing.member)?;
        } else {
            transactions.abort();
        }
        transactions.settle().map(drop)
    }

    fn producer(&self, id: &str, control: &Control) -> Result<Transactions> {
        Transactions::start(&self.kafka, id, &self.instance, self.interval, &|| control.stopping())
    }
}

impl Open<'_> {
    /// Whether there is nothing any more.
    pub(super) fn is_over(&self) -> bool {
        !self.group && self.shards.is_empty() && self.outputs.is_empty()
    }

    /// What is open, in words.
    pub(super) fn describe(&self, session: &Session) -> String {
        if self.is_over() {
            return "a part of the last commit that cannot be read".to_owned();
        }
        let mut places = Vec::new();
        if !self.shards.is_empty() {
            places.push(format!("{} {:?}", session.state_topic(), self.shards));
        }
        places.extend(self.outputs.keys().map(|(topic, partition)| format!("{topic} [{partition}]")));
        if self.group {
            places.push(format!("the offsets of group {}", session.job));
        }
        format!("a transaction on {} that is open", places.join(", "))
    }
}
