//! What is kept per pane.

use std::num::NonZeroU8;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is kept per pane: what it has said already, and the aggregate.
#[derive(Serialize, Deserialize)]
pub(crate) struct PaneState<S> {
    pub flags: Flags,
    pub state: S,
}

/// A byte with its highest bit set, so that an absent pane takes no byte of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(NonZeroU8);

impl Flags {
    /// The pane's result was emitted: `once` fired, or a late row came before or after the close.
    pub const EMITTED: u8 = 1;
    /// It is listed for an early result.
    pub const LISTED: u8 = 2;
    /// It changed in this batch. Never stored.
    pub const TOUCHED: u8 = 4;

    const ALWAYS: NonZeroU8 = match NonZeroU8::new(0x80) {
        Some(bit) => bit,
        None => unreachable!(),
    };

    #[inline]
    pub fn new(flags: u8) -> Self {
        Self(Self::ALWAYS | flags)
    }

    #[inline]
    pub fn has(self, flag: u8) -> bool {
        self.0.get() & flag != 0
    }

    #[inline]
    pub fn set(&mut self, flag: u8) {
        self.0 |= flag;
    }

    #[inline]
    pub fn clear(&mut self, flag: u8) {
        *self = Self::new(self.0.get() & !flag);
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0.get() & !Self::ALWAYS.get())
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self::new)
    }
}
