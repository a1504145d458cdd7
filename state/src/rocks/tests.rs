//! What the contract cannot reach: damage inside the database, and what is said about it.

use std::fs;
use std::ops::ControlFlow;

use rocksdb::DB;
use tempfile::TempDir;

use super::*;
use crate::block::{BlockWriter, Change};
use crate::{BlockLog, Commit, Kind, Namespace, ReplayLog, Shard, recover};

fn open(directory: &TempDir) -> Result<RocksStore> {
    RocksStore::open(directory.path(), ["t"], &RocksOptions::default())
}

fn commit(epoch: u64) -> Commit {
    let mut blocks = Vec::new();
    for shard in [1, 4] {
        let mut writer = BlockWriter::new(Shard(shard), Epoch(epoch));
        writer.section("t", Namespace::NONE);
        writer.push(Change::Put(b"key", &epoch.to_be_bytes()));
        blocks.extend(writer.finish());
    }
    Commit { epoch: Epoch(epoch), blocks, marker: b"marker".to_vec() }
}

/// A log of three commits, and the key of the second one's block of shard 4.
fn logged() -> (TempDir, RocksStore, [u8; 14]) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).unwrap();
    (1..=3).for_each(|epoch| store.append(&commit(epoch)).unwrap());
    let mut key = [0; 14];
    (key[7], key[9]) = (2, 4);
    (directory, store, key)
}

fn read(store: &RocksStore) -> String {
    let error = store.read(Epoch(0), &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    error.to_string()
}

#[test]
fn a_missing_block_is_named() {
    let (_directory, store, key) = logged();
    store.db.delete_cf(&store.db.cf_handle(LOG_FAMILY).unwrap(), key).unwrap();
    assert_eq!(read(&store), "commit 2, shard 4: has 0 of its 1 blocks");
}

#[test]
fn a_damaged_block_is_named() {
    let (_directory, store, key) = logged();
    let log = store.db.cf_handle(LOG_FAMILY).unwrap();
    let mut bytes = store.db.get_cf(&log, key).unwrap().unwrap();
    bytes[20] ^= 1;
    store.db.put_cf(&log, key, bytes).unwrap();
    assert!(read(&store).starts_with("commit 2, shard 4, block 0: delta block has checksum"), "{}", read(&store));
}

#[test]
fn a_missing_commit_is_named() {
    let (_directory, store, _) = logged();
    let log = store.db.cf_handle(LOG_FAMILY).unwrap();
    store.db.delete_range_cf(&log, 2u64.to_be_bytes(), 3u64.to_be_bytes()).unwrap();
    assert_eq!(read(&store), "commit 2 is missing");
    store.db.delete_range_cf(&log, 1u64.to_be_bytes(), 2u64.to_be_bytes()).unwrap();
    let error = recover(&store, &store).unwrap_err();
    assert!(error.to_string().starts_with("log lacks commit 1"), "{error}");

    let (_directory, store, _) = logged();
    let log = store.db.cf_handle(LOG_FAMILY).unwrap();
    store.db.delete_range_cf(&log, 3u64.to_be_bytes(), 4u64.to_be_bytes()).unwrap();
    let error = recover(&store, &store).unwrap_err();
    assert!(error.to_string().starts_with("log lacks commit 3"), "{error}");
}

#[test]
fn a_missing_marker_is_named() {
    let (directory, store, mut key) = logged();
    key[8..].fill(0xff);
    store.db.delete_cf(&store.db.cf_handle(LOG_FAMILY).unwrap(), key).unwrap();
    assert_eq!(read(&store), "commit 2 has no marker");
    key[7] = 3;
    store.db.delete_cf(&store.db.cf_handle(LOG_FAMILY).unwrap(), key).unwrap();
    drop(store);
    assert_eq!(open(&directory).unwrap_err().to_string(), "commit 3 has no marker");
}

#[test]
fn tables_ahead_of_the_log_are_refused() {
    let (directory, store, _) = logged();
    store.put_synced(POSITION_KEY, &9u64.to_be_bytes()).unwrap();
    drop(store);
    let error = open(&directory).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    let expected = "the tables' position is at commit 9 but the log ends at commit 3: commits that were safe are lost";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn the_epoch_that_files_reach_is_no_key() {
    let (_directory, store, _) = logged();
    recover(&store, &store).unwrap();
    let mut keys = 0;
    let visit = &mut |_: &[u8], _: &[u8]| {
        keys += 1;
        ControlFlow::Continue(())
    };
    store.scan("t", &[], &[0xff; 20], visit).unwrap();
    assert_eq!(keys, 2);
    assert_eq!(store.multi_get("t", &[&REACHED_KEY]).unwrap(), [None]);
    assert!(store.db.get_cf(&store.table("t").unwrap(), REACHED_KEY).unwrap().is_some());
}

#[test]
fn nothing_follows_a_commit_whose_outcome_is_unknown() {
    let (directory, store, _) = logged();
    store.log().failed = true;
    assert_eq!(store.append(&commit(4)).unwrap_err().kind(), Kind::Unavailable);
    drop(store);
    open(&directory).unwrap().append(&commit(4)).unwrap();
}

#[test]
fn a_directory_in_use_is_refused() {
    let (directory, _store, _) = logged();
    let error = open(&directory).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().contains(&directory.path().display().to_string()), "{error}");
}

#[test]
fn another_layout_is_refused() {
    let (directory, store, _) = logged();
    store.put_synced(LAYOUT_KEY, &7u32.to_be_bytes()).unwrap();
    drop(store);
    let error = open(&directory).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().starts_with("state directory has layout 7, this version reads 1"), "{error}");
}

