//! A file with a line per record, cut to what was committed at each start.

mod aside;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::encode::LineWriter;
use super::{Chunk, Sink, SinkCommitter, SinkWriter};
use crate::binding::absolute;
use crate::format::Encode;
use crate::{Error, Result};

pub use self::aside::move_aside;

/// Written to the file when there is more, or at the commit.
const BUFFER_BYTES: usize = 1 << 20;

/// How much of the file's end tells it from another.
const TAIL_BYTES: usize = 4 << 10;

/// Appends records to a file, a line each, exactly once.
///
/// What an epoch appends is on the disk before the epoch commits, and the commit says how long the file is. At a start
/// the file is cut to that length: what is beyond was never committed. So a reader that must not see uncommitted lines
/// waits until the job has ended. The file is locked while the job runs.
///
/// ```
/// use headwater::format::Json;
/// use headwater::sink::{Chunk, FileSink, Sink};
/// # let directory = std::env::temp_dir().join(format!("headwater-sink-{}", std::process::id()));
/// let path = directory.join("alerts.jsonl");
/// let alerts = FileSink::<(String, u64), Json>::new(&path, Json);
///
/// let mut file = alerts.open(None)?;
/// let mut chunk = Chunk::default();
/// alerts.writer().write(vec![("anna".to_owned(), 11)], &mut chunk)?;
/// file.append(chunk)?;
/// let committed = file.prepare()?;
/// drop(file);
/// assert_eq!(std::fs::read_to_string(&path)?, "[\"anna\",11]\n");
///
/// let _reopened = alerts.open(Some(&committed))?;
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileSink<T, F> {
    path: PathBuf,
    format: F,
    records: PhantomData<fn(T)>,
}

impl<T, F: Encode<T>> FileSink<T, F> {
    /// The file at `path`; it and its directories are made where they do not exist.
    pub fn new(path: impl Into<PathBuf>, format: F) -> Self {
        Self { path: path.into(), format, records: PhantomData }
    }
}

impl<T: 'static, F: Encode<T>> Sink<T> for FileSink<T, F> {
    fn describe(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn writer(&self) -> Box<dyn SinkWriter<T>> {
        Box::new(LineWriter::new(self.format.clone()))
    }

    fn open(&self, committed: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        let committer = match committed {
            None => Appender::start(&self.path)?,
            Some(text) => {
                let committed = serde_json::from_str(text).map_err(|_| super::another("a file", text))?;
                Appender::resume(&self.path, &committed)?
            }
        };
        Ok(Box::new(committer))
    }
}

/// What a commit says of the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Committed {
    length: u64,
    /// Checksum of the last bytes, at most 4 KB.
    tail: u32,
    /// Where it was, for messages.
    path: PathBuf,
    /// Tells a file in which nothing was committed from another that stands in its place.
    inode: u64,
}

/// The open file.
struct Appender {
    path: PathBuf,
    file: File,
    /// What is appended and not yet written.
    buffer: Vec<u8>,
    /// The last bytes before the buffer, at most `TAIL_BYTES`.
    tail: Vec<u8>,
    /// How many bytes stand before the buffer.
    written: u64,
    /// The file has bytes, or a length, that may not be on the disk yet.
    dirty: bool,
    inode: u64,
}

impl Appender {
    /// Takes a file for a job that has committed nothing: it must be empty.
    fn start(path: &Path) -> Result<Self> {
        let directory = directory_of(path);
        fs::create_dir_all(directory).map_err(|error| cannot("make directory", directory, error))?;
        let opened = open_locked(path, OpenOptions::new().create(true))?;
        if opened.length > 0 {
            return Err(unknown(path, opened.length));
        }
        // That the file exists must be as safe as what is in it.
        sync_directory(directory)?;
        Ok(Self::new(path, opened, Vec::new()))
    }

    /// Takes a file back to where a commit left it.
    fn resume(path: &Path, committed: &Committed) -> Result<Self> {
        let opened = open_locked(path, &mut OpenOptions::new()).map_err(|error| committed.misfit(path, error))?;
        let (length, expected, checksum) = (opened.length, committed.length, committed.tail);
        if length < expected {
            return Err(changed(path, &format!("was shortened: it has {length} bytes, and {expected} were committed")));
        }
        if expected == 0 && length > 0 && opened.inode != committed.inode {
            return Err(committed.misfit(path, unknown(path, length)));
        }
        let mut tail = vec![0; usize::try_from(expected).unwrap_or(usize::MAX).min(TAIL_BYTES)];
        let from = expected - tail.len() as u64;
        opened.file.read_exact_at(&mut tail, from).map_err(|error| cannot("read", path, error))?;
        if crc32fast::hash(&tail) != checksum {
            let what = format!("was changed: the last {} bytes of what was committed differ", tail.len());
            return Err(changed(path, &what));
        }
        if length > expected {
            tracing::info!(path = %path.display(), bytes = length - expected, "cutting off what was not committed");
            opened.file.set_len(expected).map_err(|error| cannot("shorten", path, error))?;
        }
        (&opened.file).seek(SeekFrom::Start(expected)).map_err(|error| cannot("seek in", path, error))?;
        let opened = Opened { length: expected, ..opened };
        Ok(Self { dirty: length > expected, ..Self::new(path, opened, tail) })
    }

    fn new(path: &Path, Opened { file, length, inode }: Opened, tail: Vec<u8>) -> Self {
        Self { path: path.to_owned(), file, buffer: Vec::new(), tail, written: length, dirty: false, inode }
    }

