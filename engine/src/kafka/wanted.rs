//! What a start asks of the changelog: whether to begin it anew, and what state the pipeline can go on with.

use headwater_state::Manifest;

use super::reader::Reader;
use super::session::Session;
use crate::plan::Plan;
use crate::{Error, Result};

/// What a start asks for.
pub(crate) struct Wanted<'a> {
    pub plan: &'a Plan,
    /// Empties the changelog.
    pub fresh: bool,
    /// Tables that may be dropped.
    pub drop_tables: &'a [String],
}

impl Wanted<'_> {
    pub fn manifest(&self, job_id: &str, shards: u16) -> Manifest {
        self.plan.manifest(job_id.to_owned(), shards)
    }

    /// The same of the newest manifest that was read, if any was.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub(super) fn check_newest(&self, reader: &mut Reader, session: &Session) -> Result<()> {
        match reader.assembly.manifest.take() {
            Some(manifest) => self.check(&manifest, &session.state_topic(), session.shards()),
            None => Ok(()),
        }
    }

    /// That the state which a changelog holds is of this pipeline: an empty directory says nothing about it.
    ///
    /// # Errors
    /// `Config` where it is not, with what differs.
    pub fn check(&self, manifest: &str, topic: &str, shards: u16) -> Result<()> {
        let stored: Manifest = serde_json::from_str(manifest)
            .map_err(|error| Error::corrupt(format!("the manifest in {topic} cannot be read")).caused_by(error))?;
        if stored.shards != shards {
            return Err(repartitioned(topic, stored.shards, shards));
        }
        let wanted = self.manifest(&stored.job_id, stored.shards);
        let checked = Manifest::check(&stored, &wanted, self.drop_tables);
        checked.map(drop).map_err(|error| error.within(topic))
    }
}

/// The error for a changelog whose partitions are not those that the state was made with.
pub(crate) fn repartitioned(topic: &str, stored: u16, now: u16) -> Error {
    Error::config(format!(
        "{topic} has {now} partitions, and the state was made with {stored}: its keys would be looked for in other ones; \
         start over with --fresh, or give the job another name; a directory that is of another job is no use here: give \
         this job its own with --state"
    ))
}
