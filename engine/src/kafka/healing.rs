//! Ends what the brokers have lost sight of: Kafka 4.1 to 4.4 may leave the marker that ends a transaction out of partitions
//! that had no leader at that moment (KAFKA-20734). They stay open for ever, though nobody can write to them any more.
//!
//! A transaction of the same producer id ends what is open of the last one in every partition that it writes to. A crash
//! or a timeout aborts it, and with it what was open, so committing that way may lose what is committed. Here it is aborted
//! in every case; what is to stay is copied first, by a producer of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::Offset;

use super::asking::Committed;
use super::copies::Copies;
use super::fate::{Fate, Part, Tail, Tails};
use super::ffi::GroupOffset;
use super::marker::Token;
use super::opening::Taking;
use super::session::Session;
use super::tails::Stored;
use super::transactions::Transactions;
use super::written::{Outputs, Span};
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

/// What this opening has done about it.
#[derive(Default)]
pub(super) struct Healing {
    attempts: usize,
    /// Who wrote what hangs, as far as only the changelog tells.
    pub owners: BTreeSet<String>,
    /// Outputs that were looked after: those where the job's own records hung, with the offset from which on they did.
    done: BTreeMap<Place, Option<i64>>,
    /// Those that are open: from where on, and since when that is so.
    open: BTreeMap<Place, (i64, Instant)>,
    /// The job's own records hang in one.
    hangs: bool,
    /// Nothing but outputs was open at the last look.
    pub only_outputs: bool,
}

impl Healing {
    /// Whether an output that is open from `stable` on is to be looked after. Others may have transactions there, which come and
    /// go.
    pub fn notes(&mut self, place: &Place, stable: i64) -> bool {
        let now = clock::now();
        let (from, since) = self.open.entry(place.clone()).or_insert((stable, now));
        if *from != stable {
            (*from, *since) = (stable, now);
        }
        !self.is_done(place, stable)
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
        self.open.get(place).is_some_and(|(_, since)| clock::now() - *since >= STILL)
    }

