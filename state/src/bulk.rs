//! Committed blocks of several epochs, merged into one sorted change per table.
//!
//! Nothing is copied: an entry is sixteen bytes that point into a block. Within one namespace of one shard entries are
//! sorted by a *head*, the seven bytes of the key after what all its keys have in common; only entries with equal
//! heads are looked at again.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::block::{self, Change, Part};
use crate::{Commit, Epoch, Error, Namespace, Result, Shard};

/// The changes of several epochs to every table, the newest of each key only.
#[derive(Clone, Debug, Default)]
pub struct Bulk {
    /// The epoch that the tables have reached afterwards.
    pub epoch: Epoch,
    /// A part per table, in the order of their names.
    pub tables: Vec<TableBulk>,
}

/// The changes to one table: first the drops, then the writes.
#[derive(Clone)]
pub struct TableBulk {
    /// The table's name.
    pub table: String,
    /// Prefixes whose keys all go, in order.
    pub drops: Vec<Vec<u8>>,
    groups: Vec<Group>,
    blocks: Arc<[Arc<[u8]>]>,
}

/// The writes to one namespace of one shard, sorted by key and without duplicates.
#[derive(Clone)]
struct Group {
    prefix: Vec<u8>,
    entries: Vec<Entry>,
}

/// Sorts by key as far as the head goes, then by age: a later place is a newer change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    head: u64,
    /// Index of the block in the upper half, place in the block in the lower.
    place: u64,
}

impl Bulk {
    /// Merges commits that follow each other, oldest first.
    ///
    /// A drop discards the older writes of its namespace and becomes a prefix to drop; what comes after it is kept.
    ///
    /// # Errors
    /// `Corrupt` where a block is; `Bug` where the commits are not in order, or where a table has both a whole
    /// namespace and windows in one shard: their keys cannot be told apart.
    pub fn merge<'a>(commits: impl IntoIterator<Item = &'a Commit>) -> Result<Self> {
        let mut epoch = Epoch(0);
        let mut blocks = Vec::new();
        for commit in commits {
            if commit.epoch <= epoch {
                return Err(Error::bug(format!("commit {} is merged after commit {epoch}", commit.epoch)));
            }
            epoch = commit.epoch;
            blocks.extend(commit.blocks.iter().map(|block| block.bytes.clone()));
        }
        let blocks: Arc<[Arc<[u8]>]> = blocks.into();
        let mut tables: BTreeMap<&str, Vec<Gathered<'_>>> = BTreeMap::new();
        for gathered in gather(&blocks)? {
            tables.entry(gathered.table).or_default().push(gathered);
        }
        let parts = tables.into_iter().map(|(table, groups)| TableBulk::sorted(table, groups, &blocks));
        Ok(Self { epoch, tables: parts.collect::<Result<_>>()? })
    }
}

impl TableBulk {
    /// Visits every key in order, with its value or with `None` where it is deleted.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn writes(&self, mut visit: impl FnMut(&[u8], Option<&[u8]>) -> Result<()>) -> Result<()> {
        let mut stored = Vec::new();
        for group in &self.groups {
            stored.clear();
            stored.extend_from_slice(&group.prefix);
            for entry in &group.entries {
                let (key, value) = match entry.change(&self.blocks)? {
                    Change::Put(key, value) => (key, Some(value)),
                    Change::Delete(key) => (key, None),
                    Change::Drop => return Err(Error::bug("a drop is no write")),
                };
                stored.truncate(group.prefix.len());
                stored.extend_from_slice(key);
                visit(&stored, value)?;
            }
        }
        Ok(())
    }

    /// How many keys are written or deleted.
    pub fn writes_len(&self) -> usize {
        self.groups.iter().map(|group| group.entries.len()).sum()
    }

    fn sorted(table: &str, mut gathered: Vec<Gathered<'_>>, blocks: &Arc<[Arc<[u8]>]>) -> Result<Self> {
        gathered.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix));
        for pair in gathered.windows(2) {
            if let [a, b] = pair
                && b.prefix.starts_with(&a.prefix)
            {
                return Err(Error::bug(format!("table {table} has keys both with and without a window in one shard")));
            }
        }
        let drops = gathered.iter().filter(|group| group.dropped).map(|group| group.prefix.clone()).collect();
        let groups = gathered.into_iter().map(|group| group.sorted(blocks)).collect::<Result<_>>()?;
        Ok(Self { table: table.to_owned(), drops, groups, blocks: blocks.clone() })
    }
}

