//! Looks whether a commit has ended everywhere, where a broker may have gone meanwhile: Kafka 4.1 to 4.4 may leave the
//! marker that ends a transaction out of partitions that had no leader at that moment (KAFKA-20734).

use std::time::Duration;

use rdkafka::Offset;

use super::asking::{Asker, offsets_of};
use super::assembly::LastMarker;
use super::session::Session;
use super::written::{Outputs, Span};
use crate::{Error, Result, clock};

/// Markers that are on their way come within this, and brokers that were away come back.
const COMES: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_millis(10);
/// Most waits are over before anybody wonders.
const TELLS: Duration = Duration::from_millis(500);

impl Session {
    /// That a commit has ended in its shards, in the group and in outputs. Opening anew ends it where it has not; that must
    /// be before more is written there, since the next transaction, if it is aborted, takes with it what hangs.
    ///
    /// # Errors
    /// `Unavailable` where it has not, or brokers do not answer.
    pub(super) fn check_ended(&self, markers: &[LastMarker], outputs: &Outputs) -> Result<()> {
        if outputs.is_empty() && markers.iter().all(|last| last.token.is_none()) {
            return Ok(());
        }
        let deadline = clock::now() + COMES;
        loop {
            let ended = self.has_ended(markers, outputs);
            if matches!(ended, Ok(None)) {
                return Ok(());
            }
            if clock::now() >= deadline {
                let place = ended?.unwrap_or_default();
                return Err(Error::unavailable(format!(
                    "a commit has not ended in {place}, since a broker went away (KAFKA-20734): opening anew to end it"
                )));
            }
            clock::wait(AGAIN, || false);
        }
    }

    /// Waits until outputs can be read as far as they were written: Kafka ends a transaction in each partition after it has
    /// said that it is committed, and whoever reads to the end in between misses what is there.
    pub(super) fn await_readable(&self, outputs: &Outputs) {
        let began = clock::now();
        let mut told = false;
        loop {
            let left = COMES.saturating_sub(clock::now() - began).max(AGAIN);
            let readable = self.stable().and_then(|asker| place_of(outputs, asker, left, |end, span| end <= span.last));
            let waits = match readable {
                Ok(None) => return,
                Ok(Some(place)) => format!("a transaction is open in {place}, or that is another topic by now"),
                Err(error) => error.to_string(),
            };
            let waited = clock::now() - began;
            if waited >= COMES {
                return tracing::warn!(
                    "what was committed last may not be readable yet: {waits}; what a broker has lost sight of is ended at the \
                     next start"
                );
            }
            if !told && waited >= TELLS {
                told = true;
                tracing::info!("waiting until what was committed can be read: {waits}");
            }
            clock::wait(SOON, || false);
        }
    }

    /// Where it has not.
    fn has_ended(&self, markers: &[LastMarker], outputs: &Outputs) -> Result<Option<String>> {
        let asker = self.stable()?;
        let Some(tokens) = self.stable_tokens(asker, true)? else {
            return Ok(Some(format!("the offsets of group {}", self.job)));
        };
        let ends = self.offsets(asker, Offset::End)?;
        for (shard, (last, token)) in
            markers.iter().zip(&tokens).enumerate().filter(|(_, (last, _))| last.token.is_some())
        {
            // What the group has forgotten says nothing.
            if ends[shard] <= last.offset || token.is_some() && *token != last.token {
                return Ok(Some(format!("{}[{shard}]", self.state_topic())));
            }
        }
        // Where it is less, somebody else's transaction is open before.
        place_of(outputs, asker, COMES, |end, span| end == span.first)
    }
}

/// The first partition whose last stable offset is as bad as that.
fn place_of(
    outputs: &Outputs,
    asker: &Asker,
    timeout: Duration,
    is_bad: impl Fn(i64, &Span) -> bool,
) -> Result<Option<String>> {
    for (topic, spans) in outputs.topics() {
        let last = spans.keys().next_back().copied().and_then(|last| usize::try_from(last).ok());
        let ends = offsets_of(topic, last.map_or(0, |last| last + 1), asker, Offset::End, timeout)?;
        for (partition, span) in spans {
            let end = usize::try_from(*partition).ok().and_then(|at| ends.get(at));
            if end.is_some_and(|end| is_bad(*end, span)) {
                return Ok(Some(format!("{topic}[{partition}]")));
            }
        }
    }
    Ok(None)
}
