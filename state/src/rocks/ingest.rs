//! Bulk writes: one sorted file per table, then the position.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rocksdb::{BoundColumnFamily, IngestExternalFileOptions, SstFileWriter};

use super::errors::{self, failed};
use super::{BULK_DIRECTORY, POSITION_KEY, REACHED_KEY, RocksStore};
use crate::{Bulk, Epoch, Error, Result, TableBulk, crash, end_of_prefix};

impl RocksStore {
    /// Writes a file per table, ingests them, and then moves the position.
    pub(super) fn ingest(&self, bulk: &Bulk) -> Result<()> {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let durable = Epoch(self.durable.load(Ordering::Acquire));
        if bulk.epoch < durable {
            return Err(Error::bug(format!("bulk ends at commit {}, the tables are at {durable}", bulk.epoch)));
        }
        clear(&self.directory)?;
        let mut files = Vec::with_capacity(bulk.tables.len());
        for (number, part) in bulk.tables.iter().enumerate() {
            let file = self.directory.join(BULK_DIRECTORY).join(format!("{number}.sst"));
            self.write_file(&file, part, bulk.epoch)?;
            files.push(file);
        }
        crash::point("bulk.sst.written");
        for (part, file) in bulk.tables.iter().zip(files) {
            self.ingest_file(part, file)?;
            crash::point("bulk.ingested");
        }
        crash::point("bulk.before_position");
        self.put_synced(POSITION_KEY, &bulk.epoch.0.to_be_bytes())?;
        self.durable.store(bulk.epoch.0, Ordering::Release);
        Ok(())
    }

    /// Writes drops, writes and the epoch they reach. In one file a dropped range does not touch the file's own keys,
    /// so what was written after a drop wins.
    fn write_file(&self, file: &Path, part: &TableBulk, epoch: Epoch) -> Result<()> {
        self.make_table(&part.table)?;
        let family = self.table(&part.table).ok_or_else(|| Error::bug("a table that was made is missing"))?;
        let mut writer = SstFileWriter::create(&self.options.table);
        writer.open(file).map_err(failed("write table"))?;
        for prefix in self.held_prefixes(&family, part)? {
            writer.delete_range(prefix.as_slice(), &end_of_prefix(prefix)).map_err(failed("write table"))?;
        }
        part.writes(|key, value| {
            match value {
                Some(value) => writer.put(key, value),
                None => writer.delete(key),
            }
            .map_err(failed("write table"))
        })?;
        writer.put(REACHED_KEY, epoch.0.to_be_bytes()).map_err(failed("write table"))?;
        writer.finish().map_err(failed("write table"))
    }

    /// The drops that have something to drop: most windows close before they ever reach the disk.
    fn held_prefixes<'a>(&self, family: &Arc<BoundColumnFamily<'_>>, part: &'a TableBulk) -> Result<Vec<&'a Vec<u8>>> {
        let mut held = Vec::new();
        if part.drops.is_empty() {
            return Ok(held);
        }
        let mut rows = self.db.raw_iterator_cf(family);
        for prefix in &part.drops {
            rows.seek(prefix);
            if rows.key().is_some_and(|key| key.starts_with(prefix)) {
                held.push(prefix);
            }
            rows.status().map_err(failed("read table"))?;
        }
        Ok(held)
    }

    fn ingest_file(&self, part: &TableBulk, file: PathBuf) -> Result<()> {
        let family = self.table(&part.table).ok_or_else(|| Error::bug("a table that was made is missing"))?;
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        self.db.ingest_external_file_cf_opts(&family, &options, vec![file]).map_err(failed("write table"))
    }
}

/// Empties the directory of files on their way in: a crash may have left some.
pub(super) fn clear(directory: &Path) -> Result<()> {
    let bulk = directory.join(BULK_DIRECTORY);
    let failed = |error| errors::files("empty bulk directory", &bulk, error);
    match std::fs::remove_dir_all(&bulk) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    std::fs::create_dir(&bulk).map_err(failed)
}
