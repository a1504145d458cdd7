//! The process dies, at every named place or at any moment: what opens then is the state after the last commit.
//!
//! The places need `--features failpoints`.
#![cfg(test)]
#![cfg(feature = "rocks")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use headwater_state::{RocksOptions, RocksStore, WriteBehind, WriteBehindOptions, recover};
use support::*;

const COMMITS: u64 = 40;
const DIRECTORY: &str = "HEADWATER_TEST_DIRECTORY";

fn open(directory: &Path) -> RocksStore {
    let options = RocksOptions { write_buffer_bytes: 1 << 17, ..RocksOptions::default() };
    RocksStore::open(directory, TABLES, &options).unwrap()
}

fn rows(epoch: u64) -> Vec<Row> {
    let mut random = Random(epoch);
    (0..50).map(|_| random_row(&mut random)).collect()
}

/// Recovers and makes the commits that are left; dies on the way. The other tests start it, as a process of its own,
/// and name the directory.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let store = Arc::new(open(Path::new(&directory)));
    let last = recover(&*store, &*store).unwrap();
    let behind = WriteBehind::start(store.clone(), store, WriteBehindOptions { lag_bytes: 5000 }).unwrap();
    for epoch in last.map_or(0, |(epoch, _)| epoch.0) + 1..=COMMITS {
        behind.commit(commit(epoch, &rows(epoch))).unwrap();
        println!("committed {epoch}");
    }
    behind.flush_and_wait().unwrap();
}

fn command(directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads", "1"]);
    command.env(DIRECTORY, directory).env_remove("HEADWATER_CRASH").stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Opens what a dead process left, and compares. `said` is what it printed: nothing it said was committed is lost.
fn check(directory: &Path, said: &[u8]) -> u64 {
    let store = open(directory);
    let at = recover(&store, &store).unwrap().map_or(0, |(epoch, _)| epoch.0);
    let said = String::from_utf8_lossy(said);
    let promised = said.lines().filter_map(|line| line.strip_prefix("committed ")?.parse().ok()).max().unwrap_or(0);
    assert!(at >= promised, "commit {promised} was confirmed, the log ends at {at}");
    let mut model = Tables::new();
    (1..=at).for_each(|epoch| change_model(&mut model, &rows(epoch)));
    same(&store, &model).unwrap_or_else(|difference| panic!("not the state after commit {at}: {difference}"));
    at
}

#[cfg(feature = "failpoints")]
#[test]
fn a_crash_at_every_named_place() {
    let places =
        ["log.append.before", "trim", "log.append.after", "bulk.sst.written", "bulk.ingested", "bulk.before_position"];
    for (place, nth) in places.into_iter().flat_map(|place| [1, 2, 5].map(|nth| (place, nth))) {
        let directory = tempfile::tempdir().unwrap();
        let crash = || command(directory.path()).env("HEADWATER_CRASH", format!("{place}:{nth}")).output().unwrap();
        let output = crash();
        assert!(!output.status.success(), "{place} is passed {nth} times");
        // Again, so that a crash also hits what recovery does.
        let at = check(directory.path(), &[output.stdout, crash().stdout].concat());
        println!("{place}:{nth}: at commit {at}");
        assert!(command(directory.path()).output().unwrap().status.success());
        assert_eq!(check(directory.path(), b""), COMMITS);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a kill comes at a moment, not at a step")]
fn a_kill_at_any_moment() {
    let mut random = Random(seed());
    let mut kills = 0;
    for _ in 0..6 {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..8 {
            let mut child = command(directory.path()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(10 + random.below(400)));
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            kills += usize::from(!output.status.success());
            if check(directory.path(), &output.stdout) == COMMITS {
                break;
            }
        }
    }
    println!("{kills} killed");
}
