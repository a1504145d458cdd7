//! The unit of ownership and movement, and the number of a commit.

use std::fmt;

/// A number that grows by one with each commit. Epoch 0 is before the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A share of the key space that one worker owns: the first component of every stored key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard of a key whose [`hash64`](crate::Key::hash64) is `hash`, among `shards` of them.
    ///
    /// Routing and stored state hang on this: it never changes. It takes bits 32 to 48, so that hash tables, which
    /// use the lowest and the highest bits, stay evenly filled within one shard.
    #[inline]
    pub fn of(hash: u64, shards: u16) -> Self {
        let bits = (hash >> 32) & 0xffff;
        Self(((bits * u64::from(shards)) >> 16) as u16)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
