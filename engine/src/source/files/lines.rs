//! A file's lines, split in place in one buffer that is filled again and again.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use super::position::{Mark, changed, checksum};
use crate::{Error, Result};

/// How much is read at once. It stays in a core's cache, so that a line is still there when it is decoded.
const CHUNK_BYTES: usize = 256 << 10;

/// A longer line is a bad record.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// How much of a line that is too long is kept, to show it.
const SHOWN_BYTES: usize = 4 << 10;

/// How much of a file's beginning, and of what stands before a position, tells the file from another.
pub(super) const SEEN_BYTES: usize = 4 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An open file, at the beginning of a line.
pub(super) struct Lines {
    path: String,
    file: File,
    buffer: Vec<u8>,
    /// How much is read at once.
    chunk_bytes: usize,
    /// Where in the buffer the next line begins. Up to `SEEN_BYTES` of what stands before it in the file are kept.
    start: usize,
    /// Where in the buffer what was read ends.
    end: usize,
    /// Where in the file the buffer begins.
    base: u64,
    /// How many lines were taken.
    taken: u64,
    /// The file's first bytes, as far as they were read, at most `SEEN_BYTES`.
    head: Vec<u8>,
    /// The beginning of the last line that was too long.
    shown: Vec<u8>,
    /// The last line taken was ended by the file's end.
    unended: bool,
}

/// One line, without its end.
pub(super) struct Line<'a> {
    /// The file's path as given.
    pub path: &'a str,
    /// Its bytes; the first few if it is too long.
    pub bytes: &'a [u8],
    /// How many bytes it takes in the file.
    pub bytes_taken: usize,
    /// Its number, from 1.
    pub number: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// It is longer than [`LINE_BYTES_MAX`].
    pub too_long: bool,
}

impl Lines {
    /// Opens a file where `mark` says, if it is still the file that the mark was made of.
    pub fn open(mark: &Mark) -> Result<Self> {
        Self::open_in_chunks(mark, CHUNK_BYTES)
    }

    pub(super) fn open_in_chunks(mark: &Mark, chunk_bytes: usize) -> Result<Self> {
        let path = mark.path.clone();
        let file = File::open(&path).map_err(|error| cannot_read(&path, error))?;
        let seen = usize::try_from(mark.bytes).unwrap_or(usize::MAX).min(SEEN_BYTES);
        let base = mark.bytes - seen as u64;
        let mut lines = Self {
            file,
            buffer: vec![0; SEEN_BYTES + chunk_bytes],
            chunk_bytes,
            start: seen,
            end: seen,
            base,
            taken: mark.lines,
            head: vec![0; seen],
            shown: Vec::new(),
            unended: false,
            path,
        };
        lines.check_length()?;
        lines.file.read_exact_at(&mut lines.head, 0).map_err(|error| cannot_read(&lines.path, error))?;
        let tail = &mut lines.buffer[..seen];
        lines.file.read_exact_at(tail, base).map_err(|error| cannot_read(&lines.path, error))?;
        if checksum(&lines.head) != mark.head || checksum(tail) != mark.tail {
            return Err(lines.other_content());
        }
        lines.unended = tail.last().is_some_and(|last| *last != b'\n');
        Ok(lines)
    }

    /// Where in the file the next line begins.
    fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// What finds this place again.
    pub fn mark(&self) -> Mark {
        let seen = self.start.min(SEEN_BYTES);
        Mark {
            path: self.path.clone(),
            bytes: self.offset(),
            lines: self.taken,
            head: checksum(&self.head[..seen]),
            tail: checksum(&self.buffer[self.start - seen..self.start]),
        }
    }

