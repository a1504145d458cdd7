//! A job's directory: a lock, the manifest, the database.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

#[cfg(feature = "kafka")]
use headwater_state::Store as _;
use headwater_state::{Manifest, RocksOptions, RocksStore, recover};

#[cfg(feature = "kafka")]
use crate::kafka::Checkpoint;
use crate::plan::Plan;
use crate::{Error, Result, RunOptions};

/// The directory of a job's state, locked for this process.
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

const LOCK_FILE: &str = "lock";
const DATABASE: &str = "db";
#[cfg(feature = "kafka")]
const INSTANCE: &str = "instance";

impl StateDir {
    /// Makes the directory where there is none, and keeps other processes out.
    pub fn lock(path: &Path) -> Result<Self> {
        let failed = |error| disk(&format!("open state directory {}", path.display()), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::config(format!(
                "another process is running this job: it holds the state directory {}; stop it, or give this one its \
                 own with `--state`",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Moves old state and old outputs aside, and makes a new directory.
    pub fn begin_afresh(path: &Path, plan: &Plan) -> Result<Self> {
        if path.exists() {
            let locked = Self::lock(path)?;
            if has_state(path) {
                // `state/` is `state`; `.` and `..` have no name to which `.old-1` could be added.
                let path: &Path = &path.components().collect::<PathBuf>();
                if path.file_name().is_none() {
                    return Err(Error::config(format!(
                        "--fresh cannot move {} aside; call the state directory by its name",
                        path.display()
                    )));
                }
                let aside = free_name(path);
                std::fs::rename(path, &aside)
                    .map_err(|error| disk(&format!("move {} aside", path.display()), error))?;
                tracing::info!(from = %path.display(), to = %aside.display(), "moved old state aside");
                // Under a new name it would wait for the old one's place in the job's group.
                #[cfg(feature = "kafka")]
                if aside.join(INSTANCE).exists() {
                    std::fs::create_dir_all(path)
                        .and_then(|()| std::fs::rename(aside.join(INSTANCE), path.join(INSTANCE)))
                        .map_err(|error| disk("keep the name of the instance", error))?;
                }
            }
            drop(locked);
        }
        for node in &plan.nodes {
            if let crate::graph::Role::Sink(role) = &node.role
                && let Some((from, to)) = (role.move_aside)()?
            {
                tracing::info!(from = %from.display(), to = %to.display(), "moved old output aside");
            }
        }
        Self::lock(path)
    }

    #[cfg(feature = "kafka")]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the instance that this directory is of; a random one that is kept.
    #[cfg(feature = "kafka")]
    pub fn instance(&self) -> Result<String> {
        let file = self.path.join(INSTANCE);
        match std::fs::read_to_string(&file) {
            Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(disk(&format!("read {}", file.display()), error)),
        }
        let name = new_id()?;
        std::fs::write(&file, &name).map_err(|error| disk(&format!("write {}", file.display()), error))?;
        Ok(name)
    }

    /// Opens tables that follow a changelog. Tables that cannot follow it any more are made anew from it.
    #[cfg(feature = "kafka")]
    pub fn open_following(
        &self,
        plan: &Plan,
        options: &RunOptions,
        session: &crate::kafka::Session,
    ) -> Result<RocksStore> {
        let database = self.path.join(DATABASE);
        let rocks = RocksOptions { keeps_log: false, ..rocks_options(options) };
        let open = || RocksStore::open(&database, plan.tables(), &rocks);
        let stored = Manifest::load(&self.path)?;
        let checkpoint = Checkpoint::load(&self.path);
        let has_followed = checkpoint.as_ref().is_none_or(|checkpoint| checkpoint.epoch() > headwater_state::Epoch(0));
        // What a start has left that did not come as far as the job's first commit is nobody's.
        let Some(stored) = stored.filter(|_| has_followed) else {
            if database.exists() {
                std::fs::remove_dir_all(&database).map_err(|error| disk("remove tables that are made anew", error))?;
            }
            // The file says whose the directory is, before anything is in it.
            Checkpoint::empty().save(&self.path)?;
            plan.manifest(new_id()?, session.shards()).save(&self.path)?;
            return open();
        };
        if !Checkpoint::exists(&self.path) {
            return Err(Error::config(format!(
                "the state in {} is of a job whose outputs are files: its commits are there and not in Kafka; give this \
                 job its own directory with --state, or start over with --fresh",
                self.path.display()
            )));
        }
        if stored.shards != session.shards() {
            return Err(crate::kafka::repartitioned(&session.state_topic(), stored.shards, session.shards()));
        }
        let wanted = plan.manifest(stored.job_id.clone(), stored.shards);
        let changes = Manifest::check(&stored, &wanted, &options.drop_tables)?;
        let mut follows = session.follows(checkpoint.as_ref())?;
        let mut store = open()?;
        if checkpoint.is_some_and(|checkpoint| checkpoint.epoch() > store.durable()) {
            follows = Err("they are older than what was written down of them".to_owned());
        }
        if let Err(reason) = follows {
            if store.durable() > headwater_state::Epoch(0) {
                tracing::warn!("the tables are made anew from the changelog: {reason}");
            }
            drop(store);
            Checkpoint::empty().save(&self.path)?;
            std::fs::remove_dir_all(&database).map_err(|error| disk("remove tables that are made anew", error))?;
            store = open()?;
        }
        for table in &changes.dropped {
            store.drop_table(table)?;
            tracing::warn!(table, "dropped a table, as asked");
        }
        if !changes.is_empty() {
            wanted.save(&self.path)?;
        }
        Ok(store)
    }

    /// Writes down which job the state is of.
    #[cfg(feature = "kafka")]
    pub fn belongs_to(&self, plan: &Plan, job_id: &str, shards: u16) -> Result<()> {
        match Manifest::load(&self.path)? {
            Some(stored) if stored.job_id == job_id => Ok(()),
            _ => plan.manifest(job_id.to_owned(), shards).save(&self.path),
        }
    }

    /// Opens the database after comparing what it holds with what the plan wants.
    pub fn open_store(&self, plan: &Plan, options: &RunOptions) -> Result<(RocksStore, u16)> {
        #[cfg(feature = "kafka")]
        if Checkpoint::exists(&self.path) {
            return Err(Error::config(format!(
                "the state in {} is of a job whose outputs are in Kafka, and so are its commits; give this job its own \
                 directory with --state, or start over with --fresh",
                self.path.display()
            )));
        }
        let stored = Manifest::load(&self.path)?;
        let database = self.path.join(DATABASE);
        let Some(stored) = stored else {
            if database.exists() {
                return Err(Error::corrupt(format!(
                    "state directory {} has a database but no {}: restore it, or start over with `--fresh`",
                    self.path.display(),
                    Manifest::FILE
                )));
            }
            plan.manifest(new_id()?, options.shards).save(&self.path)?;
            let store = RocksStore::open(database, plan.tables(), &rocks_options(options))?;
            return Ok((store, options.shards));
        };
        let wanted = plan.manifest(stored.job_id.clone(), stored.shards);
        let changes = Manifest::check(&stored, &wanted, &options.drop_tables)?;
        let store = RocksStore::open(database, plan.tables(), &rocks_options(options))?;
        if !changes.is_empty() {
            // What the log still has of a dropped table must not bring it back.
            recover(&store, &store)?;
            for table in &changes.dropped {
                store.drop_table(table)?;
                tracing::warn!(table, "dropped a table, as asked");
            }
            for table in &changes.added {
                tracing::info!(table, "new table: starts empty");
            }
            wanted.save(&self.path)?;
        }
        Ok((store, stored.shards))
    }
}

fn has_state(path: &Path) -> bool {
    path.join(Manifest::FILE).exists() || path.join(DATABASE).exists()
}

/// `path.old-1`, or the first number that is free.
fn free_name(path: &Path) -> PathBuf {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".old-{number}"));
        let name = PathBuf::from(name);
        if !name.exists() {
            return name;
        }
        number += 1;
    }
}

/// An id that no other state has.
pub(crate) fn new_id() -> Result<String> {
    let mut bytes = [0u8; 8];
    let read = File::open("/dev/urandom").and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    read.map_err(|error| disk("draw a job id from /dev/urandom", error))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

fn rocks_options(options: &RunOptions) -> RocksOptions {
    RocksOptions {
        cache_bytes: options.memory_bytes / 8,
        write_buffer_bytes: (options.memory_bytes / 16).clamp(2 << 20, 64 << 20),
        ..RocksOptions::default()
    }
}

/// An error of the file system, with what to do where it is full.
fn disk(doing: &str, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Error::unavailable(format!("{doing}: the disk is full; free some space")),
        std::io::ErrorKind::PermissionDenied
        | std::io::ErrorKind::ReadOnlyFilesystem
        | std::io::ErrorKind::NotFound
        | std::io::ErrorKind::AlreadyExists
        | std::io::ErrorKind::NotADirectory => {
            Error::config(format!("{doing}; name a directory that this process may write with --state"))
        }
        _ => Error::unavailable(doing),
    }
    .caused_by(error)
}
