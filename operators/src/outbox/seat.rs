//! The keys of stored items: all in one shard, so that one worker owns an outbox.

use headwater_state::{Error, Key, Result, Shard, hash_bytes};

/// The bits of a key's hash that decide about its shard.
const HOME: u64 = 0xffff << 32;

/// The number of an item, in the shard of its outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    home: u16,
    pub seq: u64,
}

impl Seat {
    /// Item `seq` of the outbox whose name has this hash.
    pub fn new(home: u64, seq: u64) -> Self {
        Self { home: ((home & HOME) >> 32) as u16, seq }
    }

    /// The shard of an outbox whose name has this hash.
    pub fn shard(home: u64, shards: u16) -> Shard {
        Shard::of(home, shards)
    }

    fn bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..2].copy_from_slice(&self.home.to_be_bytes());
        bytes[2..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }
}

impl Key for Seat {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.bytes());
    }

    fn encode_part(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    fn decode(mut bytes: &[u8]) -> Result<Self> {
        let seat = Self::decode_part(&mut bytes)?;
        if bytes.is_empty() { Ok(seat) } else { Err(Error::corrupt("the number of an item is too long")) }
    }

    fn decode_part(bytes: &mut &[u8]) -> Result<Self> {
        let short = || Error::corrupt("the number of an item is cut short");
        let (home, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let (seq, rest) = rest.split_first_chunk().ok_or_else(short)?;
        *bytes = rest;
        Ok(Self { home: u16::from_be_bytes(*home), seq: u64::from_be_bytes(*seq) })
    }

    fn shape() -> String {
        "(home:u16,seq:u64)".to_owned()
    }

    /// As of other keys, but for the bits that decide about the shard.
    fn hash64(&self) -> u64 {
        (hash_bytes(&self.bytes()) & !HOME) | u64::from(self.home) << 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_items_of_an_outbox_are_in_the_shard_of_its_name() {
        let home = "mail".to_owned().hash64();
        for seq in 0..1_000 {
            let seat = Seat::new(home, seq);
            for shards in [1, 7, 32, 1024] {
                assert_eq!(Shard::of(seat.hash64(), shards), Seat::shard(home, shards));
            }
            let mut bytes = Vec::new();
            seat.encode(&mut bytes);
            assert_eq!(Seat::decode(&bytes).unwrap(), seat);
        }
        assert!(Seat::decode(&[0; 9]).is_err() && Seat::decode(&[0; 11]).is_err());
    }
}
