//! What of the last commit is to be written once more, because the brokers have lost sight of its end: it stays open, or an abort
//! of the next transaction has taken it along before anybody noticed.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::Offset;

use super::copies::{Copies, OutputCopy, ShardCopy};
use super::fate::{Fate, Part, Tails};
use super::healing::{Open, Place};
use super::marker::Token;
use super::session::Session;
use super::tails::Stored;
use super::written::{Outputs, Span};
use crate::{Kind, Result};

/// What an output that is open may have of the job's.
#[derive(Clone, Copy)]
pub(super) enum Held {
    /// The records of the last commit there, from the first one that is open on.
    Hung(Span),
    /// None that is committed, but an attempt's may be.
    Attempt,
    /// Somebody else's records hide it.
    Hidden,
    /// Versions before have not said where their records are.
    Untold,
}

/// What is to be done.
pub(super) struct Judgement {
    pub copies: Copies,
    /// What is open.
    pub outputs: BTreeMap<Place, Held>,
}

/// What cannot be told.
pub(super) enum Unclear {
    /// What became of the commit.
    State(String),
    /// Which records are the job's.
    Outputs(String),
}

impl Judgement {
    /// The outputs where something is to be ended.
    pub fn ended(&self) -> Vec<&Place> {
        let is_ended = |(_, held): &(&Place, &Held)| matches!(held, Held::Hung(_) | Held::Attempt);
        self.outputs.iter().filter(is_ended).map(|(place, _)| place).collect()
    }

    /// Whether anything that is committed cannot be read.
    pub fn lacks(&self) -> bool {
        !self.copies.is_empty() || self.outputs.values().any(|held| matches!(held, Held::Hung(_)))
    }
}

impl Session {
    /// What has to be written once more before what hangs is aborted, and what outputs have; why that is not clear, where it
    /// is not.
    pub(super) fn judge(&self, open: &Open<'_>, tails: &Tails<'_>) -> Result<Result<Judgement, Unclear>> {
        let done = match tails.fate() {
            Fate::Undone => None,
            Fate::Done(token) => Some(token),
            // Where nobody has seen any of it, it may become either. It is whole, so it becomes what it was meant to be.
            Fate::Whole(token) => match tails.outputs(&token) {
                Some((own, _)) => self.is_seen(&own)?.unwrap_or(true).then_some(token),
                None => {
                    let unclear = format!("commit {} that does not say what it has written", token.epoch);
                    return Ok(Err(Unclear::State(unclear)));
                }
            },
            Fate::Unclear(unclear) => return Ok(Err(Unclear::State(unclear))),
        };
        let newest = done.as_ref().or_else(|| tails.newest());
        let mut copies = Copies { of: newest.cloned(), ..Copies::default() };
        if let Err(unclear) = copy_shards(open, tails, done.as_ref(), &mut copies) {
            return Ok(Err(Unclear::State(unclear)));
        }
        let written = newest.and_then(|token| tails.outputs(token)).map(|(_, all)| all);
        let outputs = held(open, written.as_ref());
        let hung = outputs.iter().filter_map(|(place, held)| match held {
            Held::Hung(span) => Some((place.clone(), *span, Some(open.outputs[place]))),
            Held::Attempt | Held::Hidden | Held::Untold => None,
        });
        let mut missing: Vec<_> = hung.collect();
        let lost = written.as_ref().map(|written| self.lost(written)).transpose()?;
        missing.extend(lost.into_iter().flatten().map(|(place, span)| (place, span, None)));
        if let (Some(token), false) = (newest, missing.is_empty()) {
            copies.copied = match self.copied(token) {
                Ok(copied) => copied,
                Err(error) => return Ok(Err(Unclear::Outputs(format!("a note of copies that is not told: {error}")))),
            };
        }
        missing.retain(|(place, ..)| !copies.copied.contains(place));
        for (place, span, open_from) in missing {
            match self.read_span(&place, &span, open_from)? {
                Some(records) => copies.records.push(OutputCopy { place, open_from, records }),
                None if open_from.is_none() => tell_lost(&place, &span),
                // Once it is aborted, what others have committed there can be told.
                None => tracing::warn!("ending records of {} [{}], to find the job's among them", place.0, place.1),
            }
        }
        Ok(Ok(Judgement { copies, outputs }))
    }

    /// Whether readers of what is committed see records of a commit in outputs; `None` where nothing tells.
    fn is_seen(&self, own: &Outputs) -> Result<Option<bool>> {
        let mut seen = None;
        for (topic, spans) in own.topics() {
            for is_seen in self.ended(topic, spans)?.into_values() {
                seen = Some(is_seen || seen == Some(true));
            }
        }
        Ok(seen)
    }

