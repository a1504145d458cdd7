//! What the checker's job reads and writes. The job and the checker share these types and the hash, nothing else.

use serde::{Deserialize, Serialize};

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub key: String,
    /// The number that the feed gave it.
    pub id: u64,
}

/// A record's place at the broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]@{}", self.topic, self.partition, self.offset)
    }
}

/// Why a link was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// A record, by its place and number.
    Input(Place, u64),
    /// A timer: this many since the key's last record.
    Timer(u32),
}

/// One per record and timer: a link of its key's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub key: String,
    /// The link's number in its key's chain, from 1.
    pub step: u64,
    /// How many records the key has had.
    pub count: u64,
    pub cause: Cause,
    /// Of the previous link's hash and the cause.
    pub hash: u64,
}

/// One of several that a record causes beside its link, all of them or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub key: String,
    pub of: Place,
    /// From 0.
    pub part: u32,
    /// The hash of the link that came with it.
    pub hash: u64,
}

/// The hash of a chain that has one more link.
pub fn hash_after(previous: u64, key: &str, cause: &Cause) -> u64 {
    let text = match cause {
        Cause::Input(place, id) => format!("{key} {place} {id}"),
        Cause::Timer(nth) => format!("{key} timer {nth}"),
    };
    // FNV-1a.
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let seed = previous.to_le_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fold);
    text.as_bytes().iter().fold(seed, fold)
}
