//! Durable writes that do not wait inside RocksDB.

use std::time::Duration;

use rocksdb::properties::BACKGROUND_ERRORS;
use rocksdb::{ErrorKind, WriteBatch, WriteOptions};

use super::RocksStore;
use super::errors::failed;
use crate::{Error, Result};

/// How long a write waits before it tries again to get past tables that lag behind: at first, and at most. Each try
/// makes the batch anew.
const STALL_WAIT: Duration = Duration::from_millis(1);
const STALL_WAIT_MAX: Duration = Duration::from_millis(50);

impl RocksStore {
    /// Writes what `batch` makes, and waits here while the tables cannot take more. RocksDB's own wait would hold its
    /// queue of writers, in which its recovery from a full disk stands too: both would wait for ever.
    pub(super) fn write_synced(&self, what: &'static str, batch: impl Fn() -> Result<WriteBatch>) -> Result<()> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        options.set_no_slowdown(true);
        let mut wait = STALL_WAIT;
        loop {
            match self.db.write_opt(batch()?, &options) {
                Err(error) if error.kind() == ErrorKind::Incomplete => self.look_for_failures(what, error)?,
                result => return result.map_err(failed(what)),
            }
            std::thread::park_timeout(wait);
            wait = STALL_WAIT_MAX.min(wait * 2);
        }
    }

    /// A stall ends by itself, unless what it waits for has failed.
    fn look_for_failures(&self, what: &'static str, stall: rocksdb::Error) -> Result<()> {
        match self.db.property_int_value(BACKGROUND_ERRORS).map_err(failed(what))? {
            Some(1..) => {
                let message =
                    format!("disk full or failing, {what}: the tables that it waits for could not be written");
                Err(Error::unavailable(message).caused_by(stall))
            }
            _ => Ok(()),
        }
    }
}