impl fmt::Debug for TableBulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableBulk")
            .field("table", &self.table)
            .field("drops", &self.drops.len())
            .field("writes", &self.writes_len())
            .finish_non_exhaustive()
    }
}

impl Entry {
    #[inline]
    fn change(self, blocks: &[Arc<[u8]>]) -> Result<Change<'_>> {
        let block = blocks.get((self.place >> 32) as usize).ok_or_else(|| Error::bug("entry outside the bulk"))?;
        block::change_at(block, self.place as u32 as usize)
    }

    /// The key after its first `common` bytes.
    #[inline]
    fn tail(self, blocks: &[Arc<[u8]>], common: usize) -> Result<&[u8]> {
        match self.change(blocks)? {
            Change::Put(key, _) | Change::Delete(key) => Ok(key.get(common..).unwrap_or_default()),
            Change::Drop => Err(Error::bug("a drop is no write")),
        }
    }
}

/// A namespace's changes in the order of time.
struct Gathered<'a> {
    table: &'a str,
    prefix: Vec<u8>,
    dropped: bool,
    /// What every key begins with; `None` before the first.
    common: Option<&'a [u8]>,
    entries: Vec<Entry>,
}

/// Reads every block once and sorts out which namespace each change belongs to.
fn gather(blocks: &[Arc<[u8]>]) -> Result<Vec<Gathered<'_>>> {
    let mut groups: Vec<Gathered<'_>> = Vec::new();
    let mut found: HashMap<(&str, Shard, Namespace), usize> = HashMap::new();
    for (index, bytes) in blocks.iter().enumerate() {
        if index > u32::MAX as usize || bytes.len() > u32::MAX as usize {
            return Err(Error::bug("bulk is too large"));
        }
        let shard = block::header(bytes)?.shard;
        if shard.0 == u16::MAX {
            return Err(Error::bug(format!("shard {shard} is past the last one")));
        }
        // Entries before the first section would be a malformed block, which `walk` refuses.
        let mut current = 0;
        block::walk(bytes, |part| match part {
            Part::Section(table, namespace) => {
                current = *found.entry((table, shard, namespace)).or_insert_with(|| {
                    let prefix = namespace.prefix(shard);
                    groups.push(Gathered { table, prefix, dropped: false, common: None, entries: Vec::new() });
                    groups.len() - 1
                });
            }
            Part::Change(at, change) => groups[current].push(((index as u64) << 32) | at as u64, change),
        })?;
    }
    Ok(groups)
}

impl<'a> Gathered<'a> {
    #[inline]
    fn push(&mut self, place: u64, change: Change<'a>) {
        let (Change::Put(key, _) | Change::Delete(key)) = change else {
            self.entries.clear();
            self.common = None;
            self.dropped = true;
            return;
        };
        self.common = Some(match self.common {
            None => key,
            Some(common) if key.starts_with(common) => common,
            Some(common) => common_prefix(common, key),
        });
        self.entries.push(Entry { head: 0, place });
    }

    fn sorted(mut self, blocks: &[Arc<[u8]>]) -> Result<Group> {
        let common = self.common.unwrap_or_default().len();
        for entry in &mut self.entries {
            entry.head = head(entry.tail(blocks, common)?);
        }
        self.entries.sort_unstable();
        keep_newest(&mut self.entries, blocks, common)?;
        Ok(Group { prefix: self.prefix, entries: self.entries })
    }
}

fn common_prefix<'a>(a: &'a [u8], b: &[u8]) -> &'a [u8] {
    let length = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    &a[..length]
}

/// A key longer than the head's seven bytes.
const LONGER: u64 = 0xff;

