//! When a shared log is shortened: a rotation writes all state into it once more, slice by slice, and what stands before
//! the rotation's beginning can go.

use std::sync::Arc;

use crate::job_state::SharedLog;

/// The rotations of a run. Those of before a start are begun anew.
pub(crate) struct Rotation {
    pub log: Arc<dyn SharedLog>,
    /// A log that has grown by less is left alone.
    bytes_min: u64,
    is_running: bool,
    /// What the log grew by during the last one: about twice what is live.
    grown: u64,
}

impl Rotation {
    pub fn new(log: Arc<dyn SharedLog>, bytes_min: u64) -> Self {
        Self { log, bytes_min, is_running: false, grown: 0 }
    }

    /// Whether one should begin with the next epoch. Half as much as the last one wrote may come between two.
    pub fn is_due(&self) -> bool {
        !self.is_running && self.log.bytes() >= self.bytes_min.max(self.grown + self.grown / 2)
    }

    /// Begins one with the next epoch. All that is committed must be in the tables.
    pub fn begin(&mut self) {
        self.log.begin_rotation();
        self.is_running = true;
    }

    /// An epoch was committed in which, or before, every shard has written its last slice if `complete`.
    pub fn committed(&mut self, complete: bool) {
        if self.is_running && complete {
            self.is_running = false;
            self.log.end_rotation();
            self.grown = self.log.bytes();
        }
    }
}
