//! What the storage tests share: a way to write commits down, a model to compare with, and seeded randomness.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use headwater_state::block::{BlockWriter, Change};
use headwater_state::{Bulk, Commit, Epoch, Namespace, Shard, Store, end_of_prefix};

pub const TABLES: [&str; 2] = ["counts", "panes"];
pub const PLAIN: &str = "counts";
pub const WINDOWED: &str = "panes";

/// One change to one table.
#[derive(Clone, Debug)]
pub struct Row {
    pub table: &'static str,
    pub shard: u16,
    pub namespace: Namespace,
    pub change: Owned,
}

#[derive(Clone, Debug)]
pub enum Owned {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Drop,
}

pub fn put(table: &'static str, namespace: Namespace, key: &str, value: &str) -> Row {
    Row { table, shard: 0, namespace, change: Owned::Put(key.into(), value.into()) }
}

pub fn delete(table: &'static str, namespace: Namespace, key: &str) -> Row {
    Row { table, shard: 0, namespace, change: Owned::Delete(key.into()) }
}

pub fn drop_all(table: &'static str, namespace: Namespace) -> Row {
    Row { table, shard: 0, namespace, change: Owned::Drop }
}

/// The commit of `epoch` that makes these changes in this order. Its marker says the epoch.
pub fn commit(epoch: u64, rows: &[Row]) -> Commit {
    let mut writers: BTreeMap<u16, BlockWriter> = BTreeMap::new();
    for row in rows {
        let writer = writers.entry(row.shard).or_insert_with(|| BlockWriter::new(Shard(row.shard), Epoch(epoch)));
        writer.section(row.table, row.namespace);
        writer.push(match &row.change {
            Owned::Put(key, value) => Change::Put(key, value),
            Owned::Delete(key) => Change::Delete(key),
            Owned::Drop => Change::Drop,
        });
    }
    let blocks = writers.into_values().flat_map(BlockWriter::finish).collect();
    Commit { epoch: Epoch(epoch), blocks, marker: marker(epoch) }
}

pub fn marker(epoch: u64) -> Vec<u8> {
    format!("marker {epoch}").into_bytes()
}

pub fn bulk(commits: &[Commit]) -> Bulk {
    Bulk::merge(commits).unwrap()
}

/// A table's key as it is stored.
pub fn stored(shard: u16, namespace: Namespace, key: &[u8]) -> Vec<u8> {
    [namespace.prefix(Shard(shard)), key.to_vec()].concat()
}

/// What the tables must hold.
pub type Tables = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>;

pub fn change_model(model: &mut Tables, rows: &[Row]) {
    for row in rows {
        let table = model.entry(row.table).or_default();
        match &row.change {
            Owned::Put(key, value) => {
                table.insert(stored(row.shard, row.namespace, key), value.clone());
            }
            Owned::Delete(key) => {
                table.remove(&stored(row.shard, row.namespace, key));
            }
            Owned::Drop => {
                let prefix = row.namespace.prefix(Shard(row.shard));
                let end = end_of_prefix(&prefix);
                table.retain(|key, _| *key < prefix || *key >= end);
            }
        }
    }
}

/// All that a store holds of a table, read by a scan.
pub fn all_of(store: &dyn Store, table: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rows = BTreeMap::new();
    store
        .scan(table, &[], &[0xff; 16], &mut |key, value| {
            assert!(rows.insert(key.to_vec(), value.to_vec()).is_none(), "a key is visited twice");
            ControlFlow::Continue(())
        })
        .unwrap();
    rows
}

/// Compares a store with a model, by scans and by point reads.
pub fn same(store: &dyn Store, model: &Tables) -> Result<(), String> {
    for table in TABLES {
        let expected = model.get(table).cloned().unwrap_or_default();
        let found = all_of(store, table);
        if found != expected {
            return Err(format!("scan of {table}: found {found:?}, expected {expected:?}"));
        }
        let mut keys: Vec<Vec<u8>> = expected.keys().cloned().collect();
        keys.extend(expected.keys().map(|key| [key.as_slice(), b"?"].concat()));
        keys.sort();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        for (key, value) in keys.iter().zip(store.multi_get(table, &keys).unwrap()) {
            if value.as_ref() != expected.get(*key) {
                return Err(format!("read of {table} {key:?}: found {value:?}"));
            }
        }
    }
    Ok(())
}

/// A seed from `HEADWATER_SEED`, or a new one; printed, so that a failure can be repeated.
#[expect(clippy::disallowed_methods, reason = "every run draws another seed")]
pub fn seed() -> u64 {
    let seed = match std::env::var("HEADWATER_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    println!("HEADWATER_SEED={seed}");
    seed
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A random change: few shards, windows and keys, so that changes meet.
pub fn random_row(random: &mut Random) -> Row {
    let windowed = random.below(2) == 0;
    let namespace = if windowed { Namespace::window(random.below(3) as i64 - 1) } else { Namespace::NONE };
    let key = match random.below(3) {
        0 => format!("k{}", random.below(12)),
        1 => format!("user-with-a-long-name-{}", random.below(6)),
        _ => "\0".repeat(random.below(4) as usize),
    };
    let change = match random.below(24) {
        0 => Owned::Drop,
        1..5 => Owned::Delete(key.into()),
        _ => Owned::Put(key.into(), random.next().to_string().into()),
    };
    Row { table: if windowed { WINDOWED } else { PLAIN }, shard: random.below(3) as u16, namespace, change }
}
