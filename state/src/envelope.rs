//! What a log stores around a commit's marker, so that a block that is missing or strange is noticed.
//!
//! ```text
//! envelope = version u8 (1) · epoch u64 · shards u16 · (shard u16 · blocks u32)* · digest u64 · marker · crc32 u32
//! ```
//! The digest is over the checksums of all blocks, in the order of shards and indexes.

use std::collections::BTreeMap;

use crate::{Block, Commit, Epoch, Error, Result, Shard, block, hash_bytes};

const VERSION: u8 = 1;

/// Checks that `commit` follows `last` and that its blocks are of its epoch and in order.
pub(crate) fn check(commit: &Commit, last: Epoch) -> Result<BTreeMap<Shard, u32>> {
    if commit.epoch != last.next() {
        return Err(Error::bug(format!("commit {} does not follow the log's last, {last}", commit.epoch)));
    }
    let mut counts = BTreeMap::new();
    for Block { shard, bytes } in &commit.blocks {
        let header = block::header(bytes)?;
        let count = counts.entry(*shard).or_insert(0);
        if (header.shard, header.epoch, header.index) != (*shard, commit.epoch, *count) || shard.0 == u16::MAX {
            return Err(Error::bug(format!(
                "block {} of shard {} and commit {} stands where block {count} of shard {shard} and commit {} belongs",
                header.index, header.shard, header.epoch, commit.epoch
            )));
        }
        *count += 1;
    }
    Ok(counts)
}

