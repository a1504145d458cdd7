//! The offsets of sources in the job's group. The job goes by its changelog, so they are compared with it: an operator
//! who resets them expects that it makes a difference.

use std::collections::BTreeMap;
use std::ffi::CString;

use rdkafka::consumer::Consumer as _;
use rdkafka::{Offset, TopicPartitionList};

use super::asking::ANSWER_TIMEOUT;
use super::ffi::GroupOffset;
use super::marker::Token;
use super::position::{Identity, Position};
use super::session::Session;
use crate::commit_record::CommitRecord;
use crate::{Error, Result};

/// What the changelog knows of a source partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// There is no commit at all.
    NoCommit,
    /// The job has not begun to read it, or starts over.
    Unread,
    At(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Somebody else has set it.
    Reset,
    /// The job has committed it, and the changelog knows of no commit.
    ChangelogGone,
}

/// What to think of an offset that the group has, with the token in its metadata.
fn judge(offset: i64, token: Option<&Token>, known: Known) -> Verdict {
    match (token, known) {
        (Some(_), Known::NoCommit) => Verdict::ChangelogGone,
        (Some(_), _) | (None, Known::Unread) => Verdict::Good,
        // Set to what it was, which changes nothing.
        (None, Known::At(at)) if at == offset => Verdict::Good,
        (None, _) => Verdict::Reset,
    }
}

impl Session {
    /// Compares the group's offsets of sources with those of the last commit; `None` where there is no commit.
    ///
    /// # Errors
    /// `Config` where somebody else has set one; `Corrupt` where the job has, and the changelog knows of no commit.
    pub(super) fn check_sources(&self, last: Option<&CommitRecord>) -> Result<()> {
        let positions = last.map(positions);
        let asker = self.stable()?;
        for (topic, partitions) in &self.sources {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(topic, 0, partitions - 1);
            let unanswered = |error| {
                Error::unavailable(format!("Kafka does not tell the offsets of {topic} in group {}", self.job))
                    .caused_by(error)
            };
            let offsets = asker.committed_offsets(list, ANSWER_TIMEOUT).map_err(unanswered)?;
            for element in offsets.elements() {
                element.error().map_err(unanswered)?;
                let (Offset::Offset(offset), partition) = (element.offset(), element.partition()) else { continue };
                let known = match &positions {
                    None => Known::NoCommit,
                    Some(positions) => {
                        positions.get(&(topic.clone(), partition)).map_or(Known::Unread, |at| Known::At(*at))
                    }
                };
                match judge(offset, Token::parse(element.metadata()).as_ref(), known) {
                    Verdict::Good => {}
                    Verdict::Reset => return Err(self.reset(topic, partition, offset, known)),
                    Verdict::ChangelogGone => {
                        return Err(Error::corrupt(format!(
                            "the group {0} says that {topic}[{partition}] was read up to offset {offset}, and {1} has no \
                             commit: the changelog was deleted, and the job's state with it; bring it back, or start \
                             over with --fresh",
                            self.job,
                            self.state_topic()
                        )));
                    }
                }
            }
        }
        Ok(())
    }

    fn reset(&self, topic: &str, partition: i32, offset: i64, known: Known) -> Error {
        let job = &self.job;
        let (own, remedy) = match known {
            Known::At(at) => (format!("is at {at}"), "go on from there"),
            Known::NoCommit | Known::Unread => ("has not begun".to_owned(), "begin where the job's options say"),
        };
        Error::config(format!(
            "the offset of {topic}[{partition}] in group {job} was set to {offset} by somebody else, and the job {own}: its \
             state holds what it has read, so offsets are not set from outside; {remedy} after kafka-consumer-groups \
             --delete-offsets --group {job} --topic {topic}, or start over with --fresh"
        ))
    }
}

/// Offsets of a commit by Kafka topic and partition.
fn positions(record: &CommitRecord) -> BTreeMap<(String, i32), i64> {
    let of = |(name, text): (&String, &String)| {
        let (partition, position) = place(name, text)?;
        Some(((position.identity.name?, partition), position.offset))
    };
    record.positions.iter().filter_map(of).collect()
}

/// The partition and the position in it of a source partition; `None` where it is none of Kafka.
fn place(name: &str, text: &str) -> Option<(i32, Position)> {
    let position = Position::parse(text).ok()?;
    Some((name.rsplit_once('/')?.1.parse().ok()?, position))
}

/// The offset of a source partition as tools of Kafka see it; the job itself goes by the marker. `None` for what is no
/// topic of the cluster that `here` is in.
pub(super) fn group_offset(name: &str, text: &str, here: &Identity, token: &Token) -> Option<GroupOffset> {
    let (partition, position) = place(name, text)?;
    if position.identity.cluster != here.cluster {
        return None;
    }
    let topic = CString::new(position.identity.name?).ok()?;
    Some(GroupOffset { topic, partition, offset: position.offset, metadata: token.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_without_a_token_is_a_reset() {
        let token = Token { epoch: 3, attempt: "a".to_owned(), owner: "j/i".to_owned() };
        assert_eq!(judge(7, Some(&token), Known::At(9)), Verdict::Good, "it stood still in the last commits");
        assert_eq!(judge(7, Some(&token), Known::Unread), Verdict::Good, "of before a start over");
        assert_eq!(judge(7, Some(&token), Known::NoCommit), Verdict::ChangelogGone);
        assert_eq!(judge(7, None, Known::At(7)), Verdict::Good);
        assert_eq!(judge(7, None, Known::At(9)), Verdict::Reset);
        assert_eq!(judge(7, None, Known::NoCommit), Verdict::Reset, "another application uses the name");
        assert_eq!(judge(7, None, Known::Unread), Verdict::Good);
    }
}
