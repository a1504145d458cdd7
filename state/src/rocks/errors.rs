//! What RocksDB's errors ask of the reader.

use std::path::Path;

use rocksdb::ErrorKind;

use crate::{Error, Kind};

/// For `map_err`: the error of doing `what`.
pub(super) fn failed(what: &'static str) -> impl FnOnce(rocksdb::Error) -> Error {
    move |error| of(what, error)
}

/// The error of opening the database in `directory`.
pub(super) fn open(directory: &Path, error: rocksdb::Error) -> Error {
    let message = error.as_ref();
    if message.contains("lock hold by current process") || message.contains("While lock file") {
        return Error::config(format!(
            "state directory is in use by another process: stop that one, or give this one a directory of its own: {}",
            directory.display()
        ))
        .caused_by(error);
    }
    of("open state directory", error).within(directory.display())
}

/// The error of a file outside RocksDB's care.
pub(super) fn files(what: &str, path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let message = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => format!("disk full, {what}: {}", path.display()),
        _ => format!("{what}: {}", path.display()),
    };
    let kind = match error.kind() {
        Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotADirectory | Io::AlreadyExists => Kind::Config,
        _ => Kind::Unavailable,
    };
    Error::new(kind, message).caused_by(error)
}

fn of(what: &str, error: rocksdb::Error) -> Error {
    let (kind, message) = classify(&error.kind(), error.as_ref());
    Error::new(kind, if message.is_empty() { what.to_owned() } else { format!("{message}, {what}") }).caused_by(error)
}

/// RocksDB gives an error's code at the start of its text and the system's reason within it; nothing else tells a
/// full disk from a missing file.
fn classify(kind: &ErrorKind, text: &str) -> (Kind, &'static str) {
    let says = |reasons: &[&str]| reasons.iter().any(|reason| text.contains(reason));
    match kind {
        ErrorKind::Corruption => (Kind::Corrupt, "stored bytes are damaged"),
        ErrorKind::IOError if says(&["No space left on device", "Disk quota exceeded"]) => {
            (Kind::Unavailable, "disk full")
        }
        ErrorKind::IOError if says(&["No such file or directory"]) => (Kind::Corrupt, "a file is missing"),
        ErrorKind::IOError if says(&["Permission denied", "Read-only file system", "Not a directory"]) => {
            (Kind::Config, "state directory cannot be written")
        }
        ErrorKind::IOError => (Kind::Unavailable, "disk fails"),
        ErrorKind::NotSupported => (Kind::Config, "state directory needs another version"),
        ErrorKind::Busy
        | ErrorKind::TimedOut
        | ErrorKind::TryAgain
        | ErrorKind::Incomplete
        | ErrorKind::Aborted
        | ErrorKind::ShutdownInProgress => (Kind::Unavailable, ""),
        _ => (Kind::Bug, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_s_reason_decides() {
        let found = |text| classify(&ErrorKind::IOError, text).0;
        assert_eq!(found("IO error: No space left on device: While appending to file: 7.sst"), Kind::Unavailable);
        assert_eq!(found("IO error: No such file or directory: While open a file: 7.sst"), Kind::Corrupt);
        assert_eq!(found("IO error: Permission denied: While opening directory"), Kind::Config);
        assert_eq!(found("IO error: Input/output error: While pread"), Kind::Unavailable);
    }
}
