//! What ends a shard's part of an epoch in the changelog, and what the group remembers of it.

use std::fmt;

use headwater_state::{Block, hash_bytes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::written::Outputs;
use crate::{Error, Result};

/// The first byte of a record of the changelog.
pub(super) const BLOCK: u8 = b'B';
/// A marker is JSON, which people can read.
pub(super) const MARKER: u8 = b'{';

/// Names one attempt at one epoch. It is in the marker of each shard that the epoch changed, and in the metadata of the
/// offset that the group has of the shard: an offset alone does not tell two attempts apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Token {
    pub epoch: u64,
    /// Drawn for each attempt.
    pub attempt: String,
    /// The transactional id of who made it.
    pub owner: String,
}

impl Token {
    /// Reads what [`Display`](fmt::Display) writes. `None` where it is no token.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, rest) = text.strip_prefix("headwater 1 ")?.split_once(' ')?;
        let (attempt, owner) = rest.split_once(' ')?;
        Some(Self { epoch: epoch.parse().ok()?, attempt: attempt.to_owned(), owner: owner.to_owned() })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "headwater 1 {} {} {}", self.epoch, self.attempt, self.owner)
    }
}

/// The last record of a shard's part of an epoch.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Marker {
    /// Of the format.
    pub v: u8,
    /// The job's random id: another job may have its name.
    pub job: String,
    pub token: Token,
    /// How many blocks stand before it, and a digest of their checksums.
    pub blocks: u32,
    pub digest: u64,
    /// All shards that the epoch has a marker in.
    pub shards: Vec<u16>,
    /// Bytes of the log since its last rotation began.
    pub log_bytes: u64,
    /// The first commit that a reader of the whole log needs: where the last complete rotation began.
    pub since: u64,
    /// What the commit says beside the state, in the first of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
    /// Where its records are in outputs; with `record`. Earlier versions have not said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// And where the last ones of commits before it are, since the job was taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<Outputs>,
    /// What the state is, where all shards have a marker: the log always holds one such epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Box<RawValue>>,
}

pub(super) const VERSION: u8 = 1;

impl Marker {
    pub fn read(bytes: &[u8], place: &str) -> Result<Self> {
        let marker: Self = serde_json::from_slice(bytes).map_err(|error| stranger(place).caused_by(error))?;
        if marker.v != VERSION {
            return Err(Error::config(format!(
                "{place} has format {}, this version reads {VERSION}: run the version that wrote it",
                marker.v
            )));
        }
        Ok(marker)
    }

    pub fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::bug("a marker cannot be written").caused_by(error))
    }

    /// That these blocks are those it was written after.
    pub fn check(&self, blocks: &[Block], place: &str) -> Result<()> {
        if (self.blocks as usize, self.digest) == (blocks.len(), digest(blocks)) {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{place} ends commit {} with {} blocks before it, and has {} or others: the changelog is damaged; bring the \
             topic's data back, or start over with --fresh",
            self.token.epoch,
            self.blocks,
            blocks.len()
        )))
    }
}

/// The error for a record that the job has not written.
pub(super) fn stranger(place: &str) -> Error {
    Error::corrupt(format!(
        "{place} is nothing that a job writes to its changelog: somebody else has written to the topic; let only the job's \
         user write to it, and start over with --fresh"
    ))
}

/// A digest of the blocks' own checksums.
pub(super) fn digest<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> u64 {
    let mut checksums = Vec::new();
    for block in blocks {
        checksums.extend_from_slice(block.bytes.last_chunk::<4>().unwrap_or(&[0; 4]));
    }
    hash_bytes(&checksums)
}

/// The record of a commit, as a marker holds it.
pub(super) fn raw(json: &[u8]) -> Result<Box<RawValue>> {
    serde_json::from_slice(json).map_err(|error| Error::bug("a commit's record is not JSON").caused_by(error))
}

/// Anything as JSON, as a marker holds it.
pub(super) fn raw_of(value: &impl Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value).map_err(|error| Error::bug("a manifest cannot be written").caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written() {
        let token = Token { epoch: 12, attempt: "89ab".to_owned(), owner: "orders/a b".to_owned() };
        assert_eq!(Token::parse(&token.to_string()), Some(token));
        for text in ["", "12", "headwater 2 1 a b", "headwater 1 x a b"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