    /// The next line, if there is one. The last needs no end.
    pub fn next(&mut self) -> Result<Option<Line<'_>>> {
        let mut searched = 0;
        let length = loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.start + searched..self.end]) {
                break searched + at + 1;
            }
            searched = self.end - self.start;
            if searched > LINE_BYTES_MAX {
                return self.skip_line().map(Some);
            }
            if !self.fill()? {
                if searched == 0 {
                    return Ok(None);
                }
                self.unended = true;
                break searched;
            }
        };
        let (start, offset) = (self.start, self.offset());
        self.start += length;
        self.taken += 1;
        let too_long = length > LINE_BYTES_MAX;
        let shown = if too_long { SHOWN_BYTES } else { length };
        let bytes = without_end(&self.buffer[start..start + shown], offset);
        Ok(Some(Line { path: &self.path, bytes, bytes_taken: length, number: self.taken, offset, too_long }))
    }

    /// Takes a line of which the buffer holds only the beginning.
    fn skip_line(&mut self) -> Result<Line<'_>> {
        let offset = self.offset();
        self.shown.clear();
        self.shown.extend_from_slice(&self.buffer[self.start..self.start + SHOWN_BYTES]);
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                self.start += at + 1;
                break;
            }
            self.start = self.end;
            if !self.fill()? {
                self.unended = true;
                break;
            }
        }
        self.taken += 1;
        let bytes_taken = usize::try_from(self.offset() - offset).unwrap_or(usize::MAX);
        let bytes = without_end(&self.shown, offset);
        Ok(Line { path: &self.path, bytes, bytes_taken, number: self.taken, offset, too_long: true })
    }

    /// Reads on; false at the file's end.
    ///
    /// The last bytes that were read before are read again with it: a file that was cut and written anew meanwhile is
    /// noticed before a line of it is taken.
    fn fill(&mut self) -> Result<bool> {
        let keep_from = self.start.saturating_sub(SEEN_BYTES);
        self.buffer.copy_within(keep_from..self.end, 0);
        self.base += keep_from as u64;
        self.start -= keep_from;
        self.end -= keep_from;
        if self.buffer.len() - self.end < self.chunk_bytes.div_ceil(2) {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let again = self.end.min(SEEN_BYTES);
        let mut seen = [0; SEEN_BYTES];
        seen[..again].copy_from_slice(&self.buffer[self.end - again..self.end]);
        let read = self.read_at(self.end - again)?;
        if read < again {
            self.check_length()?;
            return Err(self.other_content());
        }
        if self.buffer[self.end - again..self.end] != seen[..again] {
            return Err(self.other_content());
        }
        if read == again {
            return Ok(false);
        }
        self.end += read - again;
        if self.base == 0 && self.head.len() < SEEN_BYTES {
            self.head.clear();
            self.head.extend_from_slice(&self.buffer[..self.end.min(SEEN_BYTES)]);
        }
        if self.unended { self.pass_late_end() } else { Ok(true) }
    }

    /// Fills the buffer from `at` on.
    fn read_at(&mut self, at: usize) -> Result<usize> {
        let room = self.buffer.len().min(at + SEEN_BYTES + self.chunk_bytes);
        loop {
            match self.file.read_at(&mut self.buffer[at..room], self.base + at as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| cannot_read(&self.path, error)),
            }
        }
    }

    /// A line that was taken without an end may have got it since, and nothing else.
    fn pass_late_end(&mut self) -> Result<bool> {
        let unread = &self.buffer[self.start..self.end];
        let end = if unread.starts_with(b"\r\n") { 2 } else { 1 };
        if unread.get(end - 1) != Some(&b'\n') {
            return Err(changed(
                &self.path,
                format_args!("line {} had no end when it was read and has grown since", self.taken),
            ));
        }
        self.start += end;
        self.unended = false;
        if self.start == self.end { self.fill() } else { Ok(true) }
    }

    /// At the file's end: whether it has grown since. Fails if its path leads to another file now.
    pub fn has_grown(&self) -> Result<bool> {
        let ours = self.file.metadata().map_err(|error| cannot_read(&self.path, error))?;
        match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(changed(&self.path, "was rotated or removed while it was read"))
            }
            Err(error) => Err(cannot_read(&self.path, error)),
            Ok(theirs) if (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino()) => {
                Err(changed(&self.path, "was rotated while it was read: another file has its name"))
            }
            Ok(theirs) => {
                self.check_length()?;
                Ok(theirs.len() > self.base + self.end as u64)
            }
        }
    }

    fn check_length(&self) -> Result<()> {
        let length = self.file.metadata().map_err(|error| cannot_read(&self.path, error))?.len();
        let read = self.base + self.end as u64;
        if length >= read {
            return Ok(());
        }
        Err(changed(&self.path, format_args!("was truncated: it has {length} bytes, and {read} were read")))
    }

    fn other_content(&self) -> Error {
        let read = self.base + self.end as u64;
        changed(&self.path, format_args!("was replaced: its first {read} bytes are not those that were read"))
    }
}

/// A line without its end and, if it is a file's first, without the byte order mark.
fn without_end(line: &[u8], offset: u64) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.strip_prefix(BYTE_ORDER_MARK) {
        Some(text) if offset == 0 => text,
        _ => line,
    }
}

/// An error of the system's on a file that was there when the inputs were listed.
pub(super) fn cannot_read(path: &str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => changed(path, "is gone"),
        io::ErrorKind::PermissionDenied => Error::config(format!("{path}: this user may not read it")),
        _ => Error::unavailable(format!("read {path}")).caused_by(error),
    }
}
