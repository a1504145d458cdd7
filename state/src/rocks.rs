//! Tables and log in RocksDB: one database, a column family per table, one for the log.
//!
//! The log is written through RocksDB's write-ahead log, in one synced batch per commit. The tables never are: they
//! take sorted files whole (`ingest`), and the position that says how far they got is written, synced, afterwards. A
//! table's files also carry the epoch they reach, so that tables which survived a log that did not are noticed.

mod errors;
mod ingest;
mod log;
mod options;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rocksdb::{BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, ReadOptions, WriteBatch};

use crate::{Bulk, Epoch, Error, Result, Store};
use errors::failed;
use log::LogState;
pub use options::RocksOptions;

type Database = DBWithThreadMode<MultiThreaded>;

/// Which layout of the database this version reads and writes.
const LAYOUT: u32 = 1;
const LAYOUT_KEY: &[u8] = b"layout";
const POSITION_KEY: &[u8] = b"position";

const LOG_FAMILY: &str = "log";
const TABLE_FAMILY_PREFIX: &str = "table.";

/// Where a table keeps the epoch that its files reach: after every key, because no shard has this number.
const REACHED_KEY: [u8; 2] = [0xff, 0xff];

/// Keys of one call to RocksDB: each value found pins its block outside the cache's budget until it is copied.
const MULTI_GET_KEYS_MAX: usize = 512;

/// Where sorted files are written before they are ingested, within the database's directory.
const BULK_DIRECTORY: &str = "bulk";

/// A [`Store`] and a [`BlockLog`](crate::BlockLog) in one RocksDB database.
pub struct RocksStore {
    db: Database,
    directory: PathBuf,
    options: options::Families,
    tables: Mutex<BTreeSet<String>>,
    durable: AtomicU64,
    log: Mutex<LogState>,
    applying: Mutex<()>,
}

impl RocksStore {
    /// Opens or makes the database in `directory`, with at least `tables`. Tables that it holds besides are opened too.
    ///
    /// # Errors
    /// `Config` where another process has it open or another version wrote it; `Corrupt` where files are missing or
    /// damaged, or where tables have outlived the log they were made from; `Unavailable` when the disk is full or
    /// fails.
    pub fn open<T: AsRef<str>>(
        directory: impl AsRef<Path>,
        tables: impl IntoIterator<Item = T>,
        options: &RocksOptions,
    ) -> Result<Self> {
        let directory = directory.as_ref().to_path_buf();
        std::fs::create_dir_all(&directory)
            .map_err(|error| errors::files("make state directory", &directory, error))?;
        ingest::clear(&directory)?;
        let families = options::Families::new(options);
        let mut names: Vec<String> = if has_database(&directory)? {
            Database::list_cf(&families.database, &directory).map_err(|error| errors::open(&directory, error))?
        } else {
            Vec::new()
        };
        names.extend([rocksdb::DEFAULT_COLUMN_FAMILY_NAME.to_owned(), LOG_FAMILY.to_owned()]);
        names.extend(tables.into_iter().map(|table| family_of(table.as_ref())));
        names.sort_unstable();
        names.dedup();
        let descriptors = names.iter().map(|name| ColumnFamilyDescriptor::new(name, families.of(name).clone()));
        let db = Database::open_cf_descriptors(&families.database, &directory, descriptors)
            .map_err(|error| errors::open(&directory, error))?;
        let store = Self {
            db,
            directory,
            options: families,
            tables: Mutex::new(names.iter().filter_map(|name| table_of(name)).collect()),
            durable: AtomicU64::new(0),
            log: Mutex::default(),
            applying: Mutex::new(()),
        };
        store.check_layout()?;
        store.load(options.keeps_log)?;
        Ok(store)
    }

    /// The names of its tables, in order.
    pub fn tables(&self) -> Vec<String> {
        self.table_names().iter().cloned().collect()
    }

    /// Deletes a table with all it holds. The log must be trimmed of it before: [`recover`](crate::recover) first.
    ///
    /// # Errors
    /// `Unavailable` when the disk is full or fails.
    pub fn drop_table(&self, table: &str) -> Result<()> {
        if self.table(table).is_none() {
            return Ok(());
        }
        self.db.drop_cf(&family_of(table)).map_err(failed("drop table"))?;
        self.table_names().remove(table);
        Ok(())
    }

    /// Makes `table` where it is new.
    fn make_table(&self, table: &str) -> Result<()> {
        if self.table(table).is_none() {
            self.db.create_cf(family_of(table), &self.options.table).map_err(failed("make table"))?;
            self.table_names().insert(table.to_owned());
        }
        Ok(())
    }