/// Seven bytes of a key, padded with zeros, and its length or [`LONGER`]: where heads differ they order as the keys
/// do, and equal heads with a length are equal keys.
#[inline]
fn head(tail: &[u8]) -> u64 {
    if let Some(bytes) = tail.first_chunk::<8>() {
        return u64::from_be_bytes(*bytes) | LONGER;
    }
    let mut bytes = [0; 8];
    bytes[..tail.len()].copy_from_slice(tail);
    bytes[7] = tail.len() as u8;
    u64::from_be_bytes(bytes)
}

/// Keeps the newest entry of each key, and orders what the heads left open.
fn keep_newest(entries: &mut Vec<Entry>, blocks: &[Arc<[u8]>], common: usize) -> Result<()> {
    let mut kept = 0;
    let mut at = 0;
    while at < entries.len() {
        let head = entries[at].head;
        let run = entries[at..].iter().take_while(|entry| entry.head == head).count();
        if run > 1 && head & 0xff == LONGER {
            kept = keep_newest_of_run(entries, at..at + run, kept, blocks, common)?;
        } else {
            entries[kept] = entries[at + run - 1];
            kept += 1;
        }
        at += run;
    }
    entries.truncate(kept);
    Ok(())
}

/// The same for entries whose heads are equal but whose keys need not be. Returns how many are kept by now.
fn keep_newest_of_run(
    entries: &mut [Entry],
    run: std::ops::Range<usize>,
    mut kept: usize,
    blocks: &[Arc<[u8]>],
    common: usize,
) -> Result<usize> {
    let mut keys = Vec::with_capacity(run.len());
    for entry in &entries[run] {
        keys.push((entry.tail(blocks, common)?, *entry));
    }
    if keys.windows(2).any(|pair| pair[0].0 != pair[1].0) {
        // Entries with one head go by place, so the newest of a key stays last.
        keys.sort_unstable();
    }
    for (index, (key, entry)) in keys.iter().enumerate() {
        if keys.get(index + 1).is_none_or(|(next, _)| next != key) {
            entries[kept] = *entry;
            kept += 1;
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockWriter;

    #[test]
    fn keys_that_differ_late_are_told_apart() {
        let commits = (1..=3).map(|epoch| {
            let mut writer = BlockWriter::new(Shard(2), Epoch(epoch));
            writer.section("t", Namespace::NONE);
            // Without this one all keys would have more in common.
            writer.push(Change::Delete(b"z"));
            for turn in (0..100_u16).map(|n| (n * 37 % 100) as u8) {
                writer.push(Change::Put(format!("the-same-start-{turn:03}").as_bytes(), &[epoch as u8, turn]));
            }
            Commit { epoch: Epoch(epoch), blocks: writer.finish(), marker: Vec::new() }
        });
        let bulk = Bulk::merge(&commits.collect::<Vec<_>>()).unwrap();
        let mut found = Vec::new();
        bulk.tables[0]
            .writes(|key, value| {
                found.push((String::from_utf8(key[2..].to_vec()).unwrap(), value.map(<[u8]>::to_vec)));
                Ok(())
            })
            .unwrap();
        let expected = (0..100).map(|n| (format!("the-same-start-{n:03}"), Some(vec![3, n])));
        assert_eq!(found, expected.chain([("z".to_owned(), None)]).collect::<Vec<_>>());
    }

    #[test]
    fn a_table_with_and_without_windows_is_refused() {
        let mut writer = BlockWriter::new(Shard(0), Epoch(1));
        writer.section("t", Namespace::NONE);
        writer.push(Change::Delete(b"a"));
        writer.section("t", Namespace::window(0));
        writer.push(Change::Delete(b"a"));
        let commit = Commit { epoch: Epoch(1), blocks: writer.finish(), marker: Vec::new() };
        assert_eq!(Bulk::merge([&commit]).unwrap_err().kind(), crate::Kind::Bug);
    }

    #[test]
    fn heads_order_as_keys_do() {
        let keys: [&[u8]; 9] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"ab", b"abcdefg", b"abcdefg\0", b"b"];
        for pair in keys.windows(2) {
            assert!(head(pair[0]) < head(pair[1]), "{pair:?}");
        }
    }
}
