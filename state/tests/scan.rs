//! Walking and dropping namespaces while their values leave the memory.

#![cfg(test)]

use std::sync::Arc;

use headwater_state::{
    BlockLog, Commit, Epoch, LocalOptions, LocalState, MemoryStore, Namespace, Result, Shard, State, Table, recover,
};

const COUNTS: Table<u32, u64> = Table::new("counts");

/// A worker with one shard and room for about `values` values.
fn worker(store: &MemoryStore, values: usize) -> LocalState {
    let options = LocalOptions { shards: 1, owned: vec![Shard(0)], committed: Epoch(0), memory_bytes: values * 64 };
    LocalState::new(Arc::new(store.clone()), options, Vec::new())
}

/// Commits what changed and brings the tables up to it.
fn commit(local: &LocalState, state: &mut State<u32, u64>, store: &MemoryStore) -> Result<()> {
    state.checkpoint()?;
    let changes = local.finish_epoch()?;
    store.append(&Commit { epoch: local.epoch(), blocks: changes.blocks, marker: Vec::new() })?;
    local.begin_epoch();
    recover(store, store).map(|_| ())
}

#[test]
fn keys_evicted_during_a_walk_are_still_visited() -> Result<()> {
    let store = MemoryStore::new();
    let local = worker(&store, 4);
    let mut state = local.open(COUNTS);
    for key in 0..100 {
        state.put(Namespace::NONE, &key, u64::from(key))?;
    }
    // Everything is in memory when the walk begins, and nothing is stored.
    let mut scan = state.scan(Shard(0), Namespace::NONE, None)?;
    let mut visited = Vec::new();
    let mut visit = |key, _: &u64| {
        visited.push(key);
        Ok(())
    };
    assert!(state.scan_next(&mut scan, 10, &mut visit)?);
    commit(&local, &mut state, &store)?;
    state.maintain();
    state.maintain();
    assert!(local.used_bytes() <= 4 * 64, "{} bytes are still used", local.used_bytes());
    while state.scan_next(&mut scan, 7, &mut visit)? {}
    assert_eq!(visited, (0..100).collect::<Vec<u32>>());
    Ok(())
}

#[test]
fn what_was_dropped_stays_so_when_a_look_up_leaves_the_memory() -> Result<()> {
    let store = MemoryStore::new();
    let local = worker(&store, 0);
    let mut state = local.open(COUNTS);
    state.put(Namespace::NONE, &1, 7)?;
    commit(&local, &mut state, &store)?;
    state.drop_namespace(Shard(0), Namespace::NONE)?;
    // Nothing is there; that much is remembered, and then evicted, while the store still has the old values.
    assert_eq!(state.get(Namespace::NONE, &2)?, None);
    state.maintain();
    state.maintain();
    assert_eq!(local.used_bytes(), 0);
    assert_eq!(state.get(Namespace::NONE, &1)?, None);
    Ok(())
}

#[test]
fn keys_that_come_and_go_leave_nothing_in_memory() -> Result<()> {
    let store = MemoryStore::new();
    let local = worker(&store, 1_000_000);
    let mut state = local.open(COUNTS);
    for first in (0..10_000).step_by(100) {
        for key in first..first + 100 {
            state.put(Namespace::NONE, &key, 7)?;
        }
        commit(&local, &mut state, &store)?;
        for key in first..first + 100 {
            state.delete(Namespace::NONE, &key)?;
        }
        // One comes back before its deletion is committed, and one after.
        state.put(Namespace::NONE, &first, 8)?;
        state.maintain();
        assert_eq!(state.get(Namespace::NONE, &(first + 1))?, None, "the store has it still");
        commit(&local, &mut state, &store)?;
        state.put(Namespace::NONE, &(first + 2), 9)?;
        state.maintain();
        assert_eq!(state.get(Namespace::NONE, &first)?, Some(&8));
        assert_eq!(state.get(Namespace::NONE, &(first + 2))?, Some(&9));
        state.delete(Namespace::NONE, &first)?;
        state.delete(Namespace::NONE, &(first + 2))?;
        commit(&local, &mut state, &store)?;
        state.maintain();
        assert_eq!(local.used_bytes(), 0);
    }
    Ok(())
}
