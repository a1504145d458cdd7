//! Files with a line per record: JSON Lines, or text.

mod lines;
mod list;
mod position;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use self::lines::{Line, Lines};
use self::position::{Finished, Mark, Position};
use super::{BadRecord, Partition, Poll, Polled, Source};
use crate::format::Decode;
use crate::{Error, Kind, Result};

pub use self::lines::LINE_BYTES_MAX;
pub(crate) use self::list::names;

/// The only partition's name.
const PARTITION: &str = "0";

/// A poll takes about this much, however few records that is.
const POLL_BYTES_MAX: usize = 4 << 20;

/// Reads files with a line per record, one after the other in the order of their names, as one partition.
///
/// * The list of files is fixed when the source is opened; files that come later are read after a restart, if their
///   names are later too.
/// * A line may end in LF or CRLF, the last one of a file also without either. In JSON, lines of nothing but
///   white space are passed over; in text a line without anything is a record. A byte order mark at a file's start is
///   passed over. A line longer than [`LINE_BYTES_MAX`] is a bad record.
/// * A file may grow until its end is reached, the last one also until the job has ended. What is appended to a file
///   after the next one was begun is not read: at the next start it is noticed and stops the job.
/// * A file that was truncated, replaced, rotated or removed stops the job: while it is read, and at a start whose
///   committed position was made of it. Told apart by length, inode, and checksums of the first 4 KB and the last
///   4 KB before the position.
///
/// ```
/// use headwater::format::Json;
/// use headwater::source::{FileSource, Polled, Poll, Source};
/// # let directory = std::env::temp_dir().join(format!("headwater-files-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let pattern = directory.join("*.jsonl").display().to_string();
/// # std::fs::write(directory.join("orders.jsonl"), "[1,\"tea\"]\n\n[2,\"jam\"]")?;
/// let orders = FileSource::<(u64, String), Json>::new(pattern, Json);
/// let mut partition = orders.open("0", None)?;
/// let mut polled = Polled::default();
/// assert_eq!(partition.poll(&mut polled, 1024)?, Poll::Records);
/// assert_eq!(polled.records, [(1, "tea".to_owned()), (2, "jam".to_owned())]);
/// assert_eq!(partition.poll(&mut polled, 1024)?, Poll::End);
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileSource<T, F> {
    pattern: String,
    format: F,
    records: PhantomData<fn() -> T>,
}

impl<T, F: Decode<T>> FileSource<T, F> {
    /// The files that `pattern` names: a path, or a pattern with `*`, `?`, `[…]` and `**`.
    pub fn new(pattern: impl Into<String>, format: F) -> Self {
        Self { pattern: pattern.into(), format, records: PhantomData }
    }
}

impl<T: 'static, F: Decode<T>> Source<T> for FileSource<T, F> {
    fn describe(&self) -> String {
        format!("files {}", self.pattern)
    }

    fn partitions(&self) -> Result<Vec<String>> {
        list::list(&self.pattern)?;
        Ok(vec![PARTITION.to_owned()])
    }

    fn open(&self, partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<T>>> {
        if partition != PARTITION {
            return Err(Error::bug(format!("files are one partition, {PARTITION}, not {partition}")));
        }
        let mut files = list::list(&self.pattern)?;
        let mut finished = Finished::default();
        let current = match position {
            Some(position) => {
                let position = Position::parse(position)?;
                position.check(&files)?;
                position.finished.iter().for_each(|mark| finished.push(mark));
                files.drain(..=position.finished.len());
                position.current
            }
            None => Mark::start(&files.remove(0)),
        };
        let lines = Lines::open(&current)?;
        Ok(Box::new(Files { format: self.format.clone(), lines, finished, rest: files.into_iter(), ended: false }))
    }
}

/// The one partition of the files.
struct Files<F> {
    format: F,
    lines: Lines,
    finished: Finished,
    rest: std::vec::IntoIter<String>,
    ended: bool,
}

impl<T, F: Decode<T>> Partition<T> for Files<F> {
    fn poll(&mut self, polled: &mut Polled<T>, rows_max: usize) -> Result<Poll> {
        if self.ended {
            return Ok(Poll::End);
        }
        let bytes_max = polled.bytes + POLL_BYTES_MAX;
        let mut rows = 0;
        while rows < rows_max && polled.bytes < bytes_max {
            let Some(line) = self.lines.next()? else {
                if self.next_file()? {
                    continue;
                }
                return Ok(if rows == 0 { Poll::End } else { Poll::Records });
            };
            polled.bytes += line.bytes_taken;
            if self.format.is_blank(line.bytes) {
                continue;
            }
            rows += 1;
            let decoded = if line.too_long { Err(too_long(&line)) } else { self.format.decode(line.bytes) };
            match decoded {
                Ok(record) => polled.records.push(record),
                Err(error) => polled.bad.push(bad_record(&line, error)?),
            }
        }
        Ok(Poll::Records)
    }

    fn position(&self) -> String {
        self.finished.position(&self.lines.mark())
    }
}

impl<F> Files<F> {
    /// At the end of a file: goes on with the same, if it has grown, or with the next; false where there is none.
    fn next_file(&mut self) -> Result<bool> {
        if self.lines.has_grown()? {
            return Ok(true);
        }
        let Some(next) = self.rest.next() else {
            self.ended = true;
            return Ok(false);
        };
        let opened = Lines::open(&Mark::start(&next))?;
        self.finished.push(&self.lines.mark());
        self.lines = opened;
        Ok(true)
    }
}

fn too_long(line: &Line<'_>) -> Error {
    Error::record(format!("line is too long: {} bytes of {LINE_BYTES_MAX}", line.bytes_taken))
}

fn bad_record(line: &Line<'_>, error: Error) -> Result<BadRecord> {
    let place = format!("{} line {} (byte {})", line.path, line.number, line.offset);
    match error.kind() {
        Kind::Record => Ok(BadRecord::new(place, &error, line.bytes.to_vec())),
        _ => Err(error.within(place)),
    }
}