#[test]
fn missing_and_damaged_files_are_corrupt() {
    let made = || {
        let (directory, store, _) = logged();
        recover(&store, &store).unwrap();
        drop(store);
        directory
    };
    let table = |directory: &TempDir| {
        let files = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "sst")).unwrap()
    };
    let directory = made();
    fs::remove_file(directory.path().join("CURRENT")).unwrap();
    assert_eq!(open(&directory).unwrap_err().kind(), Kind::Corrupt);

    let directory = made();
    fs::remove_file(table(&directory)).unwrap();
    assert_eq!(open(&directory).unwrap_err().kind(), Kind::Corrupt);

    let directory = made();
    let file = table(&directory);
    let mut bytes = fs::read(&file).unwrap();
    bytes[10] ^= 1;
    fs::write(&file, bytes).unwrap();
    let found = open(&directory).and_then(|store| store.multi_get("t", &[&[0, 1, b'k', b'e', b'y']]));
    assert_eq!(found.unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn tables_are_found_again_and_dropped() {
    let (directory, store, _) = logged();
    recover(&store, &store).unwrap();
    drop(store);
    let store = RocksStore::open(directory.path(), ["new"], &RocksOptions::default()).unwrap();
    assert_eq!(store.tables(), ["new", "t"]);
    store.drop_table("t").unwrap();
    store.drop_table("t").unwrap();
    assert_eq!(store.tables(), ["new"]);
    drop(store);
    let families = DB::list_cf(&rocksdb::Options::default(), directory.path()).unwrap();
    assert_eq!(families, ["default", LOG_FAMILY, "table.new"]);
}

#[test]
fn files_on_their_way_in_do_not_outlive_a_crash() {
    let (directory, store, _) = logged();
    drop(store);
    let left = directory.path().join(BULK_DIRECTORY).join("7.sst");
    fs::write(&left, b"half").unwrap();
    open(&directory).unwrap();
    assert!(!left.exists());
}

#[test]
fn tables_that_are_filled_are_put_in_order_when_that_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory).unwrap();
    store.tidies(false).unwrap();
    // More files than are left alone otherwise.
    for epoch in 1..=20 {
        store.apply(&Bulk::merge([&commit(epoch)]).unwrap()).unwrap();
    }
    let files = || {
        let family = store.table("t").unwrap();
        store.db.property_int_value_cf(&family, "rocksdb.num-files-at-level0").unwrap().unwrap()
    };
    assert!(files() > 10, "{} files", files());
    store.tidies(true).unwrap();
    let pause = || {
        std::thread::park_timeout(std::time::Duration::from_millis(1));
        false
    };
    assert!((0..60_000).any(|_| files() < 4 || pause()), "{} files", files());
    let mut rows = 0;
    let mut visit = |_: &[u8], value: &[u8]| {
        rows += u64::from(value == 20u64.to_be_bytes());
        ControlFlow::Continue(())
    };
    store.scan("t", &[], &[u8::MAX; 8], &mut visit).unwrap();
    assert_eq!(rows, 2);
}
