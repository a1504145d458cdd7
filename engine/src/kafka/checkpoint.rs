//! How far the tables of this directory have followed the changelog: a file beside the database.

use std::path::Path;

use headwater_state::{Epoch, save_file};
use serde::{Deserialize, Serialize};

use super::assembly::LastMarker;
use super::marker::Token;
use super::position::Identity;
use crate::{Error, Result};

const FILE: &str = "changelog.json";

/// Written after the tables: it may lag behind them, and never leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(super) topic: Option<String>,
    pub(super) cluster: Option<String>,
    /// The job's id, as the changelog has it.
    pub(super) job: Option<String>,
    pub(super) epoch: u64,
    /// Per shard: the offset of its last marker up to the epoch, and its token.
    pub(super) shards: Vec<(i64, Option<Token>)>,
}

impl Checkpoint {
    pub(super) fn new(identity: &Identity, job: Option<&str>, epoch: Epoch, last: &[LastMarker]) -> Self {
        Self {
            topic: identity.topic.clone(),
            cluster: identity.cluster.clone(),
            job: job.map(str::to_owned),
            epoch: epoch.0,
            shards: last.iter().map(|last| (last.offset, last.token.clone())).collect(),
        }
    }

    /// That of tables which have followed nothing yet.
    pub fn empty() -> Self {
        Self { topic: None, cluster: None, job: None, epoch: 0, shards: Vec::new() }
    }

    /// The commit that the tables have reached at least.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    /// That of a directory; `None` where there is none that can be read: then the tables are made anew.
    pub fn load(directory: &Path) -> Option<Self> {
        let text = std::fs::read(directory.join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether a directory belongs to a job whose commits are in Kafka.
    pub fn exists(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// # Errors
    /// As [`save_file`].
    pub fn save(&self, directory: &Path) -> Result<()> {
        let text = serde_json::to_vec(self);
        let text = text.map_err(|error| Error::bug("a checkpoint cannot be written").caused_by(error))?;
        save_file(directory, FILE, &text)
    }
}
