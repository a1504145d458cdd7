//! Moving an old output aside.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{cannot, directory_of, lock, sync_directory};
use crate::{Error, Result};

/// No more old outputs than these are kept beside a file.
const OLD_MAX: u32 = 10_000;

/// Moves a file aside, if there is one that holds anything: `alerts.jsonl` becomes `alerts.jsonl.old-1`, or the next
/// number that is free. Returns the new path. Nothing is ever overwritten. A directory is moved the same way.
///
/// # Errors
/// `Config` where a job is writing the file, or there are 10 000 old ones; `Unavailable` where the file system fails.
///
/// ```
/// # let directory = std::env::temp_dir().join(format!("headwater-aside-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let alerts = directory.join("alerts.jsonl");
/// assert_eq!(headwater::sink::move_aside(&alerts)?, None);
/// std::fs::write(&alerts, "{}\n")?;
/// assert_eq!(headwater::sink::move_aside(&alerts)?, Some(directory.join("alerts.jsonl.old-1")));
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn move_aside(path: &Path) -> Result<Option<PathBuf>> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(|error| cannot("read", path, error))?,
    };
    if metadata.is_dir() {
        let old = reserve(path, |old| fs::create_dir(old))?;
        return rename(path, old).map(Some);
    }
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(None);
    }
    let file = File::open(path).map_err(|error| cannot("open", path, error))?;
    lock(&file, path)?;
    let old = reserve(path, |old| File::create_new(old).map(drop))?;
    rename(path, old).map(Some)
}

/// Makes something empty under the first name that is free: a rename would overwrite what another process puts there.
fn reserve(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> Result<PathBuf> {
    for number in 1..=OLD_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".old-{number}"));
        let old = PathBuf::from(name);
        match make(&old) {
            Ok(()) => return Ok(old),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot("move aside to", &old, error)),
        }
    }
    Err(Error::config(format!("there are {OLD_MAX} old outputs beside {}: take some away", path.display())))
}

fn rename(path: &Path, old: PathBuf) -> Result<PathBuf> {
    fs::rename(path, &old).map_err(|error| cannot("move aside", path, error))?;
    sync_directory(directory_of(path))?;
    Ok(old)
}
