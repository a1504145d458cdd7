//! What the broker knows of the changelog and of the job's group, asked without being a member.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::errors::refused_options;
use super::marker::Token;
use super::membership::lock_topic;
use super::options::Role;
use super::session::Session;
use super::told::Told;
use crate::{Error, Result, clock};

pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Offsets on which a transaction is open are asked for again and again, for so long.
pub(super) const STABLE_TIMEOUT: Duration = Duration::from_secs(2);

/// The partition of the lock topic that the group has a note with.
pub(super) const NOTES: i32 = 0;

/// Per shard its token, and the offset behind the marker that has it.
pub(super) type Committed = Vec<Option<(Token, i64)>>;

/// Asks about offsets, and reads what is not committed.
pub(super) type Asker = BaseConsumer<Told>;

impl Session {
    /// Has one who asks connect, and find out whom to ask.
    pub(super) fn prime(&self, asker: Result<&Asker>) {
        if let Ok(asker) = asker {
            // What it answers now may change: it is asked again.
            drop(self.stable_tokens(asker, true));
        }
    }

    pub(super) fn untold(&self) -> Error {
        Error::unavailable(format!("Kafka does not tell the offsets of group {}", self.job))
    }

    /// Asks of everything, committed or not.
    pub(super) fn anybody(&self) -> Result<&Asker> {
        self.asker(&self.askers[0], "read_uncommitted")
    }

    /// Asks of what is committed.
    pub(super) fn stable(&self) -> Result<&Asker> {
        self.asker(&self.askers[1], "read_committed")
    }

