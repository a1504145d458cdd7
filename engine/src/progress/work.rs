//! What a process has done, for whoever counts it.

use std::collections::BTreeMap;
use std::time::Duration;

/// What this process has done: what its commits say, each record once. It only ever grows, also where the run goes back
/// to the last commit.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// Commits.
    pub commits: u64,
    /// How long they took.
    pub commit_times: Times,
    /// Records read, by `topic/partition`.
    pub records_in: BTreeMap<String, u64>,
    /// Records written, by topic.
    pub records_out: BTreeMap<String, u64>,
    /// Bad records.
    pub bad: u64,
    /// Late records.
    pub late: u64,
    /// Bytes of changed state.
    pub changed_bytes: u64,
    /// Changed values of tables, each once per epoch.
    pub changed_rows: u64,
    /// How often the run went back to the last commit.
    pub restarts: u64,
}

/// Times, counted by how long they are.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Per bound how many were at most so long, and longer than the bound before; last those longer than all.
    pub counts: [u64; Self::BOUNDS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Times {
    /// In seconds.
    pub const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(super) fn add(&mut self, time: Duration) {
        let at = Self::BOUNDS.partition_point(|bound| *bound < time.as_secs_f64());
        self.counts[at] += 1;
        self.sum += time;
    }
}

/// What one commit adds.
pub(crate) struct Step {
    pub commit_time: Duration,
    pub changed_bytes: u64,
    pub changed_rows: u64,
    /// By `topic/partition`, since the run was opened at a commit.
    pub records_in: Vec<(String, u64)>,
}

/// Adds up the work of a process over all times that its run was opened.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub work: Work,
    /// Records read before the run was opened last.
    before: BTreeMap<String, u64>,
}

impl Ledger {
    /// The run is opened at a commit: what is counted begins anew.
    pub fn reopen(&mut self) {
        self.before.clone_from(&self.work.records_in);
    }

    pub fn add(&mut self, step: Step) {
        self.work.commits += 1;
        self.work.commit_times.add(step.commit_time);
        self.work.changed_bytes += step.changed_bytes;
        self.work.changed_rows += step.changed_rows;
        for (partition, since) in step.records_in {
            let before = self.before.get(&partition).copied().unwrap_or_default();
            self.work.records_in.insert(partition, before + since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(millis: u64, records: u64) -> Step {
        Step {
            commit_time: Duration::from_millis(millis),
            changed_bytes: 10,
            changed_rows: 2,
            records_in: vec![("orders/0".into(), records)],
        }
    }

    #[test]
    fn what_is_read_again_after_a_commit_is_counted_once() {
        let mut ledger = Ledger::default();
        ledger.reopen();
        ledger.add(step(1, 10));
        ledger.add(step(1, 30));
        ledger.reopen();
        ledger.add(step(1, 0));
        assert_eq!(ledger.work.records_in["orders/0"], 30);
        ledger.add(step(1, 5));
        assert_eq!(ledger.work.records_in["orders/0"], 35);
        assert_eq!((ledger.work.commits, ledger.work.changed_bytes, ledger.work.changed_rows), (4, 40, 8));
    }

    #[test]
    fn a_time_is_counted_at_the_least_bound_that_holds_it() {
        let mut times = Times::default();
        for millis in [0, 1, 2, 10_000, 10_001] {
            times.add(Duration::from_millis(millis));
        }
        assert_eq!((times.counts[0], times.counts[1], times.counts[12], times.counts[13]), (2, 1, 1, 1));
        assert_eq!((times.count(), times.sum), (5, Duration::from_millis(20_004)));
    }
}
