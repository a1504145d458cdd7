//! Delta blocks: an epoch's changes to one shard, as bytes. The Kafka changelog and the embedded log carry the same.
//!
//! ```text
//! block    = version u8 (1) · shard u16 · epoch u64 · index u32 (0, 1, 2 … within shard and epoch) · section* · crc32 u32
//! section  = 1 · table (varint length, UTF-8) · namespace (0, or 1 and i64) · entry* · 0
//! entry    = 1 · key (varint length, bytes) · value (varint length, bytes)      put
//!          | 2 · key (varint length, bytes)                                     delete
//!          | 3                                                                  drop the namespace
//! ```
//! Fixed numbers are big-endian; varints are LEB128. Entries apply in order.

use crate::{Block, Epoch, Error, Namespace, Result, Shard};

/// A block is cut when it has grown past this; a single larger entry makes a larger block.
pub const BLOCK_BYTES_MAX: usize = 512 * 1024;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 15;
const END: u8 = 0;
const SECTION: u8 = 1;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const DROP: u8 = 3;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key has this value now.
    Put(&'a [u8], &'a [u8]),
    /// The key is gone.
    Delete(&'a [u8]),
    /// Every key of the namespace is gone.
    Drop,
}

/// Writes one shard's blocks for one epoch.
#[derive(Debug)]
pub struct BlockWriter {
    shard: Shard,
    epoch: Epoch,
    bytes: Vec<u8>,
    section: Option<(String, Namespace)>,
    done: Vec<Block>,
    changes: u64,
}

impl BlockWriter {
    /// An empty writer.
    pub fn new(shard: Shard, epoch: Epoch) -> Self {
        Self { shard, epoch, bytes: Vec::new(), section: None, done: Vec::new(), changes: 0 }
    }

    /// The entries that follow belong to `namespace` of `table`.
    pub fn section(&mut self, table: &str, namespace: Namespace) {
        self.end_section();
        self.begin_section(table, namespace);
        self.section = Some((table.to_owned(), namespace));
    }

    /// Appends one change whose value is written by `value`, straight into the block. Returns the value's length.
    #[inline]
    pub fn put_with(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.cut_when_full();
        self.changes += 1;
        self.bytes.push(PUT);
        prefixed(&mut self.bytes, key);
        prefixed(&mut self.bytes, value)
    }

    /// Appends one change.
    pub fn push(&mut self, change: Change<'_>) {
        match change {
            Change::Put(key, value) => {
                self.put_with(|out| out.extend_from_slice(key), |out| out.extend_from_slice(value));
            }
            Change::Delete(key) => {
                self.cut_when_full();
                self.changes += 1;
                self.bytes.push(DELETE);
                prefixed(&mut self.bytes, |out| out.extend_from_slice(key));
            }
            Change::Drop => {
                self.cut_when_full();
                self.changes += 1;
                self.bytes.push(DROP);
            }
        }
    }

    /// Appends the deletion of the key that `key` writes.
    pub fn delete_with(&mut self, key: impl FnOnce(&mut Vec<u8>)) {
        self.cut_when_full();
        self.changes += 1;
        self.bytes.push(DELETE);
        prefixed(&mut self.bytes, key);
    }

    /// How many changes were written so far.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many bytes were written so far, without checksums.
    pub fn written(&self) -> usize {
        self.done.iter().map(|block| block.bytes.len()).sum::<usize>() + self.bytes.len()
    }

    /// The finished blocks; none where nothing was written.
    pub fn finish(mut self) -> Vec<Block> {
        self.end_section();
        self.cut();
        self.done
    }

    fn begin_section(&mut self, table: &str, namespace: Namespace) {
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
            self.bytes.extend_from_slice(&self.shard.0.to_be_bytes());
            self.bytes.extend_from_slice(&self.epoch.0.to_be_bytes());
            self.bytes.extend_from_slice(&(self.done.len() as u32).to_be_bytes());
        }
        self.bytes.push(SECTION);
        prefixed(&mut self.bytes, |out| out.extend_from_slice(table.as_bytes()));
        match namespace.end() {
            None => self.bytes.push(0),
            Some(end) => {
                self.bytes.push(1);
                self.bytes.extend_from_slice(&end.to_be_bytes());
            }
        }
    }

    fn end_section(&mut self) {
        if self.section.take().is_some() {
            self.bytes.push(END);
        }
    }

    #[inline]
    fn cut_when_full(&mut self) {
        if self.bytes.len() >= BLOCK_BYTES_MAX - 1024 {
            self.reopen_section();
        }
    }

    /// Ends the block and opens the same section in the next one.
    #[cold]
    fn reopen_section(&mut self) {
        let Some((table, namespace)) = self.section.take() else { return };
        self.bytes.push(END);
        self.cut();
        self.begin_section(&table, namespace);
        self.section = Some((table, namespace));
    }

    fn cut(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let checksum = crc32fast::hash(&self.bytes);
        self.bytes.extend_from_slice(&checksum.to_be_bytes());
        self.done.push(Block { shard: self.shard, bytes: self.bytes.as_slice().into() });
        self.bytes.clear();
    }
}