    fn asker<'a>(&self, place: &'a OnceLock<Asker>, isolation: &str) -> Result<&'a Asker> {
        if let Some(asker) = place.get() {
            // What was reported meanwhile is known from elsewhere.
            while asker.poll(Duration::ZERO).is_some() {}
            return Ok(asker);
        }
        let options = [
            ("group.id", self.job.clone()),
            ("client.id", format!("{}-asks", self.instance)),
            ("reconnect.backoff.max.ms", "1000".to_owned()),
            // Where a partition ends is told by an answer with nothing in it, which brokers put off by half a second.
            ("fetch.wait.max.ms", "10".to_owned()),
        ];
        let mut config = self.kafka.client_config(Role::Consumer, &options)?;
        config.set("isolation.level", isolation);
        // Leaders know what has ended; a replica nearby may not have heard.
        config.set("client.rack", "");
        let asker = config.create_with_context(Told::default()).map_err(|error| refused_options(&error))?;
        Ok(place.get_or_init(|| asker))
    }

    /// Remembers how far the job was when this instance, which is to start over, joined it.
    ///
    /// # Errors
    /// `Unavailable` where the broker does not answer.
    pub fn remember_newest(&self) -> Result<()> {
        if self.newest.get().is_none() {
            let tokens = self.tokens(self.anybody()?, true)?;
            let newest = tokens.iter().flatten().map(|token| token.epoch).max().unwrap_or_default();
            self.newest.get_or_init(|| newest);
        }
        Ok(())
    }

    /// That no other instance has committed since [`remember_newest`](Self::remember_newest).
    ///
    /// # Errors
    /// `Config` where one has; `Unavailable` where the broker does not answer.
    pub(super) fn check_nobody_went_on(&self) -> Result<()> {
        let own = self.transactional_id();
        let newest = self.newest.get().copied().unwrap_or_default();
        let tokens = self.tokens(self.anybody()?, true)?;
        if !tokens.iter().flatten().any(|token| token.epoch > newest && token.owner != own) {
            return Ok(());
        }
        Err(Error::config(format!(
            "another instance of {} has gone on while this one, which is to start over, stood by; stop the others first, or \
             start this one without --fresh",
            self.job
        )))
    }

    /// The committed tokens, pending ones not.
    pub(super) fn tokens(&self, asker: &Asker, fresh: bool) -> Result<Vec<Option<Token>>> {
        self.committed(asker, fresh, ANSWER_TIMEOUT)?.map(tokens_of).ok_or_else(|| self.untold())
    }

    /// The same; `None` while a transaction on them is open.
    pub(super) fn stable_tokens(&self, asker: &Asker, fresh: bool) -> Result<Option<Vec<Option<Token>>>> {
        Ok(self.committed(asker, fresh, STABLE_TIMEOUT)?.map(tokens_of))
    }

    /// The same, with the offsets behind the markers that have these tokens.
    pub(super) fn committed(&self, asker: &Asker, fresh: bool, within: Duration) -> Result<Option<Committed>> {
        let topic = self.state_topic();
        let mut list = TopicPartitionList::with_capacity(usize::from(self.shards));
        list.add_partition_range(&topic, 0, i32::from(self.shards) - 1);
        let offsets = match asker.committed_offsets(list, within) {
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
            let Offset::Offset(offset) = element.offset() else { continue };
            let token = Token::parse(element.metadata());
            if token.is_none() && !fresh {
                return Err(Error::config(format!(
                    "the offset of {topic}[{shard}] in group {} was set by somebody else; it is the job's own: start over \
                     with --fresh, or go on from the last commit after: kafka-consumer-groups --delete-offsets --group {} \
                     --topic {topic}",
                    self.job, self.job
                )));
            }
            tokens[shard] = token.map(|token| (token, offset));
        }
        Ok(Some(tokens))
    }

    /// What the group has noted of this instance's predecessors and itself beside the state; empty where it has not.
    ///
    /// # Errors
    /// `Unavailable` where the brokers do not tell it, as while a transaction on it is open.
    pub(super) fn note(&self) -> Result<String> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&lock_topic(&self.job), NOTES);
        let offsets = self.stable()?.committed_offsets(list, ANSWER_TIMEOUT);
        let offsets = offsets.map_err(|error| self.untold().caused_by(error))?;
        let Some(note) = offsets.elements().into_iter().next() else { return Ok(String::new()) };
        note.error().map_err(|error| self.untold().caused_by(error))?;
        Ok(note.metadata().to_owned())
    }

    /// Where the partitions of the changelog begin (`Offset::Beginning`) or end (`Offset::End`): for a reader of what is
    /// committed, where the first transaction is that is open.
    pub(super) fn offsets(&self, asker: &Asker, which: Offset) -> Result<Vec<i64>> {
        offsets_of(&self.state_topic(), usize::from(self.shards), asker, which, ANSWER_TIMEOUT)
    }

    /// Where the partitions of another topic begin or end, each as asked; `None` where brokers say that there is no such topic.
    pub(super) fn bounds_of<const N: usize>(
        &self,
        topic: &str,
        asked: [(&Asker, Offset); N],
    ) -> Result<Option<[Vec<i64>; N]>> {
        let Some(partitions) = self.admin.partitions_if_there(topic)? else { return Ok(None) };
        let mut bounds = [const { Vec::new() }; N];
        for (found, (asker, which)) in bounds.iter_mut().zip(asked) {
            *found = offsets_of(topic, usize::from(partitions), asker, which, ANSWER_TIMEOUT)?;
        }
        Ok(Some(bounds))
    }

    /// The transactional ids that have written to the changelog and not ended their transaction, by shard, with the offset
    /// from which on it is open.
    pub(super) fn open_writers(&self, anybody: &Asker, stable: &Asker) -> Result<BTreeMap<u16, (String, i64)>> {
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
        let mut writers = BTreeMap::new();
        if open.is_empty() {
            return Ok(writers);
        }
        anybody.assign(&list).map_err(|error| Error::bug("librdkafka does not assign").caused_by(error))?;
        let deadline = clock::now() + Duration::from_secs(3);
        // One record of each partition names the writer: a shard has one owner at a time.
        while !open.is_empty() && clock::now() < deadline {
            match anybody.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let is_first = open.remove(&message.partition()).is_some();
                    if let (true, Some(key), Ok(shard)) = (is_first, message.key(), message.partition().try_into()) {
                        writers.insert(shard, (String::from_utf8_lossy(key).into_owned(), message.offset()));
                    }
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

pub(super) fn tokens_of(committed: Committed) -> Vec<Option<Token>> {
    committed.into_iter().map(|of| of.map(|(token, _)| token)).collect()
}

/// Where the first partitions of a topic begin or end.
pub(super) fn offsets_of(
    topic: &str,
    partitions: usize,
    asker: &Asker,
    which: Offset,
    timeout: Duration,
) -> Result<Vec<i64>> {
    let failed = |cause: String| Error::unavailable(format!("Kafka does not tell the offsets of {topic}: {cause}"));
    let mut list = TopicPartitionList::with_capacity(partitions);
    for number in (0..).take(partitions) {
        list.add_partition_offset(topic, number, which).map_err(|error| failed(error.to_string()))?;
    }
    // The two are times, too: one request for all.
    let found = asker.offsets_for_times(list, timeout).map_err(|error| failed(error.to_string()))?;
    let mut offsets = vec![0; partitions];
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
