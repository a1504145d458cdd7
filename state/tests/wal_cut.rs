//! The write-ahead log is cut or damaged: what opens then is the state after some commit, or `Corrupt` is said.
#![cfg(test)]
#![cfg(feature = "rocks")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use headwater_state::{BlockLog, Bulk, Commit, Epoch, Kind, RocksOptions, RocksStore, Store, recover};
use support::*;

const HISTORIES: u64 = 6;
const CUTS_PER_HISTORY: u64 = 16;

/// The tables after each commit; the first are empty.
type History = Vec<Tables>;

fn open(directory: &Path, write_buffer_bytes: usize) -> headwater_state::Result<RocksStore> {
    let options = RocksOptions { write_buffer_bytes, cache_bytes: 1 << 20, ..RocksOptions::default() };
    RocksStore::open(directory, TABLES, &options)
}

/// Commits, brings tables up to date now and then, and reopens.
fn make_history(directory: &Path, random: &mut Random) -> History {
    let write_buffer_bytes = [1 << 17, 1 << 20, 1 << 24][random.below(3) as usize];
    let mut store = open(directory, write_buffer_bytes).unwrap();
    let mut history = vec![Tables::new()];
    let mut retained: Vec<Commit> = Vec::new();
    for epoch in 1..=5 + random.below(60) {
        let mut rows: Vec<Row> = (0..random.below(60)).map(|_| random_row(random)).collect();
        // Some commits are larger than a write-ahead record's 32 KB.
        if random.below(6) == 0 {
            rows.push(put(
                PLAIN,
                headwater_state::Namespace::NONE,
                "large",
                &"v".repeat(random.below(200_000) as usize),
            ));
        }
        let mut model = history.last().unwrap().clone();
        change_model(&mut model, &rows);
        history.push(model);
        let commit = commit(epoch, &rows);
        store.append(&commit).unwrap();
        retained.push(commit);
        match random.below(12) {
            0 | 1 => {
                let bulk = Bulk::merge(&retained).unwrap();
                store.apply(&bulk).unwrap();
                store.trim(bulk.epoch).unwrap();
                retained.clear();
            }
            2 => {
                drop(store);
                store = open(directory, write_buffer_bytes).unwrap();
            }
            _ => {}
        }
    }
    history
}

/// The write-ahead files, oldest first.
fn logs(directory: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() && entry.file_name() != "LOCK" {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Cuts, damages or removes a file; says what was done.
fn damage(log: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(log).unwrap();
    let at = random.below(bytes.len() as u64 + 1) as usize;
    match random.below(8) {
        0 => {
            fs::remove_file(log).unwrap();
            "removed".into()
        }
        1 | 2 if at < bytes.len() => {
            bytes[at] ^= 1 << random.below(8);
            fs::write(log, &bytes).unwrap();
            format!("a bit changed in byte {at} of {}", bytes.len())
        }
        _ => {
            fs::write(log, &bytes[..at]).unwrap();
            format!("cut at byte {at} of {}", bytes.len())
        }
    }
}

/// Opens and recovers; gives the commit that it is at.
fn reopen(directory: &Path, history: &History) -> headwater_state::Result<u64> {
    let store = open(directory, 1 << 20)?;
    let last = recover(&store, &store)?;
    let at = last.as_ref().map_or(0, |(epoch, _)| epoch.0);
    assert_eq!(last, (at > 0).then(|| (Epoch(at), marker(at))), "marker");
    same(&store, &history[at as usize])
        .unwrap_or_else(|difference| panic!("not the state after commit {at}: {difference}"));
    let rows = [put(PLAIN, headwater_state::Namespace::NONE, "after", "1")];
    store.append(&commit(at + 1, &rows))?;
    drop(store);
    let store = open(directory, 1 << 20)?;
    recover(&store, &store)?;
    let mut model = history[at as usize].clone();
    change_model(&mut model, &rows);
    same(&store, &model).unwrap();
    Ok(at)
}

fn outcomes(which: impl Fn(&[PathBuf], &mut Random) -> PathBuf) -> (usize, usize) {
    let mut random = Random(seed());
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..HISTORIES {
        let made = tempfile::tempdir().unwrap();
        let history = make_history(made.path(), &mut random);
        for _ in 0..CUTS_PER_HISTORY {
            let cut = tempfile::tempdir().unwrap();
            copy(made.path(), cut.path());
            let log = which(&logs(cut.path()), &mut random);
            let done = damage(&log, &mut random);
            match reopen(cut.path(), &history) {
                Ok(at) => {
                    println!("{done}: the state after commit {at} of {}", history.len() - 1);
                    opened += 1;
                }
                Err(error) => {
                    println!("{done}: {error}");
                    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
                    refused += 1;
                }
            }
        }
    }
    println!("{opened} opened, {refused} refused");
    (opened, refused)
}

#[test]
fn the_newest_file_is_cut() {
    let (opened, refused) = outcomes(|logs, _| logs.last().unwrap().clone());
    assert!(opened > 0 && refused > 0, "both outcomes are met: {opened} opened, {refused} refused");
}

#[test]
fn any_file_is_cut() {
    outcomes(|logs, random| logs[random.below(logs.len() as u64) as usize].clone());
}
