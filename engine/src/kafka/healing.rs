//! Ends what the brokers have lost sight of: Kafka 4.1 to 4.3 may leave the marker that ends a transaction out of partitions
//! that had no leader at that moment (KAFKA-20734). They stay open for ever, though nobody can write to them any more.
//!
//! A transaction of the same producer id ends what is open of the last one in every partition that it writes to. A crash
//! or a timeout aborts it, and with it what was open, so committing that way may lose what is committed. Here it is aborted
//! in every case; what the group says is committed is copied first, by a producer of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use headwater_state::{Block, Shard};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::asking::Asker;
use super::ffi::GroupOffset;
use super::marker::{BLOCK, MARKER, Marker, Token};
use super::opening::Taking;
use super::session::Session;
use super::transactions::Transactions;
use crate::run::Control;
use crate::sink::Outgoing;
use crate::{Error, Result, clock};

/// Reading what is open of a shard takes at most so long.
const READ_MAX: Duration = Duration::from_secs(30);
/// How the transactional ids end that copies are made with.
const COPIES: &str = "/copies";

/// A shard's log that ends, for readers of what is committed, before records that nobody will end.
pub(super) struct Hanging {
    pub shard: u16,
    /// The transactional id that wrote what stands at `from`.
    pub writer: String,
    /// The last stable offset.
    pub from: i64,
    /// What the group says of the shard: its token, and the offset behind its marker.
    pub committed: Option<(Token, i64)>,
}

/// What this opening has done about it. Each thing is tried once: what does not help is waited for as before.
#[derive(Default)]
pub(super) struct Healing {
    tried: BTreeSet<(u16, i64)>,
    /// Where the outputs ended once those that left something open could write no more.
    outputs: Option<BTreeMap<String, Vec<i64>>>,
}

/// A record of the changelog that is not committed, or not yet.
struct Open {
    offset: i64,
    key: String,
    value: Vec<u8>,
}

/// A shard's part of a commit, which hangs.
struct Part {
    shard: u16,
    from: i64,
    token: Token,
    /// Blocks, and the marker.
    records: Vec<Vec<u8>>,
}

enum Verdict {
    /// Nothing of it is committed, or there is a copy.
    Abort,
    Copy(Part),
    Unclear,
}

impl Session {
    /// Ends what hangs, whose writers are this one or are fenced: their coordinator has ended all that it knows of. What
    /// is to be waited for instead, if it cannot.
    ///
    /// # Errors
    /// `Fenced` where this is not the active instance any more; `Unavailable` as brokers answer.
    pub(super) fn heal(
        &self,
        hanging: Vec<Hanging>,
        taking: &mut Taking<'_>,
        control: &Control,
    ) -> Result<Option<String>> {
        let (term, healing) = (taking.term, &mut taking.healing);
        if hanging.is_empty() {
            return Ok(None);
        }
        // What hangs in an output would share the fate of what is written there next, whichever the two are.
        if let Some(open) = self.open_outputs(healing)? {
            return Ok(Some(open));
        }
        let mut aborts: BTreeMap<String, Vec<u16>> = BTreeMap::new();
        let mut copies = Vec::new();
        for of in hanging {
            if !healing.tried.insert((of.shard, of.from)) {
                continue;
            }
            match self.judge(&of)? {
                Verdict::Abort => {}
                Verdict::Copy(part) => copies.push(part),
                Verdict::Unclear => continue,
            }
            aborts.entry(of.writer).or_default().push(of.shard);
        }
        if !copies.is_empty() && !self.copy(&copies, term, control)? {
            taking.healing.tried.clear();
            return Ok(None);
        }
        for (writer, shards) in aborts {
            self.membership.check(term)?;
            tracing::warn!(
                writer,
                ?shards,
                "ending a transaction on {} that the brokers have lost sight of (KAFKA-20734)",
                self.state_topic()
            );
            if writer == self.transactional_id() {
                self.abort_in(taking.transactions, &writer, &shards)?;
            } else {
                self.abort_in(&self.producer(&writer, control)?, &writer, &shards)?;
            }
        }
        Ok(None)
    }

    /// Whether what hangs is committed.
    fn judge(&self, of: &Hanging) -> Result<Verdict> {
        // What the group does not know of may have been committed and forgotten.
        let Some((token, offset)) = &of.committed else { return Ok(Verdict::Unclear) };
        if *offset <= of.from {
            return Ok(Verdict::Abort);
        }
        let records = self.read_open(self.anybody()?, of, *offset)?;
        Ok(verdict(of, token, *offset, records))
    }