    /// Spans that have ended and that nobody sees.
    fn lost(&self, written: &Outputs) -> Result<Vec<(Place, Span)>> {
        let mut lost = Vec::new();
        for (topic, spans) in written.topics() {
            match self.ended(topic, spans) {
                Ok(ended) => {
                    let unseen = ended.into_iter().filter(|(_, is_seen)| !is_seen);
                    lost.extend(unseen.map(|(partition, _)| ((topic.clone(), partition), spans[&partition])));
                }
                // A job that may only write its outputs works, too.
                Err(error) if error.kind() == Kind::Config => {
                    tracing::info!(%error, topic, "not looking whether all that was committed last can be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }

    /// The partitions of a topic whose spans have ended and are still there, and whether readers of what is committed see them.
    fn ended(&self, topic: &str, spans: &BTreeMap<i32, Span>) -> Result<BTreeMap<i32, bool>> {
        let (stable, anybody) = (self.stable()?, self.anybody()?);
        let mut ended = BTreeMap::new();
        let asked = [(anybody, Offset::Beginning), (stable, Offset::End), (anybody, Offset::End)];
        let Some([lows, stables, ends]) = self.bounds_of(topic, asked)? else { return Ok(ended) };
        // Replicas may be behind their leader: what is seen there is asked of one that has come as far.
        let (mut all, mut until): (BTreeMap<_, _>, BTreeMap<_, _>) = Default::default();
        for (partition, span) in spans {
            let at = usize::try_from(*partition).unwrap_or(usize::MAX);
            let (Some(low), Some(stable)) = (lows.get(at), stables.get(at)) else { continue };
            if (*low).max(0) <= span.last && span.last < *stable {
                all.insert(*partition, (span.last, span.last + 1));
                until.insert(*partition, (span.last, ends[at]));
            }
        }
        for (asker, places) in [(stable, &until), (anybody, &all)] {
            let places: BTreeMap<_, _> =
                places.iter().filter(|(at, _)| !ended.contains_key(*at)).map(|(at, of)| (*at, *of)).collect();
            // What not even those see who see everything was deleted, or compacted.
            for (partition, records) in self.read_tails(asker, topic, &places, 1)? {
                if records.first().is_some_and(|record| record.offset == spans[&partition].last) {
                    ended.insert(partition, std::ptr::eq(asker, stable));
                }
            }
        }
        Ok(ended)
    }

    /// The records of a span that is open from an offset on, or that nobody sees; `None` where others' may be among them.
    fn read_span(&self, place: &Place, span: &Span, open_from: Option<i64>) -> Result<Option<Vec<Stored>>> {
        if !span.is_known() {
            return Ok(None);
        }
        let ((topic, partition), most) = (place, usize::try_from(span.last - span.first + 1).unwrap_or_default());
        let (stable, anybody) = (self.stable()?, self.anybody()?);
        let asked = [(anybody, Offset::Beginning), (anybody, Offset::End)];
        let Some([lows, ends]) = self.bounds_of(topic, asked)? else { return Ok(None) };
        let at = usize::try_from(*partition).unwrap_or(usize::MAX);
        let (Some(low), Some(end)) = (lows.get(at).copied(), ends.get(at).copied()) else { return Ok(None) };
        let read = |asker, until| -> Result<Vec<Stored>> {
            let place = BTreeMap::from([(*partition, (span.first.max(low), until))]);
            Ok(self.read_tails(asker, topic, &place, most)?.into_values().flatten().collect())
        };
        let mut records = read(anybody, span.last + 1)?;
        if open_from.is_none() {
            // Those are somebody else's.
            let seen: BTreeSet<i64> = read(stable, end)?.iter().map(|record| record.offset).collect();
            records.retain(|record| !seen.contains(&record.offset));
        }
        let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
        // What is too old is gone; others' cannot be told then.
        let is_dense = span.last - span.first + 1 == span.records;
        let is_all = if low > span.first { is_dense } else { count == span.records };
        Ok((is_all && records.last().is_some_and(|record| record.offset == span.last)).then_some(records))
    }
}

/// What cannot be mended is told: a job that never goes on again would be worse.
fn tell_lost((topic, partition): &Place, Span { first, last, records }: &Span) {
    tracing::error!(
        "{records} records from {first} to {last} of {topic} [{partition}], which were committed, were aborted by the brokers \
         (KAFKA-20734), and cannot be told from other producers' that were aborted there: kafka-console-consumer \
         --isolation-level read_uncommitted reads them all, to be written once more by hand"
    );
}

/// What is to be copied of the shards, with what the group has to know; what is not clear.
fn copy_shards(open: &Open<'_>, tails: &Tails<'_>, done: Option<&Token>, copies: &mut Copies) -> Result<(), String> {
    let places = done.map(|token| tails.places(token)).unwrap_or_default();
    for (shard, known) in (0u16..).zip(open.committed) {
        let Some((known, behind)) = known else { continue };
        let token = done.filter(|_| places.contains_key(&shard)).unwrap_or(known);
        let stable = tails.shards.get(&shard).map_or(0, |tail| tail.stable);
        if token == known && *behind <= stable && !tails.is_lost(shard, *behind) {
            continue;
        }
        match tails.part(shard, token) {
            Part::Open(records) => {
                copies.parts.push(ShardCopy { shard, token: token.clone(), open_from: Some(stable), records });
            }
            Part::Lost(records) => {
                copies.parts.push(ShardCopy { shard, token: token.clone(), open_from: None, records });
            }
            Part::Ended if token != known => copies.known.push((shard, places[&shard] + 1, token.clone())),
            Part::Ended | Part::Copied => {}
            Part::Unclear => return Err(format!("a part of commit {} that is missing", token.epoch)),
        }
    }
    Ok(())
}

/// What the outputs that are open have of the job's.
fn held(open: &Open<'_>, written: Option<&Outputs>) -> BTreeMap<Place, Held> {
    let of = |(place, stable): (&Place, &i64)| {
        let held = match written.map(|written| written.of(&place.0, place.1)) {
            None => Held::Untold,
            Some(Some(span)) if span.first == *stable => Held::Hung(*span),
            Some(Some(span)) if !span.is_known() || span.last >= *stable => Held::Hidden,
            Some(_) => Held::Attempt,
        };
        (place.clone(), held)
    };
    open.outputs.iter().map(of).collect()
}
