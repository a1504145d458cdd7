//! A disk runs full: nothing that was committed is lost, and it is said so. Needs leave to mount; says when it has none.
#![cfg(test)]
#![cfg(all(feature = "rocks", target_os = "linux"))]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use headwater_state::{Epoch, Kind, RocksOptions, RocksStore, WriteBehind, WriteBehindOptions, recover};
use support::*;

/// A small disk of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=12m", "tmpfs"], directory.path()).then_some(Self(directory))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], at: &Path) -> bool {
    let status = Command::new(program).args(arguments).arg(at).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn open(disk: &Disk) -> headwater_state::Result<Arc<RocksStore>> {
    let options = RocksOptions { write_buffer_bytes: 1 << 19, ..RocksOptions::default() };
    RocksStore::open(disk.0.path(), TABLES, &options).map(Arc::new)
}

fn rows(epoch: u64) -> Vec<Row> {
    let mut random = Random(epoch);
    let mut rows: Vec<Row> = (0..30).map(|_| random_row(&mut random)).collect();
    // What no compression makes smaller.
    let value: String = (0..2500).map(|_| format!("{:016x}", random.next())).collect();
    // In a shard of its own, which nothing drops.
    rows.push(Row { shard: 9, ..put(PLAIN, headwater_state::Namespace::NONE, &format!("large {epoch}"), &value) });
    rows
}

#[test]
fn a_disk_that_runs_full_in_a_bulk_loses_nothing() {
    fill(300_000);
}

#[test]
fn a_disk_that_runs_full_in_a_commit_loses_nothing() {
    fill(usize::MAX);
}

fn fill(lag_bytes: usize) {
    let Some(disk) = Disk::new() else {
        println!("skipped: no leave to mount a small disk");
        return;
    };
    let store = open(&disk).unwrap();
    let behind = WriteBehind::start(store.clone(), store.clone(), WriteBehindOptions { lag_bytes }).unwrap();
    let mut model = Tables::new();
    let (mut promised, mut stopped) = (0, None);
    for epoch in 1..10_000 {
        match behind.commit(commit(epoch, &rows(epoch))) {
            Ok(()) => promised = epoch,
            Err(error) => {
                stopped = Some(error);
                break;
            }
        }
        change_model(&mut model, &rows(epoch));
    }
    let error = stopped.expect("the disk runs full");
    println!("after commit {promised}: {error}");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    assert!(error.message().contains("disk full"), "{error}");
    drop((behind, store));
    if let Err(error) = open(&disk).and_then(|store| recover(&*store, &*store)) {
        println!("while it is full: {error}");
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }
    assert!(run("mount", &["-o", "remount,size=200m"], disk.0.path()));
    let store = open(&disk).unwrap();
    let (at, _) = recover(&*store, &*store).unwrap().unwrap();
    // The commit that failed may count or not.
    assert!(at == Epoch(promised) || at == Epoch(promised + 1), "{promised} was promised, the log ends at {at}");
    if at > Epoch(promised) {
        change_model(&mut model, &rows(at.0));
    }
    same(&*store, &model).unwrap();
}
