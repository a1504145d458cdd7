//! Commits once more what is to stay of a commit whose end the brokers have lost sight of, behind what hangs.

use std::collections::BTreeSet;

use rdkafka::Offset;

use super::asking::NOTES;
use super::ffi::GroupOffset;
use super::healing::{Open, Place};
use super::marker::Token;
use super::membership::lock_topic;
use super::session::Session;
use super::tails::Stored;
use super::transactions::Transactions;
use crate::Result;
use crate::sink::Outgoing;

/// A shard's part of a commit.
pub(super) struct ShardCopy {
    pub shard: u16,
    pub token: Token,
    /// It is open from this last stable offset on; where none is given it was aborted.
    pub open_from: Option<i64>,
    /// Blocks, then the marker.
    pub records: Vec<Vec<u8>>,
}

/// An output's part of a commit.
pub(super) struct OutputCopy {
    pub place: Place,
    /// As that of a shard.
    pub open_from: Option<i64>,
    pub records: Vec<Stored>,
}

/// What is to be written once more.
#[derive(Default)]
pub(super) struct Copies {
    /// The newest commit.
    pub of: Option<Token>,
    pub parts: Vec<ShardCopy>,
    pub records: Vec<OutputCopy>,
    /// Where records of outputs were copied before.
    pub copied: Copied,
    /// What the group does not know yet, by shard: the offset behind a marker that has ended.
    pub known: Vec<(u16, i64, Token)>,
}

impl Copies {
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.records.is_empty() && self.known.is_empty()
    }
}

impl Session {
    /// Commits them, by a producer that has just taken its id. `false` where what they are copies of does not hang after all.
    pub(super) fn copy(&self, open: &Open<'_>, copies: &Copies, producer: &Transactions, term: u64) -> Result<bool> {
        let (topic, id) = (self.state_topic(), producer.id());
        for ShardCopy { shard, token, records, .. } in &copies.parts {
            tracing::warn!(%token, shard, "copying a commit that the brokers have lost sight of (KAFKA-20734)");
            for (left, value) in (0..records.len()).rev().zip(records) {
                let tag = if left == 0 { Transactions::tag_of(*shard) } else { Transactions::NO_TAG };
                let (key, value) = (Some(id.as_bytes()), Some(value.as_slice()));
                let record = Outgoing { topic: &topic, key, value, headers: &[], timestamp: None };
                producer.add(&record, Some(i32::from(*shard)), tag)?;
            }
        }
        for OutputCopy { place: (topic, partition), records, .. } in &copies.records {
            tracing::warn!(
                topic,
                partition,
                records = records.len(),
                "copying records that the brokers have lost sight of (KAFKA-20734)"
            );
            for record in records {
                producer.add(&record.outgoing(topic), Some(*partition), Transactions::NO_TAG)?;
            }
        }
        let placed = producer.drain()?;
        // All copies of the log have these records now, and with them the marker before them that was only on its way.
        if !self.still_hangs(open, copies)? {
            return Ok(false);
        }
        let mut offsets = Vec::new();
        for ShardCopy { shard, token, .. } in &copies.parts {
            let behind = placed.of_marker(*shard)? + 1;
            offsets.push(GroupOffset::new(&topic, i32::from(*shard), behind, token.to_string())?);
        }
        for (shard, offset, token) in &copies.known {
            offsets.push(GroupOffset::new(&topic, i32::from(*shard), *offset, token.to_string())?);
        }
        // Says that they were copied, if this process does not live to end what hangs.
        if let (Some(token), false) = (&copies.of, copies.records.is_empty()) {
            let note = copies.copied.note(token, copies.records.iter().map(|copy| &copy.place));
            offsets.push(GroupOffset::new(&lock_topic(&self.job), NOTES, 0, note)?);
        }
        let committing = self.membership.commit(term)?;
        producer.commit(&offsets, &committing.member)?;
        Ok(true)
    }

    /// Whether all that was copied has not ended yet.
    fn still_hangs(&self, open: &Open<'_>, copies: &Copies) -> Result<bool> {
        let stable = self.offsets(self.stable()?, Offset::End)?;
        let is_open = |part: &ShardCopy| part.open_from.is_none_or(|from| stable[usize::from(part.shard)] == from);
        let mut hangs = copies.parts.iter().all(is_open);
        for OutputCopy { place: (topic, partition), open_from, .. } in &copies.records {
            if open_from.is_some() {
                let [stable] = self.bounds_of(topic, [(self.stable()?, Offset::End)])?.unwrap_or_default();
                hangs &= usize::try_from(*partition).ok().and_then(|at| stable.get(at).copied()) == *open_from;
            }
        }
        Ok(hangs && (!open.group || self.stable_tokens(self.stable()?, true)?.is_none()))
    }

    /// Where records of a commit in outputs were copied.
    ///
    /// # Errors
    /// As [`note`](Self::note).
    pub(super) fn copied(&self, token: &Token) -> Result<Copied> {
        let note = self.note()?;
        let Some(places) = note.strip_prefix(&note_of(token)) else { return Ok(Copied::default()) };
        let places: BTreeSet<String> = places.split_whitespace().map(ToOwned::to_owned).collect();
        Ok(Copied(Some(places).filter(|places| !places.is_empty())))
    }
}

/// Brokers take 4,096 bytes beside an offset.
const NOTE_MAX: usize = 3_500;

fn note_of(token: &Token) -> String {
    format!("copied {token}")
}

/// Places where records were copied; everywhere if that is none.
pub(super) struct Copied(Option<BTreeSet<String>>);

impl Default for Copied {
    fn default() -> Self {
        Self(Some(BTreeSet::new()))
    }
}

impl Copied {
    pub fn contains(&self, place: &Place) -> bool {
        self.0.as_ref().is_none_or(|places| places.contains(&Self::text_of(place)))
    }

    fn text_of((topic, partition): &Place) -> String {
        format!("{topic}/{partition}")
    }

    /// What the group notes when records were copied in some more.
    fn note<'a>(&self, token: &Token, more: impl Iterator<Item = &'a Place>) -> String {
        let everywhere = note_of(token);
        let Some(places) = &self.0 else { return everywhere };
        let more: Vec<String> = more.map(Self::text_of).collect();
        let note = places.iter().chain(&more).fold(everywhere.clone(), |note, place| note + " " + place);
        if note.len() > NOTE_MAX { everywhere } else { note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_has_every_place_where_records_were_copied_or_stands_for_all() {
        let token = Token { epoch: 7, attempt: "one".to_owned(), owner: "j/a".to_owned() };
        let place = |partition| ("alerts".to_owned(), partition);
        let first = Copied::default().note(&token, [place(3)].iter());
        assert_eq!(first, format!("copied {token} alerts/3"));
        let copied = Copied(Some(BTreeSet::from(["alerts/3".to_owned()])));
        assert!(copied.contains(&place(3)) && !copied.contains(&place(4)));
        assert_eq!(copied.note(&token, [place(4)].iter()), format!("copied {token} alerts/3 alerts/4"));
        let many: Vec<Place> = (0..1000).map(place).collect();
        assert_eq!(copied.note(&token, many.iter()), format!("copied {token}"));
        assert!(Copied(None).contains(&place(9)));
        assert_eq!(Copied(None).note(&token, many.iter()), format!("copied {token}"));
    }
}
