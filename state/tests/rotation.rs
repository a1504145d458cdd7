//! A log read from the start of a complete rotation restores the shard, whatever happened meanwhile.
#![cfg(test)]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use headwater_state::{
    BlockLog, Commit, Epoch, LocalOptions, LocalState, MemoryStore, Namespace, Shard, State, Store, Table, WriteBehind,
    WriteBehindOptions, recover,
};
use proptest::prelude::*;

const PANES: Table<String, u64> = Table::new("panes");
const NAMES: Table<u32, String> = Table::new("names");
const SHARDS: u16 = 2;

#[derive(Clone, Debug)]
enum Step {
    Put { window: i64, key: u32, value: u64 },
    Delete { window: i64, key: u32 },
    DropWindow { window: i64 },
    Name { key: u32 },
    Commit,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4i64, 0..60u32, any::<u64>()).prop_map(|(window, key, value)| Step::Put { window, key, value }),
        2 => (0..4i64, 0..60u32).prop_map(|(window, key)| Step::Delete { window, key }),
        1 => (0..4i64).prop_map(|window| Step::DropWindow { window }),
        2 => (0..200u32).prop_map(|key| Step::Name { key }),
        2 => Just(Step::Commit),
        1 => Just(Step::Flush),
    ]
}

struct Shop {
    store: MemoryStore,
    write_behind: WriteBehind,
    local: LocalState,
    panes: State<String, u64>,
    names: State<u32, String>,
    epoch: Epoch,
    /// Everything ever committed: what a changelog that nobody trims would hold.
    log: Vec<Commit>,
}

impl Shop {
    fn open() -> Self {
        let store = MemoryStore::default();
        let shared = Arc::new(store.clone());
        let options = WriteBehindOptions { lag_bytes: usize::MAX / 4 };
        let write_behind = WriteBehind::start(shared.clone(), shared.clone(), options).unwrap();
        let local = LocalState::new(
            shared,
            LocalOptions {
                shards: SHARDS,
                owned: (0..SHARDS).map(Shard).collect(),
                committed: Epoch(0),
                memory_bytes: 2_000,
            },
            Vec::new(),
        );
        let panes = local.open(PANES.in_windows());
        let names = local.open(NAMES);
        Self { store, write_behind, local, panes, names, epoch: Epoch(0), log: Vec::new() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Put { window, key, value } => {
                self.panes.put(Namespace::window(*window), &key.to_string(), *value).unwrap();
            }
            Step::Delete { window, key } => {
                self.panes.delete(Namespace::window(*window), &key.to_string()).unwrap();
            }
            Step::DropWindow { window } => {
                for shard in (0..SHARDS).map(Shard) {
                    self.panes.drop_namespace(shard, Namespace::window(*window)).unwrap();
                }
            }
            Step::Name { key } => self.names.put(Namespace::NONE, key, format!("name {key}")).unwrap(),
            Step::Commit => self.commit(),
            Step::Flush => self.write_behind.flush_and_wait().unwrap(),
        }
    }

    fn commit(&mut self) {
        self.panes.checkpoint().unwrap();
        self.names.checkpoint().unwrap();
        let changes = self.local.finish_epoch().unwrap();
        self.epoch = self.epoch.next();
        let commit = Commit { epoch: self.epoch, blocks: changes.blocks, marker: Vec::new() };
        self.log.push(commit.clone());
        self.write_behind.commit(commit).unwrap();
        self.local.begin_epoch();
        self.panes.maintain();
        self.names.maintain();
    }

    fn rotations_complete(&self) -> bool {
        (0..SHARDS).all(|shard| self.local.rotation(Shard(shard)).unwrap().complete)
    }
}

fn everything(store: &impl Store) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let mut all = BTreeMap::new();
    for table in ["names", "panes"] {
        store
            .scan(table, &[], &[0xff, 0xff], &mut |key, value| {
                all.insert((table.to_owned(), key.to_vec()), value.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn a_log_from_the_start_of_a_rotation_restores_the_tables(
        before in prop::collection::vec(step(), 0..120),
        during in prop::collection::vec(step(), 0..200),
    ) {
        let mut shop = Shop::open();
        before.iter().for_each(|step| shop.take(step));
        shop.commit();
        shop.write_behind.flush_and_wait().unwrap();
        (0..SHARDS).for_each(|shard| shop.local.begin_rotation(Shard(shard)).unwrap());
        let start = shop.epoch;
        during.iter().for_each(|step| shop.take(step));
        for _ in 0..100 {
            shop.commit();
            if shop.rotations_complete() {
                break;
            }
        }
        prop_assert!(shop.rotations_complete());
        shop.write_behind.flush_and_wait().unwrap();

        // Only what was logged since the rotation's start, into empty tables.
        let restored = MemoryStore::default();
        for (at, commit) in shop.log.iter().filter(|commit| commit.epoch > start).enumerate() {
            // The copy counts its own commits from one.
            let epoch = Epoch(at as u64 + 1);
            let blocks = commit.blocks.iter().map(|block| renumbered(block, epoch)).collect();
            restored.append(&Commit { epoch, blocks, marker: Vec::new() }).unwrap();
        }
        recover(&restored, &restored).unwrap();
        prop_assert_eq!(everything(&restored), everything(&shop.store));
    }
}

/// The same block in another epoch.
fn renumbered(block: &headwater_state::Block, epoch: Epoch) -> headwater_state::Block {
    let mut bytes = block.bytes.to_vec();
    bytes[3..11].copy_from_slice(&epoch.0.to_be_bytes());
    let end = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_be_bytes());
    headwater_state::Block { shard: block.shard, bytes: bytes.into() }
}
