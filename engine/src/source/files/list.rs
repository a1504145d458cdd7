//! Which files a pattern names.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::lines::cannot_read;
use crate::binding::absolute;
use crate::{Error, Result};

/// The files that `pattern` names, in the order of their names. A path that exists is taken as it is.
pub(super) fn list(pattern: &str) -> Result<Vec<String>> {
    if pattern == "-" {
        return Err(not_replayable("standard input"));
    }
    let mut files = named(pattern)?;
    files.sort_by(|a, b| Path::new(a).cmp(Path::new(b)));
    files.dedup();
    files.iter().try_for_each(|file| check_kind(file))?;
    Ok(files)
}

fn named(pattern: &str) -> Result<Vec<String>> {
    if fs::symlink_metadata(pattern).is_ok() { Ok(vec![plain(Path::new(pattern))?]) } else { matches(pattern) }
}

/// Whether `path` is, or would be once it exists, a file that `pattern` names.
pub(crate) fn names(pattern: &str, path: &Path) -> bool {
    if let (Ok(file), Ok(named)) = (fs::canonicalize(path), named(pattern))
        && named.iter().filter_map(|named| fs::canonicalize(named).ok()).any(|named| named == file)
    {
        return true;
    }
    let (pattern, path) = (absolute(Path::new(pattern)), absolute(path));
    let pattern = pattern.to_str().and_then(|pattern| glob::Pattern::new(pattern).ok());
    pattern.is_some_and(|pattern| pattern.matches_path_with(&path, AS_A_SHELL))
}

/// As a shell does it: `*` leaves out what is hidden, such as a file still being written by `rsync`.
const AS_A_SHELL: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

fn matches(pattern: &str) -> Result<Vec<String>> {
    let paths = glob::glob_with(pattern, AS_A_SHELL)
        .map_err(|error| Error::config(format!("input pattern {pattern} cannot be read")).caused_by(error))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| Error::config(format!("input pattern {pattern}")).caused_by(error))?;
        if !path.is_dir() {
            files.push(plain(&path)?);
        }
    }
    if files.is_empty() {
        return Err(Error::config(format!("no file matches {pattern}, in working directory {}", working_directory())));
    }
    Ok(files)
}

/// A path as text, without `.` components: `./a` and `a` are one file to a position.
fn plain(path: &Path) -> Result<String> {
    let plain: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    let plain = if plain.as_os_str().is_empty() { path } else { &plain };
    match plain.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Error::config(format!("input file's name is not UTF-8: {}", path.display()))),
    }
}

fn check_kind(path: &str) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::config(format!("input {path} is a link to a file that does not exist")),
        _ => cannot_read(path, error),
    })?;
    if metadata.is_dir() {
        let directory = path.trim_end_matches('/');
        return Err(Error::config(format!("input {path} is a directory: name its files, such as {directory}/*.jsonl")));
    }
    if !metadata.is_file() {
        return Err(not_replayable(path));
    }
    let mut magic = Vec::with_capacity(4);
    let file = fs::File::open(path).map_err(|error| cannot_read(path, error))?;
    file.take(4).read_to_end(&mut magic).map_err(|error| cannot_read(path, error))?;
    match magic.as_slice() {
        [0x1f, 0x8b, ..] => Err(compressed(path, "gzip -d")),
        [0x28, 0xb5, 0x2f, 0xfd] => Err(compressed(path, "zstd -d")),
        _ => Ok(()),
    }
}

fn not_replayable(what: &str) -> Error {
    Error::config(format!("{what} cannot be read again after a crash: write it to a file and read that"))
}

fn compressed(path: &str, command: &str) -> Error {
    Error::config(format!("input {path} is compressed, and positions are in plain text: {command} {path}"))
}

fn working_directory() -> String {
    std::env::current_dir().map_or_else(|error| format!("(unknown: {error})"), |path| path.display().to_string())
}
