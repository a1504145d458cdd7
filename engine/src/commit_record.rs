//! What a commit says beside the state: where every input, operator and output stands.

use std::collections::BTreeMap;

use headwater_state::Note;
use serde::{Deserialize, Serialize};

use crate::letters::OpenLetters;
use crate::{Error, Result};

/// Written as the marker of each commit, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitRecord {
    /// Which life of the job: made when its state began.
    #[serde(default)]
    pub incarnation: String,
    /// By `topic/partition`.
    pub positions: BTreeMap<String, String>,
    /// Watermarks and pending closes, per operator and scope.
    pub notes: Vec<Note>,
    /// By topic: how long the output is.
    pub sinks: BTreeMap<String, String>,
    /// The last tick, in microseconds since the epoch: the wall clock of operators never goes back.
    pub tick_micros: i64,
    /// Every input has ended, and every window is closed.
    pub ended: bool,
    pub totals: Totals,
}

/// Counts over all runs of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub records_in: u64,
    pub bad: u64,
    pub late: u64,
    /// By topic.
    pub records_out: BTreeMap<String, u64>,
    /// Dead letters that nothing was done about.
    #[serde(default)]
    pub open_letters: OpenLetters,
}

impl CommitRecord {
    pub fn read(marker: &[u8]) -> Result<Self> {
        serde_json::from_slice(marker).map_err(|error| {
            Error::corrupt("the last commit's record cannot be read: was it written by another version?")
                .caused_by(error)
        })
    }

    pub fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::bug("the commit's record cannot be written").caused_by(error))
    }

    /// Whether anything but the clock and the counts differs: otherwise there is nothing to commit.
    pub fn moved_since(&self, before: &Self) -> bool {
        self.positions != before.positions
            || self.notes != before.notes
            || self.sinks != before.sinks
            || self.ended != before.ended
    }
}