    /// Whether what is open in outputs is others', as far as it can be told.
    pub fn is_others(&self, began: Instant) -> bool {
        self.only_outputs && !self.hangs && clock::now() - began >= OTHERS
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

/// What an output that is open may have of the job's.
enum Held {
    /// The records of the last commit there, from the first one that is open on.
    Hung(Span),
    /// None that is committed, but an attempt's may be.
    Attempt,
    /// Somebody else's records hide it.
    Hidden,
    /// Versions before have not said where their records are.
    Untold,
}

/// What is to be done about what is open.
struct Judgement {
    copies: Copies,
    outputs: BTreeMap<Place, Held>,
}

impl Judgement {
    /// The outputs where something is to be ended.
    fn ended(&self) -> Vec<&Place> {
        let is_ended = |(_, held): &(&Place, &Held)| matches!(held, Held::Hung(_) | Held::Attempt);
        self.outputs.iter().filter(is_ended).map(|(place, _)| place).collect()
    }
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
        let is_still = |place: &Place| taking.healing.is_still(place);
        if taking.healing.only_outputs && !open.outputs.keys().any(is_still) {
            return Ok(what);
        }
        // Whoever was at copying is fenced, too, and what it has not committed is aborted, before anything is judged.
        let copier = self.producer(&id, control)?;
        let tails = self.tails(open, &id)?;
        let owners = tails.owners();
        if !owners.is_subset(&open.writers) {
            // They are fenced first, as all others were.
            taking.healing.owners.extend(owners);
            return Ok(what);
        }
        let mut judged = match self.judge(open, &tails)? {
            Ok(judged) => judged,
            Err(unclear) => return Ok(format!("{what}, with {unclear}")),
        };
        for (place, held) in &mut judged.outputs {
            if matches!(held, Held::Attempt) && !taking.healing.is_still(place) {
                *held = Held::Hidden;
            }
        }
        let hung = |held: &Held| matches!(held, Held::Hung(_));
        taking.healing.hangs = judged.outputs.values().any(hung);
        let is_hidden = judged.outputs.values().any(|held| matches!(held, Held::Hidden));
        if is_hidden && clock::now() - taking.began < OTHERS {
            return Ok(what);
        }
        taking.healing.attempts += usize::from(taking.healing.hangs || !taking.healing.only_outputs);
        if !judged.copies.is_empty() && !self.copy(open, &judged.copies, &copier, taking.term)? {
            return Ok(what);
        }
        if open.group || !open.shards.is_empty() || !judged.copies.is_empty() {
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
        Ok(what)
    }

    /// The transactional id of copies. No instance has it, since their names are not empty.
    fn copies_id(&self) -> String {
        format!("{}//copies", self.job)
    }

    /// Reads the changelog where it may lack an end.
    fn tails<'a>(&self, open: &Open<'a>, copies: &'a str) -> Result<Tails<'a>> {
        let topic = self.state_topic();
        let lows = self.offsets(self.anybody()?, Offset::Beginning)?;
        let stable = self.offsets(self.stable()?, Offset::End)?;
        let ends = self.offsets(self.anybody()?, Offset::End)?;
        let mut places = BTreeMap::new();
        for (at, committed) in open.committed.iter().enumerate() {
            // The offset is that behind the marker.
            if let (Some((_, behind)), Ok(shard)) = (committed, i32::try_from(at)) {
                places.insert(shard, ((behind - 1).min(stable[at]).max(lows[at]), ends[at]));
            }
        }
        let seen = self.read_tails(self.stable()?, &topic, &places, usize::MAX)?;
        let all = self.read_tails(self.anybody()?, &topic, &places, usize::MAX)?;
        let mut shards = BTreeMap::new();
        for (shard, records) in all {
            let seen = seen.get(&shard).into_iter().flatten().map(|record| record.offset).collect();
            if let Ok(shard) = u16::try_from(shard) {
                shards.insert(shard, Tail { stable: stable[usize::from(shard)], records, seen });
            }
        }
        Ok(Tails { committed: open.committed, group_is_open: open.group, copies, shards })
    }

    /// What has to be written once more before what hangs is aborted, and what outputs have; why that is not clear, where it
    /// is not.
    fn judge(&self, open: &Open<'_>, tails: &Tails<'_>) -> Result<Result<Judgement, String>> {
        let done = match tails.fate() {
            Fate::Undone => None,
            Fate::Done(token) => Some(token),
            // Where nobody has seen any of it, it may become either. It is whole, so it becomes what it was meant to be.
            Fate::Whole(token) => match tails.outputs(&token) {
                Some((own, _)) => self.is_seen(open, &own)?.unwrap_or(true).then_some(token),
                None => return Ok(Err(format!("commit {} that does not say what it has written", token.epoch))),
            },
            Fate::Unclear(unclear) => return Ok(Err(unclear)),
        };
        let newest = done.as_ref().or_else(|| tails.newest());
        let mut copies = Copies { of: newest.cloned(), ..Copies::default() };
        let places = done.as_ref().map(|token| tails.places(token)).unwrap_or_default();
        for (shard, known) in (0u16..).zip(open.committed) {
            let Some((known, behind)) = known else { continue };
            let token = done.as_ref().filter(|_| places.contains_key(&shard)).unwrap_or(known);
            let stable = tails.shards.get(&shard).map_or(0, |tail| tail.stable);
            if token == known && *behind <= stable {
                continue;
            }
            match tails.part(shard, token) {
                Part::Open(records) => copies.parts.push((shard, stable, token.clone(), records)),
                Part::Ended if token != known => copies.known.push((shard, places[&shard] + 1, token.clone())),
                Part::Ended | Part::Copied => {}
                Part::Unclear => return Ok(Err(format!("a part of commit {} that is missing", token.epoch))),
            }
        }
        let outputs = held(open, newest, tails);
        let hung = outputs.iter().filter_map(|(place, held)| match held {
            Held::Hung(span) => Some((place, *span)),
            Held::Attempt | Held::Hidden | Held::Untold => None,
        });
        let are_copied = match newest {
            Some(token) if !open.outputs.is_empty() => self.are_copied(token)?,
            _ => false,
        };
        for (place, span) in hung.filter(|_| !are_copied) {
            let Some(records) = self.read_span(place, &span)? else {
                return Ok(Err(format!("others' records on {} [{}]", place.0, place.1)));
            };
            copies.records.push((place.clone(), open.outputs[place], records));
        }
        Ok(Ok(Judgement { copies, outputs }))
    }

    /// Whether readers of what is committed see records of a commit in outputs; `None` where nothing tells.
    fn is_seen(&self, open: &Open<'_>, own: &Outputs) -> Result<Option<bool>> {
        let mut seen = None;
        for (topic, spans) in own.topics() {
            for (partition, span) in spans.iter().filter(|(_, span)| span.is_known()) {
                let stable = open.outputs.get(&(topic.clone(), *partition));
                if stable.is_some_and(|stable| span.last >= *stable) {
                    continue;
                }
                let place = BTreeMap::from([(*partition, (span.last, span.last + 1))]);
                let is_there = |asker| -> Result<bool> {
                    let read = self.read_tails(asker, topic, &place, 1)?;
                    Ok(read.values().flatten().any(|record| record.offset == span.last))
                };
                if is_there(self.stable()?)? {
                    return Ok(Some(true));
                }
                // Else it may have been deleted, or compacted.
                if is_there(self.anybody()?)? {
                    seen = Some(false);
                }
            }
        }
        Ok(seen)
    }

    /// The records of a span; `None` where others' may be among them.
    fn read_span(&self, (topic, partition): &Place, span: &Span) -> Result<Option<Vec<Stored>>> {
        if !span.is_dense() {
            return Ok(None);
        }
        let place = BTreeMap::from([(*partition, (span.first, span.last + 1))]);
        let most = usize::try_from(span.records).unwrap_or_default();
        let read = self.read_tails(self.anybody()?, topic, &place, most)?;
        let records: Vec<Stored> = read.into_values().flatten().collect();
        let is_all = records.len() == most && records.last().is_some_and(|record| record.offset == span.last);
        Ok(is_all.then_some(records))
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

/// What the outputs that are open have of the job's.
fn held(open: &Open<'_>, newest: Option<&Token>, tails: &Tails<'_>) -> BTreeMap<Place, Held> {
    let outputs = newest.and_then(|token| tails.outputs(token)).map(|(_, all)| all);
    let of = |(place, stable): (&Place, &i64)| {
        let held = match outputs.as_ref().map(|outputs| outputs.of(&place.0, place.1)) {
            None => Held::Untold,
            Some(Some(span)) if span.first == *stable => Held::Hung(*span),
            Some(Some(span)) if !span.is_known() || span.last >= *stable => Held::Hidden,
            Some(_) => Held::Attempt,
        };
        (place.clone(), held)
    };
    open.outputs.iter().map(of).collect()
}

impl Open<'_> {
    /// What is open, in words.
    pub(super) fn describe(&self, session: &Session) -> String {
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
