//! The alerts of a run: where they are, whether they are right, and when they come.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::cluster::Cluster;
use crate::common::{Alert, expected_users, user_name};
use crate::process::Pinned;

/// Longer than any session of a consumer group, and its changelog on top.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a process committed before its end is seen by then.
const LAST_ALERTS: Duration = Duration::from_secs(3);

/// The topic that a system writes its alerts to, in transactions.
pub struct Alerts(pub String);

impl Alerts {
    /// What is committed.
    fn lines(&self, cluster: &Cluster) -> String {
        let read = cluster.kcat(&["-C", "-t", &self.0, "-e", "-o", "beginning", "-X", COMMITTED]).output();
        String::from_utf8(read.unwrap().stdout).unwrap()
    }

    /// How many there are; each once, and those that a count without any engine finds.
    pub fn verified(&self, cluster: &Cluster, records: u64, users: u64) -> u64 {
        let lines = self.lines(cluster);
        let found: Vec<Alert> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(found.iter().all(|alert| alert.count == 11), "the run is void");
        let names: BTreeSet<&str> = found.iter().map(|alert| alert.user.as_str()).collect();
        let expected: Vec<_> = expected_users(records, users).map(user_name).collect();
        let (lines, named, wanted) = (found.len(), names.len(), expected.len());
        assert_eq!(lines, named, "the run is void: alerts came twice");
        assert_eq!(named, wanted, "the run is void: so many alerts are expected");
        assert!(names.into_iter().eq(expected.iter().map(|user| user.as_str())), "the run is void: other users");
        lines as u64
    }

    /// Begins to watch them come.
    pub fn watch(&self, cluster: &Cluster) -> Watch {
        let (sender, seen) = channel();
        let from = ["-C", "-t", &self.0, "-u", "-o", "beginning", "-f", "%T\n", "-X", COMMITTED];
        let mut kcat = cluster.kcat(&from);
        let mut kcat =
            kcat.args(["-X", "fetch.wait.max.ms=20"]).stdout(Stdio::piped()).spawn().expect("kcat can be run");
        let output = kcat.stdout.take().unwrap();
        thread::spawn(move || watch_times(BufReader::new(output), &sender));
        Watch { seen, kcat }
    }
}

const COMMITTED: &str = "isolation.level=read_committed";

/// An alert that became visible.
struct Seen {
    written: SystemTime,
    seen: SystemTime,
}

/// Alerts as they become visible.
pub struct Watch {
    seen: Receiver<Seen>,
    kcat: Child,
}

impl Watch {
    /// Waits for so many more of a process.
    pub fn await_more(&self, count: u64, process: &Pinned) {
        for _ in 0..count {
            self.next(process);
        }
    }

    /// When the first was seen that was written after this moment, and how many came before that.
    pub fn first_written_after(&self, moment: SystemTime, process: &Pinned) -> (SystemTime, u64) {
        let mut before = 0;
        loop {
            let next = self.next(process);
            if next.written > moment {
                return (next.seen, before);
            }
            before += 1;
        }
    }

    fn next(&self, process: &Pinned) -> Seen {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let had_ended = process.has_ended();
            if let Ok(seen) = self.seen.recv_timeout(LAST_ALERTS) {
                return seen;
            }
            assert!(!had_ended, "the run is void: the process has ended, and alerts are missing");
            assert!(Instant::now() < deadline, "the run is void: no alert within {PATIENCE:?}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.kcat.kill().unwrap();
        self.kcat.wait().unwrap();
    }
}

/// Lines of milliseconds since 1970: when the broker got the record.
fn watch_times(lines: impl BufRead, seen: &Sender<Seen>) {
    for line in lines.lines().map_while(Result::ok) {
        let written = SystemTime::UNIX_EPOCH + Duration::from_millis(line.parse().unwrap());
        if seen.send(Seen { written, seen: SystemTime::now() }).is_err() {
            return;
        }
    }
}