/// Appends what `write` writes with its length in front, and returns that length.
#[inline]
fn prefixed(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    let at = bytes.len();
    bytes.push(0);
    write(bytes);
    let length = bytes.len() - at - 1;
    if length < 0x80 {
        bytes[at] = length as u8;
    } else {
        make_room(bytes, at, length);
    }
    length
}

/// Replaces the one byte kept for a length by a longer varint.
#[cold]
fn make_room(bytes: &mut Vec<u8>, at: usize, length: usize) {
    let mut varint = Vec::with_capacity(5);
    let mut rest = length;
    while rest >= 0x80 {
        varint.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    varint.push(rest as u8);
    bytes.splice(at..=at, varint);
}

/// What a block says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The shard whose changes these are.
    pub shard: Shard,
    /// The epoch that made them.
    pub epoch: Epoch,
    /// Its place among the shard's blocks of that epoch.
    pub index: u32,
}

/// Checks a block's checksum and reads its header.
///
/// # Errors
/// `Corrupt` where the checksum does not hold; `Config` where a newer version wrote it.
pub fn header(bytes: &[u8]) -> Result<Header> {
    let (body, checksum) = bytes
        .split_last_chunk::<4>()
        .filter(|(body, _)| body.len() >= HEADER_BYTES)
        .ok_or_else(|| Error::corrupt(format!("delta block is too short: {} bytes", bytes.len())))?;
    let (stored, found) = (u32::from_be_bytes(*checksum), crc32fast::hash(body));
    if stored != found {
        return Err(Error::corrupt(format!("delta block has checksum {found:08x}, its trailer says {stored:08x}")));
    }
    if body[0] != VERSION {
        return Err(Error::config(format!(
            "delta block has format {}, this version reads {VERSION}: run the version that wrote it",
            body[0]
        )));
    }
    let mut rest = &body[1..];
    Ok(Header {
        shard: Shard(fixed(&mut rest).map(u16::from_be_bytes)?),
        epoch: Epoch(fixed(&mut rest).map(u64::from_be_bytes)?),
        index: fixed(&mut rest).map(u32::from_be_bytes)?,
    })
}

/// Visits the changes of a block in order, after checking its checksum.
///
/// # Errors
/// `Corrupt` where the bytes are not a block.
pub fn read<'a>(bytes: &'a [u8], mut visit: impl FnMut(&'a str, Namespace, Change<'a>)) -> Result<Header> {
    let mut section = ("", Namespace::NONE);
    walk(bytes, |part| match part {
        Part::Section(table, namespace) => section = (table, namespace),
        Part::Change(_, change) => visit(section.0, section.1, change),
    })
}

/// What [`walk`] meets.
pub(crate) enum Part<'a> {
    /// The changes that follow belong to this namespace of this table.
    Section(&'a str, Namespace),
    /// A change and its place in the block, where [`change_at`] finds it again.
    Change(usize, Change<'a>),
}

/// Visits sections and changes in order, after checking the checksum.
#[inline]
pub(crate) fn walk<'a>(bytes: &'a [u8], mut visit: impl FnMut(Part<'a>)) -> Result<Header> {
    let header = header(bytes)?;
    let end = bytes.len() - 4;
    let mut rest = &bytes[HEADER_BYTES..end];
    while !rest.is_empty() {
        if byte(&mut rest)? != SECTION {
            return Err(malformed());
        }
        let table = std::str::from_utf8(slice(&mut rest)?).map_err(|_| malformed())?;
        let namespace = match byte(&mut rest)? {
            0 => Namespace::NONE,
            1 => Namespace::window(fixed(&mut rest).map(i64::from_be_bytes)?),
            _ => return Err(malformed()),
        };
        visit(Part::Section(table, namespace));
        loop {
            let at = end - rest.len();
            match change(&mut rest)? {
                Some(change) => visit(Part::Change(at, change)),
                None => break,
            }
        }
    }
    Ok(header)
}

/// The change at a place that [`walk`] gave.
#[inline]
pub(crate) fn change_at(bytes: &[u8], at: usize) -> Result<Change<'_>> {
    let mut rest = bytes.get(at..).ok_or_else(malformed)?;
    change(&mut rest)?.ok_or_else(malformed)
}

/// Reads one change, or `None` at the section's end.
#[inline]
fn change<'a>(rest: &mut &'a [u8]) -> Result<Option<Change<'a>>> {
    Ok(Some(match byte(rest)? {
        END => return Ok(None),
        PUT => Change::Put(slice(rest)?, slice(rest)?),
        DELETE => Change::Delete(slice(rest)?),
        DROP => Change::Drop,
        _ => return Err(malformed()),
    }))
}

fn malformed() -> Error {
    Error::corrupt("delta block holds its checksum but cannot be read")
}

fn byte(rest: &mut &[u8]) -> Result<u8> {
    fixed::<1>(rest).map(|[byte]| byte)
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or_else(malformed)?;
    *rest = tail;
    Ok(*head)
}

fn slice<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let mut length = 0usize;
    for shift in (0..35).step_by(7) {
        let next = byte(rest)?;
        length |= usize::from(next & 0x7f) << shift;
        if next < 0x80 {
            let (head, tail) = rest.split_at_checked(length).ok_or_else(malformed)?;
            *rest = tail;
            return Ok(head);
        }
    }
    Err(malformed())
}