/// The envelope of a commit whose blocks have these `counts`.
#[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "a log in memory only checks"))]
pub(crate) fn seal(commit: &Commit, counts: &BTreeMap<Shard, u32>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(commit.marker.len() + counts.len() * 6 + 23);
    bytes.push(VERSION);
    bytes.extend_from_slice(&commit.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&(counts.len() as u16).to_be_bytes());
    for (shard, count) in counts {
        bytes.extend_from_slice(&shard.0.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    let mut blocks: Vec<&Block> = commit.blocks.iter().collect();
    // Stable, so that each shard's blocks stay in the order of their indexes.
    blocks.sort_by_key(|block| block.shard);
    bytes.extend_from_slice(&digest(blocks).to_be_bytes());
    bytes.extend_from_slice(&commit.marker);
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes
}

fn digest<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> u64 {
    let mut checksums = Vec::new();
    for block in blocks {
        checksums.extend_from_slice(block.bytes.last_chunk::<4>().unwrap_or(&[0; 4]));
    }
    hash_bytes(&checksums)
}

/// An envelope that has been read back.
#[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "a log in memory only checks"))]
pub(crate) struct Envelope<'a> {
    epoch: Epoch,
    counts: BTreeMap<Shard, u32>,
    digest: u64,
    /// What the engine wrote.
    pub(crate) marker: &'a [u8],
}

#[cfg_attr(not(feature = "rocks"), allow(dead_code, reason = "a log in memory only checks"))]
impl<'a> Envelope<'a> {
    /// Reads the envelope of the commit of `epoch`.
    pub(crate) fn open(epoch: Epoch, bytes: &'a [u8]) -> Result<Self> {
        let malformed = || Error::corrupt(format!("marker of commit {epoch} is damaged"));
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or_else(malformed)?;
        if u32::from_be_bytes(*checksum) != crc32fast::hash(body) {
            return Err(malformed());
        }
        let (&version, mut rest) = body.split_first().ok_or_else(malformed)?;
        if version != VERSION {
            return Err(Error::config(format!(
                "marker of commit {epoch} has format {version}, this version reads {VERSION}: \
                 run the version that wrote it"
            )));
        }
        let written = Epoch(number(&mut rest).map(u64::from_be_bytes).ok_or_else(malformed)?);
        if written != epoch {
            return Err(Error::corrupt(format!("marker of commit {written} stands at commit {epoch}")));
        }
        let mut counts = BTreeMap::new();
        for _ in 0..number(&mut rest).map(u16::from_be_bytes).ok_or_else(malformed)? {
            let shard = number(&mut rest).map(u16::from_be_bytes).ok_or_else(malformed)?;
            counts.insert(Shard(shard), number(&mut rest).map(u32::from_be_bytes).ok_or_else(malformed)?);
        }
        let digest = number(&mut rest).map(u64::from_be_bytes).ok_or_else(malformed)?;
        Ok(Self { epoch, counts, digest, marker: rest })
    }

    /// Checks that `blocks`, in the order of shards and indexes, are those the envelope was sealed with.
    pub(crate) fn check(&self, blocks: &[Block]) -> Result<()> {
        let epoch = self.epoch;
        let mut found = BTreeMap::new();
        for Block { shard, bytes } in blocks {
            let count = found.entry(*shard).or_insert(0);
            let header = block::header(bytes)
                .map_err(|error| error.within(format!("commit {epoch}, shard {shard}, block {count}")))?;
            if (header.shard, header.epoch) != (*shard, epoch) {
                return Err(Error::corrupt(format!(
                    "commit {epoch}, shard {shard}: holds a block of shard {} and commit {}",
                    header.shard, header.epoch
                )));
            }
            if header.index != *count {
                return Err(Error::corrupt(format!("commit {epoch}, shard {shard}: block {count} is missing")));
            }
            *count += 1;
        }
        for (shard, expected) in &self.counts {
            let count = found.remove(shard).unwrap_or(0);
            if count != *expected {
                return Err(Error::corrupt(format!(
                    "commit {epoch}, shard {shard}: has {count} of its {expected} blocks"
                )));
            }
        }
        if let Some((shard, _)) = found.first_key_value() {
            return Err(Error::corrupt(format!("commit {epoch}, shard {shard}: has blocks that were not committed")));
        }
        if digest(blocks) != self.digest {
            return Err(Error::corrupt(format!("commit {epoch}: holds other blocks than were committed")));
        }
        Ok(())
    }
}

fn number<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockWriter, Change};
    use crate::{Kind, Namespace};

    fn blocks(shard: u16, values: &[u8]) -> Vec<Block> {
        let mut writer = BlockWriter::new(Shard(shard), Epoch(3));
        writer.section("t", Namespace::NONE);
        writer.push(Change::Put(b"key", values));
        writer.finish()
    }

    fn commit() -> Commit {
        let blocks = [blocks(0, b"a"), blocks(2, b"b")].concat();
        Commit { epoch: Epoch(3), blocks, marker: b"here".to_vec() }
    }

    fn sealed() -> Vec<u8> {
        let commit = commit();
        seal(&commit, &check(&commit, Epoch(2)).unwrap())
    }

    #[test]
    fn what_was_sealed_is_read_back() {
        let bytes = sealed();
        let envelope = Envelope::open(Epoch(3), &bytes).unwrap();
        assert_eq!(envelope.marker, b"here");
        envelope.check(&commit().blocks).unwrap();
    }

    #[test]
    fn a_missing_or_strange_block_is_named() {
        let bytes = sealed();
        let envelope = Envelope::open(Epoch(3), &bytes).unwrap();
        let found = |blocks: Vec<Block>| envelope.check(&blocks).unwrap_err().to_string();
        assert_eq!(found(blocks(0, b"a")), "commit 3, shard 2: has 0 of its 1 blocks");
        let more = [commit().blocks, blocks(7, b"c")].concat();
        assert_eq!(found(more), "commit 3, shard 7: has blocks that were not committed");
        let other = [blocks(0, b"a"), blocks(2, b"z")].concat();
        assert_eq!(found(other), "commit 3: holds other blocks than were committed");
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let bytes = sealed();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Envelope::open(Epoch(3), &damaged).err().unwrap().kind(), Kind::Corrupt, "byte {at}");
        }
    }
}