    fn table_names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self, table: &str) -> Option<Arc<BoundColumnFamily<'_>>> {
        self.db.cf_handle(&family_of(table))
    }

    /// Refuses a database of another layout; writes down the layout of a new one.
    fn check_layout(&self) -> Result<()> {
        match self.db.get(LAYOUT_KEY).map_err(failed("read layout"))? {
            None => self.put_synced(LAYOUT_KEY, &LAYOUT.to_be_bytes()),
            Some(bytes) if bytes == LAYOUT.to_be_bytes() => Ok(()),
            Some(bytes) => Err(Error::config(format!(
                "state directory has layout {}, this version reads {LAYOUT}: run the version that wrote it, or start \
                 afresh: {}",
                <[u8; 4]>::try_from(bytes).map_or(0, u32::from_be_bytes),
                self.directory.display()
            ))),
        }
    }

    /// Reads where log and tables stand, and refuses tables that are ahead of the log.
    fn load(&self, keeps_log: bool) -> Result<()> {
        let log = self.load_log()?;
        let end = if keeps_log { log.end() } else { Epoch(u64::MAX) };
        let position = match self.db.get(POSITION_KEY).map_err(failed("read position"))? {
            None => Epoch(0),
            Some(bytes) => epoch_of(&bytes, "position")?,
        };
        if position > end {
            return Err(self.ahead("the tables' position is at", position, end));
        }
        for table in self.tables() {
            let Some(family) = self.table(&table) else { continue };
            let Some(bytes) = self.db.get_cf(&family, REACHED_KEY).map_err(failed("read table"))? else { continue };
            let reached = epoch_of(&bytes, &table)?;
            if reached > end {
                return Err(self.ahead(&format!("table {table} has reached"), reached, end));
            }
        }
        self.durable.store(position.0, Ordering::Release);
        *self.log() = log;
        Ok(())
    }

    fn ahead(&self, what: &str, reached: Epoch, end: Epoch) -> Error {
        Error::corrupt(format!(
            "{what} commit {reached} but the log ends at commit {end}: commits that were safe are lost; restore the \
             state directory from a copy, or start afresh without it: {}",
            self.directory.display()
        ))
    }

    fn put_synced(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write_synced("write position", || {
            let mut batch = WriteBatch::default();
            batch.put(key, value);
            Ok(batch)
        })
    }
}

impl Store for RocksStore {
    fn multi_get(&self, table: &str, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        debug_assert!(keys.is_sorted(), "keys are read in order");
        let mut values = Vec::with_capacity(keys.len());
        if let Some(family) = self.table(table) {
            let visible = keys.partition_point(|key| **key < REACHED_KEY[..]);
            for keys in keys[..visible].chunks(MULTI_GET_KEYS_MAX) {
                for value in self.db.batched_multi_get_cf(&family, keys.iter().copied(), true) {
                    let value = value.map_err(failed("read table"))?;
                    values.push(value.map(|value| value.to_vec()));
                }
            }
        }
        values.resize(keys.len(), None);
        Ok(values)
    }

    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let to = to.min(&REACHED_KEY);
        let Some(family) = self.table(table).filter(|_| from < to) else { return Ok(()) };
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        // A long scan would push out what point reads need.
        options.fill_cache(false);
        let mut rows = self.db.raw_iterator_cf_opt(&family, options);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            rows.next();
        }
        rows.status().map_err(failed("scan table"))
    }

    fn durable(&self) -> Epoch {
        Epoch(self.durable.load(Ordering::Acquire))
    }

    fn apply(&self, bulk: &Bulk) -> Result<()> {
        self.ingest(bulk)
    }

    fn tidies(&self, tidies: bool) -> Result<()> {
        let value = if tidies { "false" } else { "true" };
        for table in self.tables() {
            if let Some(family) = self.table(&table) {
                let set = self.db.set_options_cf(&family, &[("disable_auto_compactions", value)]);
                set.map_err(failed("set options of table"))?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStore")
            .field("directory", &self.directory)
            .field("durable", &self.durable())
            .finish_non_exhaustive()
    }
}

/// Whether there is a database already. One whose first file is gone is not silently begun anew.
fn has_database(directory: &Path) -> Result<bool> {
    let failed = |error| errors::files("read state directory", directory, error);
    if directory.join("CURRENT").try_exists().map_err(failed)? {
        return Ok(true);
    }
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "sst" || extension == "log") {
            return Err(Error::corrupt(format!(
                "state directory has tables but lacks the file CURRENT: restore it from a copy, or start afresh \
                 without it: {}",
                directory.display()
            )));
        }
    }
    Ok(false)
}

fn table_of(family: &str) -> Option<String> {
    family.strip_prefix(TABLE_FAMILY_PREFIX).map(str::to_owned)
}

fn family_of(table: &str) -> String {
    format!("{TABLE_FAMILY_PREFIX}{table}")
}

fn epoch_of(bytes: &[u8], what: &str) -> Result<Epoch> {
    let bytes = bytes.try_into().map_err(|_| Error::corrupt(format!("{what} holds no epoch: {bytes:?}")))?;
    Ok(Epoch(u64::from_be_bytes(bytes)))
}
