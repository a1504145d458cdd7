//! The redrive queue of a job whose state is on this machine: a file in the state directory with an event a line, which the
//! command line appends to and the job reads, its position committed with everything else.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::event::Event;
use crate::source::{BadRecord, Partition, Poll, Polled, Source, another};
use crate::{Error, Result};

/// Its name in a state directory.
pub(crate) const FILE: &str = "redrive.jsonl";

/// A poll takes about this much.
const POLL_BYTES_MAX: usize = 4 << 20;

/// The file as a source. It need not be there yet, and has no end while the job's other inputs have none.
pub(crate) struct QueueSource(pub PathBuf);

impl Source<Event> for QueueSource {
    fn describe(&self) -> String {
        format!("redrive queue {}", self.0.display())
    }

    fn partitions(&self) -> Result<Vec<String>> {
        Ok(vec!["0".to_owned()])
    }

    fn open(&self, _: &str, position: Option<&str>) -> Result<Box<dyn Partition<Event>>> {
        let offset = match position {
            None => 0,
            Some(text) => {
                let bytes = text.strip_prefix("bytes ").and_then(|bytes| bytes.parse().ok());
                bytes.ok_or_else(|| another("a redrive queue in a file", text))?
            }
        };
        Ok(Box::new(Queue { path: self.0.clone(), file: None, offset, line: Vec::new() }))
    }
}

struct Queue {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// Everything before it was read.
    offset: u64,
    line: Vec<u8>,
}

impl Queue {
    /// Opens the file at the position, if it is there.
    fn file(&mut self) -> Result<Option<&mut BufReader<File>>> {
        if self.file.is_none() {
            let failed = |error| read_error(&self.path, error);
            let mut file = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound && self.offset == 0 => return Ok(None),
                Err(error) => return Err(failed(error)),
            };
            let length = file.metadata().map_err(failed)?.len();
            if length < self.offset {
                return Err(Error::config(format!(
                    "the redrive queue {} was read up to byte {}, and has {length}: it is not the one that was read; put it \
                     back, or start over with --fresh",
                    self.path.display(),
                    self.offset
                )));
            }
            file.seek(SeekFrom::Start(self.offset)).map_err(failed)?;
            self.file = Some(BufReader::new(file));
        }
        Ok(self.file.as_mut())
    }

    /// The next line, once it is whole.
    fn next(&mut self) -> Result<bool> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let path = self.path.clone();
        let offset = self.offset;
        let Some(file) = self.file()? else { return Ok(false) };
        let read = file.read_until(b'\n', &mut line).map_err(|error| read_error(&path, error))?;
        let is_whole = line.last() == Some(&b'\n');
        if !is_whole && read > 0 {
            // Whoever appends it is not done.
            file.seek(SeekFrom::Start(offset)).map_err(|error| read_error(&path, error))?;
        }
        self.line = line;
        Ok(is_whole)
    }
}

impl Partition<Event> for Queue {
    fn poll(&mut self, polled: &mut Polled<Event>, rows_max: usize) -> Result<Poll> {
        let mut rows = 0;
        while rows < rows_max && polled.bytes < POLL_BYTES_MAX {
            if !self.next()? {
                return Ok(if rows == 0 { Poll::Quiet } else { Poll::Records });
            }
            let place = format!("{} (byte {})", self.path.display(), self.offset);
            self.offset += self.line.len() as u64;
            polled.bytes += self.line.len();
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            rows += 1;
            match read_line(&self.line) {
                Ok(event) => polled.records.push(event),
                Err(error) => polled.bad.push(BadRecord::new(place, &error, self.line.trim_ascii_end().to_vec())),
            }
        }
        Ok(Poll::Records)
    }

    fn position(&self) -> String {
        format!("bytes {}", self.offset)
    }
}

fn read_line<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    serde_json::from_slice(line).map_err(|error| Error::record(error.to_string()))
}

fn read_error(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable(format!("read {}", path.display())).caused_by(error)
}

/// Appends lines to a file, and has them on the disk before it returns. What a process has left half written before stays
/// a line of its own.
///
/// # Errors
/// `Unavailable` where it cannot be written.
pub(crate) fn append<T: Serialize>(path: &Path, records: &[T]) -> Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let failed = |error| Error::unavailable(format!("write {}", path.display())).caused_by(error);
    let is_new = !path.exists();
    let mut file = File::options().read(true).append(true).create(true).open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    if file.metadata().map_err(failed)?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).map_err(failed)?;
        if last != *b"\n" {
            bytes.push(b'\n');
        }
    }
    for record in records {
        serde_json::to_writer(&mut bytes, record).map_err(|error| Error::record(error.to_string()))?;
        bytes.push(b'\n');
    }
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    // A name that is lost takes what is under it along.
    if is_new && let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// The lines of a file that may not be there, and those that are no such records: their numbers and why.
///
/// # Errors
/// `Unavailable` where it cannot be read.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, Vec<String>)> {
    let (mut records, mut bad) = (Vec::new(), Vec::new());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((records, bad)),
        Err(error) => return Err(read_error(path, error)),
    };
    for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| read_error(path, error))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        match read_line(&line) {
            Ok(record) => records.push(record),
            Err(error) => bad.push(format!("{} line {}: {error}", path.display(), number + 1)),
        }
    }
    Ok((records, bad))
}