    /// Reads what stands between the last stable offset and `end`.
    fn read_open(&self, anybody: &Asker, of: &Hanging, end: i64) -> Result<Vec<Open>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.state_topic(), i32::from(of.shard), Offset::Offset(of.from))
            .map_err(|error| Error::bug("an offset is out of range").caused_by(error))?;
        anybody.assign(&list).map_err(|error| Error::bug("librdkafka does not assign").caused_by(error))?;
        let mut records: Vec<Open> = Vec::new();
        let deadline = clock::now() + READ_MAX;
        while clock::now() < deadline && records.last().is_none_or(|last| last.offset + 1 < end) {
            match anybody.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
                    let value = message.payload().unwrap_or_default().to_vec();
                    records.push(Open { offset: message.offset(), key, value });
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(_)) | None => {}
            }
        }
        anybody.unassign().map_err(|error| Error::bug("librdkafka does not unassign").caused_by(error))?;
        Ok(records)
    }

    /// Commits the parts once more, behind what hangs. `false` where one does not hang after all.
    fn copy(&self, parts: &[Part], term: u64, control: &Control) -> Result<bool> {
        let id = format!("{}{COPIES}", self.transactional_id());
        let copies = self.producer(&id, control)?;
        let topic = self.state_topic();
        for part in parts {
            tracing::warn!(token = %part.token, "copying a commit whose end the brokers have lost sight of (KAFKA-20734)");
            for (left, value) in (0..part.records.len()).rev().zip(&part.records) {
                let tag = if left == 0 { Transactions::tag_of(part.shard) } else { Transactions::NO_TAG };
                let (key, value) = (Some(id.as_bytes()), Some(value.as_slice()));
                let record = Outgoing { topic: &topic, key, value, headers: &[], timestamp: None };
                copies.add(&record, Some(i32::from(part.shard)), tag)?;
            }
        }
        let placed = copies.drain()?;
        // All copies of the log have these records now, and with them the marker before them that was only on its way.
        let stable = self.offsets(self.stable()?, Offset::End)?;
        if parts.iter().any(|part| stable[usize::from(part.shard)] != part.from) {
            return Ok(false);
        }
        let state = CString::new(topic).map_err(|_| Error::bug("the changelog's name has a zero in it"))?;
        let mut offsets = Vec::with_capacity(parts.len());
        for part in parts {
            let offset = placed.get(&Transactions::tag_of(part.shard)).filter(|offset| **offset >= 0);
            let offset = offset.ok_or_else(|| Error::unavailable("Kafka does not tell the offset of a marker"))? + 1;
            let (topic, partition, metadata) = (state.clone(), i32::from(part.shard), part.token.to_string());
            offsets.push(GroupOffset { topic, partition, offset, metadata });
        }
        let committing = self.membership.commit(term)?;
        copies.commit(&offsets, &committing.member)?;
        Ok(true)
    }

    /// Aborts a transaction of the producer that has a record in these shards: nobody ever reads that.
    fn abort_in(&self, transactions: &Transactions, writer: &str, shards: &[u16]) -> Result<()> {
        let topic = self.state_topic();
        for shard in shards {
            let (key, value) = (Some(writer.as_bytes()), Some(&b"aborted"[..]));
            let record = Outgoing { topic: &topic, key, value, headers: &[], timestamp: None };
            transactions.add(&record, Some(i32::from(*shard)), Transactions::NO_TAG)?;
        }
        transactions.drain()?;
        transactions.abort();
        transactions.settle().map(drop)
    }

    fn producer(&self, id: &str, control: &Control) -> Result<Transactions> {
        Transactions::start(&self.kafka, id, &self.instance, self.interval, &|| control.stopping())
    }

    /// Which outputs have a transaction open that was open when this opening first asked.
    fn open_outputs(&self, healing: &mut Healing) -> Result<Option<String>> {
        if healing.outputs.is_none() {
            let anybody = self.anybody()?;
            let end = |topic: &String| Ok((topic.clone(), self.ends_of(topic, anybody)?));
            healing.outputs = Some(self.outputs.iter().map(end).collect::<Result<_>>()?);
        }
        for (topic, ends) in healing.outputs.iter().flatten() {
            let stable = self.ends_of(topic, self.stable()?)?;
            let open: Vec<usize> = (0..ends.len()).filter(|at| stable.get(*at) < ends.get(*at)).collect();
            if !open.is_empty() {
                return Ok(Some(format!("a transaction on {topic} {open:?} that is open")));
            }
        }
        // Another writer may be fenced later.
        healing.outputs = None;
        Ok(None)
    }
}

/// What is to be done about what hangs, of which these are the records up to the marker that the group names.
fn verdict(of: &Hanging, token: &Token, end: i64, mut records: Vec<Open>) -> Verdict {
    let writer = |record: &Open| if record.key == of.writer { None } else { Some(record.key.ends_with(COPIES)) };
    let Some(last) = records.pop().filter(|last| last.offset + 1 == end) else { return Verdict::Unclear };
    let marker = Some(&last.value).filter(|value| value.first() == Some(&MARKER));
    let marker = marker.and_then(|value| Marker::read(value, "a shard").ok()).filter(|of| of.token == *token);
    let Some(marker) = marker else { return Verdict::Unclear };
    if of.writer.ends_with(COPIES) {
        // It would be copied by the producer that must then abort.
        return Verdict::Unclear;
    }
    if writer(&last) == Some(true) {
        return Verdict::Abort;
    }
    let block = |record: &Open| match record.value.split_first() {
        Some((&BLOCK, bytes)) if writer(record).is_none() => {
            Some(Block { shard: Shard(of.shard), bytes: Arc::from(bytes) })
        }
        _ => None,
    };
    let blocks: Option<Vec<Block>> = records.iter().map(block).collect();
    let is_whole = blocks.is_some_and(|blocks| marker.check(&blocks, "a shard").is_ok());
    if !is_whole || writer(&last).is_some() {
        return Verdict::Unclear;
    }
    records.push(last);
    let records = records.into_iter().map(|record| record.value).collect();
    Verdict::Copy(Part { shard: of.shard, from: of.from, token: token.clone(), records })
}

#[cfg(test)]
#[path = "healing_tests.rs"]
mod tests;
