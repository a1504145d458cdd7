//! Commits once more what is to stay of a commit whose end the brokers have lost sight of, behind what hangs.

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
            offsets.push(GroupOffset::new(&lock_topic(&self.job), NOTES, 0, note(token))?);
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

    /// Whether the records of a commit in outputs were copied, as far as they hung.
    pub(super) fn are_copied(&self, token: &Token) -> Result<bool> {
        Ok(self.note()? == note(token))
    }
}

fn note(token: &Token) -> String {
    format!("copied {token}")
}
