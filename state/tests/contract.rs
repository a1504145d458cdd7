//! What every store and every log promises, on all of them.
#![cfg(test)]

#[path = "contract/history.rs"]
mod history;
mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use headwater_state::faulty::{Call, Done, Fault, Faulty};
use headwater_state::{
    BlockLog as _, Bulk, Epoch, Kind, MemoryStore, Namespace, ReplayLog, Store, WriteBehind, WriteBehindOptions,
    recover, recover_in_slices,
};
use history::random_histories_equal_the_model;
use support::*;

const NONE: Namespace = Namespace::NONE;

/// Somewhere that outlives a store: a directory, or memory that is shared.
trait Site {
    type Kept: Store + ReplayLog + 'static;

    fn new() -> Self;
    /// Opens what is there; only after the last one was dropped.
    fn open(&self) -> Self::Kept;
}

struct InMemory(MemoryStore);

impl Site for InMemory {
    type Kept = MemoryStore;

    fn new() -> Self {
        Self(MemoryStore::new())
    }
    fn open(&self) -> MemoryStore {
        self.0.clone()
    }
}

#[cfg(feature = "rocks")]
struct OnDisk(tempfile::TempDir);

#[cfg(feature = "rocks")]
impl Site for OnDisk {
    type Kept = headwater_state::RocksStore;

    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn open(&self) -> headwater_state::RocksStore {
        headwater_state::RocksStore::open(self.0.path(), TABLES, &headwater_state::RocksOptions::default()).unwrap()
    }
}

/// A wrapper without faults changes nothing.
struct Wrapped<S>(S);

impl<S: Site> Site for Wrapped<S> {
    type Kept = Faulty<S::Kept>;

    fn new() -> Self {
        Self(S::new())
    }
    fn open(&self) -> Faulty<S::Kept> {
        Faulty::new(self.0.open())
    }
}

