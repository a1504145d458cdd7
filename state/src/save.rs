//! Small files of a state directory, which are there as a whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::{Error, Kind, Result};

/// Puts a file into the directory `dir`: after a crash the old one or the new one is there.
///
/// # Errors
/// `Unavailable` where the disk is full or fails, `Config` where it may not be written.
pub fn save_file(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (file, next) = (dir.join(name), dir.join(format!("{name}.next")));
    write_synced(&next, bytes).map_err(|error| failed("write", &next, error))?;
    fs::rename(&next, &file).map_err(|error| failed("write", &file, error))?;
    // Only now does the directory, too, say so after a loss of power.
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| failed("sync", dir, error))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn failed(verb: &str, path: &Path, error: io::Error) -> Error {
    if let io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded = error.kind() {
        let message = format!("{verb} {}: the disk is full; free some space and start again", path.display());
        return Error::unavailable(message).caused_by(error);
    }
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => Kind::Config,
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("{verb} {}", path.display())).caused_by(error)
}