    fn write_buffer(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.dirty = true;
        self.file.write_all(&self.buffer).map_err(|error| cannot("write", &self.path, error))?;
        self.written += self.buffer.len() as u64;
        let new = &self.buffer[self.buffer.len().saturating_sub(TAIL_BYTES)..];
        let kept = self.tail.len().min(TAIL_BYTES - new.len());
        self.tail.drain(..self.tail.len() - kept);
        self.tail.extend_from_slice(new);
        self.buffer.clear();
        Ok(())
    }
}

impl Appender {
    /// What is written to a file without a name, or behind a hole, is lost to its readers.
    fn check_place(&self) -> Result<()> {
        let ours = self.file.metadata().map_err(|error| cannot("read", &self.path, error))?;
        let theirs = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            metadata => Some(metadata.map_err(|error| cannot("read", &self.path, error))?),
        };
        if theirs.is_none_or(|theirs| (theirs.dev(), theirs.ino()) != (ours.dev(), ours.ino())) {
            return Err(changed(&self.path, "was moved or removed while it was written"));
        }
        if ours.len() != self.written {
            let (length, written) = (ours.len(), self.written);
            let what = format!("was changed while it was written: it has {length} bytes instead of {written}");
            return Err(changed(&self.path, &what));
        }
        Ok(())
    }
}

impl SinkCommitter for Appender {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        self.buffer.extend_from_slice(&chunk.bytes);
        if self.buffer.len() < BUFFER_BYTES { Ok(()) } else { self.write_buffer() }
    }

    fn prepare(&mut self) -> Result<String> {
        self.write_buffer()?;
        if self.dirty {
            self.check_place()?;
            self.file.sync_data().map_err(|error| cannot("sync", &self.path, error))?;
            self.dirty = false;
        }
        let committed = Committed {
            length: self.written,
            tail: crc32fast::hash(&self.tail),
            path: absolute(&self.path),
            inode: self.inode,
        };
        Ok(serde_json::to_string(&committed).expect("a length has string keys only"))
    }

    fn committed(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A file that no other job writes.
struct Opened {
    file: File,
    length: u64,
    inode: u64,
}

/// Opens a file, and keeps other jobs out.
fn open_locked(path: &Path, options: &mut OpenOptions) -> Result<Opened> {
    let opened = options.read(true).write(true).truncate(false).open(path);
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => changed(path, "is gone"),
        _ => cannot("open", path, error),
    })?;
    let metadata = file.metadata().map_err(|error| cannot("read", path, error))?;
    if !metadata.is_file() {
        return Err(Error::config(format!(
            "output {} is not a file that can be cut back to what was committed",
            path.display()
        )));
    }
    lock(&file, path)?;
    // Another job may have written between opening and locking.
    let metadata = file.metadata().map_err(|error| cannot("read", path, error))?;
    Ok(Opened { file, length: metadata.len(), inode: metadata.ino() })
}

/// Locks a file until it is closed.
fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(Error::config(format!("output {} is being written by another job", path.display())))
        }
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!(path = %path.display(), "this file system has no locks: let no other job write the file");
            Ok(())
        }
        Err(TryLockError::Error(error)) => Err(cannot("lock", path, error)),
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

/// Makes the names in a directory safe.
fn sync_directory(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| cannot("sync directory", directory, error))
}

impl Committed {
    /// The error for a file that does not fit. Where the output was another one when it was committed, that is said
    /// first: what is wrong with this one is hardly the cause.
    fn misfit(&self, path: &Path, error: Error) -> Error {
        if self.path == absolute(path) {
            return error;
        }
        let was = self.path.display();
        Error::config(format!("the output was {was} at the last commit; name {was} again, or start over with --fresh"))
            .caused_by(error)
    }
}

/// The output holds what was never committed, and may be anybody's.
fn unknown(path: &Path, length: u64) -> Error {
    Error::config(format!(
        "output {} holds {length} bytes that this job's state knows nothing of: --fresh moves the file aside, or choose \
         another",
        path.display()
    ))
}

/// The output is not as the last commit left it.
fn changed(path: &Path, what: &str) -> Error {
    Error::config(format!("output {} {what}; restore the file as it was, or start over with --fresh", path.display()))
}

/// An error of the system's.
fn cannot(verb: &str, path: &Path, error: io::Error) -> Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::unavailable(format!(
            "disk full while writing {path}: free space and start again; nothing committed is lost"
        ))
        .caused_by(error),
        io::ErrorKind::IsADirectory => Error::config(format!("output {path} is a directory: name a file in it")),
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::AlreadyExists => {
            Error::config(format!("output: cannot {verb} {path}; choose a place that this process may write"))
                .caused_by(error)
        }
        _ => Error::unavailable(format!("{verb} {path}")).caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn a_full_disk_says_what_to_do() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = Opened { file: full, length: 0, inode: 0 };
        let mut sink = Appender::new(Path::new("out/alerts.jsonl"), full, Vec::new());
        sink.append(Chunk { records: 1, bytes: b"{}\n".to_vec(), typed: None }).unwrap();
        let error = sink.prepare().unwrap_err();
        let expected =
            "disk full while writing out/alerts.jsonl: free space and start again; nothing committed is lost";
        assert_eq!((error.kind(), error.message()), (Kind::Unavailable, expected));
    }
}