macro_rules! contract {
    ($($test:ident)*) => {
        mod memory {
            $(#[test] fn $test() { super::$test::<super::InMemory>(); })*
        }
        mod faulty {
            $(#[test] fn $test() { super::$test::<super::Wrapped<super::InMemory>>(); })*
        }
        #[cfg(feature = "rocks")]
        mod rocks {
            $(#[test] fn $test() { super::$test::<super::OnDisk>(); })*
        }
    };
}

contract! {
    keys_are_read_where_they_are
    a_scan_is_in_order_and_ends_where_it_is_told
    the_newest_change_of_a_key_counts
    a_drop_takes_what_was_before_and_leaves_what_comes_after
    a_drop_reaches_what_is_stored
    a_bulk_can_be_applied_again
    an_older_bulk_is_refused
    commits_are_read_back_in_order
    a_commit_out_of_order_is_refused
    a_trimmed_log_keeps_its_newest_marker
    tables_and_log_outlive_the_store
    recovery_brings_tables_level
    recovery_repairs_a_bulk_that_was_cut
    write_behind_brings_tables_level
    write_behind_reports_what_stopped_it
    write_behind_starts_level_only
    random_histories_equal_the_model
}

fn keys_are_read_where_they_are<S: Site>() {
    let store = S::new();
    let store = store.open();
    let rows = [put(PLAIN, NONE, "b", "2"), put(PLAIN, NONE, "", "0"), put(PLAIN, NONE, "a", "")];
    store.apply(&bulk(&[commit(1, &rows)])).unwrap();
    let keys = ["", "a", "aa", "b", "c"].map(|key| stored(0, NONE, key.as_bytes()));
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).chain([&[0xff, 0xff][..], &[0xff, 0xff, 0]]).collect();
    let found = store.multi_get(PLAIN, &keys).unwrap();
    let expected = [Some("0"), Some(""), None, Some("2"), None, None, None];
    assert_eq!(found, expected.map(|value| value.map(|value| value.as_bytes().to_vec())));
    assert_eq!(store.multi_get("unheard-of", &keys[..2]).unwrap(), [None, None]);
    assert!(store.multi_get(PLAIN, &[]).unwrap().is_empty());
}

fn a_scan_is_in_order_and_ends_where_it_is_told<S: Site>() {
    let site = S::new();
    let store = site.open();
    let rows = ["d", "a", "c", "b"].map(|key| put(PLAIN, NONE, key, key));
    store.apply(&bulk(&[commit(1, &rows)])).unwrap();
    let scan = |from: &str, to: &[u8], most: usize| {
        let mut seen = String::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            assert_eq!(key, stored(0, NONE, value));
            seen.push_str(std::str::from_utf8(value).unwrap());
            if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        store.scan(PLAIN, &stored(0, NONE, from.as_bytes()), to, visit).unwrap();
        seen
    };
    assert_eq!(scan("", &[0xff; 9], 9), "abcd");
    assert_eq!(scan("b", &stored(0, NONE, b"d"), 9), "bc");
    assert_eq!(scan("", &[0xff; 9], 2), "ab");
    assert_eq!(scan("d", &stored(0, NONE, b"a"), 9), "");
    assert_eq!(all_of(&store, "unheard-of").len(), 0);
}

fn the_newest_change_of_a_key_counts<S: Site>() {
    let site = S::new();
    let store = site.open();
    let rows = [put(PLAIN, NONE, "a", "1"), put(PLAIN, NONE, "a", "2"), put(PLAIN, NONE, "b", "1")];
    let later = [delete(PLAIN, NONE, "b"), put(PLAIN, NONE, "a-rather-long-key", "1")];
    let last = [put(PLAIN, NONE, "a-rather-long-key", "2"), put(PLAIN, NONE, "a-rather-long-word", "3")];
    store.apply(&bulk(&[commit(1, &rows), commit(2, &later), commit(3, &last)])).unwrap();
    let found: Vec<String> =
        all_of(&store, PLAIN).into_values().map(|value| String::from_utf8(value).unwrap()).collect();
    assert_eq!(found, ["2", "2", "3"]);
    assert_eq!(store.durable(), Epoch(3));
}

fn a_drop_takes_what_was_before_and_leaves_what_comes_after<S: Site>() {
    let site = S::new();
    let store = site.open();
    let (old, new) = (Namespace::window(-5), Namespace::window(5));
    let rows = [put(WINDOWED, old, "a", "1"), put(WINDOWED, new, "a", "1"), drop_all(WINDOWED, old)];
    store.apply(&bulk(&[commit(1, &rows), commit(2, &[put(WINDOWED, old, "b", "2")])])).unwrap();
    let keys: Vec<Vec<u8>> = all_of(&store, WINDOWED).into_keys().collect();
    assert_eq!(keys, [stored(0, old, b"b"), stored(0, new, b"a")]);
}

fn a_drop_reaches_what_is_stored<S: Site>() {
    let site = S::new();
    let store = site.open();
    let (old, new) = (Namespace::window(1), Namespace::window(2));
    let rows = [put(WINDOWED, old, "a", "1"), put(WINDOWED, old, "b", "1"), put(WINDOWED, new, "a", "1")];
    store.apply(&bulk(&[commit(1, &rows)])).unwrap();
    store.apply(&bulk(&[commit(2, &[drop_all(WINDOWED, old), put(WINDOWED, old, "b", "2")])])).unwrap();
    let keys: Vec<Vec<u8>> = all_of(&store, WINDOWED).into_keys().collect();
    assert_eq!(keys, [stored(0, old, b"b"), stored(0, new, b"a")]);
    store.apply(&bulk(&[commit(3, &[drop_all(WINDOWED, old), drop_all(WINDOWED, Namespace::window(9))])])).unwrap();
    assert_eq!(all_of(&store, WINDOWED).len(), 1);
}

fn a_bulk_can_be_applied_again<S: Site>() {
    let site = S::new();
    let store = site.open();
    let first = [put(WINDOWED, Namespace::window(1), "a", "1"), put(PLAIN, NONE, "a", "1")];
    let second = [drop_all(WINDOWED, Namespace::window(1)), delete(PLAIN, NONE, "a"), put(PLAIN, NONE, "b", "1")];
    let (first, second) = (commit(1, &first), commit(2, &second));
    let bulk = bulk(&[first, second]);
    store.apply(&bulk).unwrap();
    let before = TABLES.map(|table| all_of(&store, table));
    store.apply(&bulk).unwrap();
    assert_eq!(TABLES.map(|table| all_of(&store, table)), before);
}

fn an_older_bulk_is_refused<S: Site>() {
    let site = S::new();
    let store = site.open();
    store.apply(&Bulk { epoch: Epoch(7), tables: Vec::new() }).unwrap();
    let error = store.apply(&bulk(&[commit(6, &[])])).unwrap_err();
    assert_eq!(error.kind(), Kind::Bug);
    assert_eq!(error.to_string(), "bulk ends at commit 6, the tables are at 7");
}

fn read_all(log: &dyn ReplayLog, after: u64) -> Vec<headwater_state::Commit> {
    let mut commits = Vec::new();
    log.read(Epoch(after), &mut |commit| {
        commits.push(commit);
        Ok(())
    })
    .unwrap();
    commits
}

fn commits_are_read_back_in_order<S: Site>() {
    let site = S::new();
    let log = site.open();
    assert_eq!(log.last().unwrap(), None);
    assert!(read_all(&log, 0).is_empty());
    let mut random = Random(1);
    let rows = |random: &mut Random| (0..40).map(|_| random_row(random)).collect::<Vec<_>>();
    let commits: Vec<_> = (1..=5).map(|epoch| commit(epoch, &rows(&mut random))).collect();
    for commit in &commits {
        log.append(commit).unwrap();
    }
    assert_eq!(read_all(&log, 0), commits);
    assert_eq!(read_all(&log, 3), commits[3..]);
    assert!(read_all(&log, 5).is_empty());
    let error = log.read(Epoch(0), &mut |_| Err(headwater_state::Error::record("enough"))).unwrap_err();
    assert_eq!(error.to_string(), "enough");
}

fn a_commit_out_of_order_is_refused<S: Site>() {
    let site = S::new();
    let log = site.open();
    log.append(&commit(1, &[])).unwrap();
    assert_eq!(log.append(&commit(3, &[])).unwrap_err().to_string(), "commit 3 does not follow the log's last, 1");
    assert_eq!(log.append(&commit(1, &[])).unwrap_err().kind(), Kind::Bug);
    let mut strange = commit(2, &[put(PLAIN, NONE, "a", "1")]);
    strange.blocks.extend(strange.blocks.clone());
    assert_eq!(log.append(&strange).unwrap_err().kind(), Kind::Bug);
    log.append(&commit(2, &[])).unwrap();
}

fn a_trimmed_log_keeps_its_newest_marker<S: Site>() {
    let site = S::new();
    let log = site.open();
    for epoch in 1..=4 {
        log.append(&commit(epoch, &[put(PLAIN, NONE, "a", "1")])).unwrap();
    }
    log.trim(Epoch(2)).unwrap();
    assert_eq!(read_all(&log, 0).len(), 2);
    log.trim(Epoch(9)).unwrap();
    assert!(read_all(&log, 0).is_empty());
    assert_eq!(log.last().unwrap(), Some((Epoch(4), marker(4))));
    drop(log);
    let log = site.open();
    assert_eq!(log.last().unwrap(), Some((Epoch(4), marker(4))));
    log.trim(Epoch(9)).unwrap();
    log.append(&commit(5, &[])).unwrap();
    assert_eq!(read_all(&log, 0), [commit(5, &[])], "what comes after a trim is not trimmed");
    drop(log);
    assert_eq!(read_all(&site.open(), 0), [commit(5, &[])]);
}

fn tables_and_log_outlive_the_store<S: Site>() {
    let site = S::new();
    let store = site.open();
    let commit = commit(1, &[put(PLAIN, NONE, "a", "1")]);
    store.append(&commit).unwrap();
    store.apply(&bulk(std::slice::from_ref(&commit))).unwrap();
    drop(store);
    let store = site.open();
    assert_eq!(store.durable(), Epoch(1));
    assert_eq!(all_of(&store, PLAIN).len(), 1);
    assert_eq!(read_all(&store, 0), [commit]);
}

fn recovery_brings_tables_level<S: Site>() {
    for slice_bytes in [0, 200, usize::MAX] {
        let site = S::new();
        let store = site.open();
        assert_eq!(recover(&store, &store).unwrap(), None);
        let mut random = Random(2);
        let mut model = Tables::new();
        for epoch in 1..=9 {
            let rows: Vec<Row> = (0..20).map(|_| random_row(&mut random)).collect();
            change_model(&mut model, &rows);
            store.append(&commit(epoch, &rows)).unwrap();
        }
        drop(store);
        let store = site.open();
        assert_eq!(recover_in_slices(&store, &store, slice_bytes).unwrap(), Some((Epoch(9), marker(9))));
        same(&store, &model).unwrap();
        assert!(read_all(&store, 0).is_empty());
        assert_eq!(recover(&store, &store).unwrap(), Some((Epoch(9), marker(9))));
    }
}

/// Every fault, at every call that recovery makes, with nothing, half or all of the call done: the next recovery gives
/// the same tables.
fn recovery_repairs_a_bulk_that_was_cut<S: Site>() {
    let calls = [(Call::Apply, 4), (Call::Read, 1), (Call::Last, 1), (Call::Trim, 1)];
    for (call, most) in calls {
        for (nth, done) in (1..=most).flat_map(|nth| [Done::Nothing, Done::Half, Done::All].map(|done| (nth, done))) {
            let site = S::new();
            let store = Faulty::new(site.open());
            let mut random = Random(3);
            let mut model = Tables::new();
            for epoch in 1..=4 {
                let rows: Vec<Row> = (0..30).map(|_| random_row(&mut random)).collect();
                change_model(&mut model, &rows);
                store.append(&commit(epoch, &rows)).unwrap();
            }
            store.fail(Fault { call, nth, done });
            assert_eq!(recover_in_slices(&store, &store, 0).unwrap_err().kind(), Kind::Unavailable);
            drop(store);
            let store = site.open();
            assert_eq!(recover(&store, &store).unwrap(), Some((Epoch(4), marker(4))));
            same(&store, &model).unwrap_or_else(|difference| panic!("{call:?} {nth} {done:?}: {difference}"));
        }
    }
}

fn write_behind_brings_tables_level<S: Site>() {
    let site = S::new();
    let store = Arc::new(site.open());
    let behind = WriteBehind::start(store.clone(), store.clone(), WriteBehindOptions { lag_bytes: 300 }).unwrap();
    let mut random = Random(4);
    let mut model = Tables::new();
    for epoch in 1..=40 {
        let rows: Vec<Row> = (0..5).map(|_| random_row(&mut random)).collect();
        change_model(&mut model, &rows);
        behind.commit(commit(epoch, &rows)).unwrap();
        assert!(behind.retained_bytes() < 600 + 2000, "retention is bounded");
    }
    behind.flush_and_wait().unwrap();
    assert_eq!((behind.durable(), behind.oldest_retained(), behind.retained_bytes()), (Epoch(40), None, 0));
    same(&*store, &model).unwrap();
    behind.close().unwrap();
    assert!(read_all(&*store, 0).is_empty());
}

fn write_behind_reports_what_stopped_it<S: Site>() {
    let site = S::new();
    let store = Arc::new(Faulty::new(site.open()));
    store.fail(Fault { call: Call::Apply, nth: 1, done: Done::Half });
    let behind = WriteBehind::start(store.clone(), store.clone(), WriteBehindOptions::default()).unwrap();
    let row = put(PLAIN, NONE, "a", "1");
    behind.commit(commit(1, std::slice::from_ref(&row))).unwrap();
    let error = behind.flush_and_wait().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::Unavailable, "write tables: a fault was asked for: Apply")
    );
    let error = behind.commit(commit(2, &[row])).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (Kind::Unavailable, "write tables: stopped earlier: a fault was asked for: Apply")
    );
    drop((behind, store));
    let store = site.open();
    assert_eq!(recover(&store, &store).unwrap(), Some((Epoch(1), marker(1))), "a refused commit is not in the log");
    assert_eq!(all_of(&store, PLAIN).len(), 1);
}

fn write_behind_starts_level_only<S: Site>() {
    let site = S::new();
    let store = Arc::new(site.open());
    store.append(&commit(1, &[])).unwrap();
    let start = || WriteBehind::start(store.clone(), store.clone(), WriteBehindOptions::default());
    assert_eq!(start().unwrap_err().to_string(), "tables are at commit 0 and the log at 1: recover first");
    recover(&*store, &*store).unwrap();
    drop(start().unwrap());
}
