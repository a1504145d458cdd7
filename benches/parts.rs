//! The parts of the budget on their own: key hash, group lookup and update, block encoding, JSON decoding.
//!
//! `cargo bench -p headwater-benches --bench parts`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

mod common;

use std::hint::black_box;
use std::sync::Arc;

use common::{Transaction, cpu, transaction, user};
use headwater::format::{Decode, Json};
use headwater::prelude::*;
use headwater::state::{Epoch, LocalOptions, LocalState, Lookup, MemoryStore, Namespace, Shard, SlotId, State};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 1024;
const PANES: Table<Text, (u8, u64)> = Table::new("panes");

fn main() {
    println!("{:<44} {:>10} {:>10}", "part", "CPU ns", "budget");
    let keys: Vec<Text> = (0..2_000_000).map(|n| user(n, 1_000_000)).collect();
    hash(&keys);
    table(&keys);
    json();
}

fn report(name: &str, count: u64, used: Duration, budget: &str) {
    println!("{name:<44} {:>10.1} {budget:>10}", used.as_nanos() as f64 / count as f64);
}

/// Runs `work` on all keys again and again for at least a second of CPU time.
fn measure(count: usize, mut work: impl FnMut()) -> (u64, Duration) {
    let before = cpu();
    let mut rounds = 0;
    while cpu() - before < Duration::from_secs(1) {
        work();
        rounds += 1;
    }
    (rounds * count as u64, cpu() - before)
}

fn hash(keys: &[Text]) {
    let (count, used) = measure(keys.len(), || {
        black_box(keys.iter().map(Key::hash64).fold(0, u64::wrapping_add));
    });
    report("hash of a 13-byte key", count, used, "");
}

struct Panes {
    local: LocalState,
    state: State<Text, (u8, u64)>,
    found: Vec<SlotId>,
}

impl Panes {
    fn open() -> Self {
        let options = LocalOptions {
            shards: 32,
            owned: (0..32).map(Shard).collect(),
            committed: Epoch(0),
            memory_bytes: usize::MAX / 2,
        };
        let local = LocalState::new(Arc::new(MemoryStore::default()), options, Vec::new());
        let state = local.open(PANES.in_windows());
        Self { local, state, found: Vec::new() }
    }

    fn locate(&mut self, keys: &[Text], hashes: &[u64]) {
        let namespace = Namespace::window(86_400_000_000);
        let lookups = hashes.iter().enumerate().map(|(row, &hash)| Lookup { row: row as u32, namespace, hash });
        self.state.locate(lookups, keys, &mut self.found).unwrap();
    }

    fn update(&mut self) {
        for id in &self.found {
            self.state.change(*id).get_or_insert((0, 0)).1 += 1;
        }
    }
}

fn table(keys: &[Text]) {
    let hashes: Vec<u64> = keys.iter().map(Key::hash64).collect();
    let mut panes = Panes::open();
    let batches = || keys.chunks(BATCH).zip(hashes.chunks(BATCH));
    for (keys, hashes) in batches() {
        panes.locate(keys, hashes);
        panes.update();
    }
    panes.state.checkpoint().unwrap();
    drop(panes.local.finish_epoch().unwrap());
    panes.local.begin_epoch();

    let (count, used) = measure(keys.len(), || {
        for (keys, hashes) in batches() {
            panes.locate(keys, hashes);
        }
    });
    report("group lookup, 1 M keys, batches of 1024", count, used, "113");
    let (both_count, both) = measure(keys.len(), || {
        for (keys, hashes) in batches() {
            panes.locate(keys, hashes);
            panes.update();
        }
    });
    let lookup = used.as_nanos() as f64 / count as f64;
    let update = (both.as_nanos() as f64 / both_count as f64 - lookup).max(0.0);
    println!("{:<44} {update:>10.1} {:>10}", "table update on top of it", "");
    encode(&mut panes, batches().map(|(keys, hashes)| (keys.to_vec(), hashes.to_vec())).collect());
}

/// Encodes a million changed values, after changing them off the clock.
fn encode(panes: &mut Panes, batches: Vec<(Vec<Text>, Vec<u64>)>) {
    let (mut count, mut used, mut bytes) = (0, Duration::ZERO, 0);
    while used < Duration::from_secs(1) {
        for (keys, hashes) in &batches {
            panes.locate(keys, hashes);
            panes.update();
        }
        let before = cpu();
        panes.state.checkpoint().unwrap();
        let changes = panes.local.finish_epoch().unwrap();
        used += cpu() - before;
        bytes = changes.blocks.iter().map(|block| block.bytes.len()).sum();
        count += 864_665; // distinct keys among two million draws of a million
        panes.local.begin_epoch();
    }
    report("block encoding per changed key", count, used, "70-160");
    println!("{:<44} {:>10.1}", "  bytes per changed key", bytes as f64 / 864_665.0);
}

fn json() {
    let lines: Vec<Vec<u8>> = (0..100_000)
        .map(|n| {
            let tx = transaction(n, 1_000_000);
            format!(
                r#"{{"id":{},"user":"{}","at":{},"amount":{},"currency":"{}","merchant":"{}","channel":"{}","status":"{}"}}"#,
                tx.id, tx.user, tx.at.as_millis(), tx.amount, tx.currency, tx.merchant, tx.channel, tx.status
            )
            .into_bytes()
        })
        .collect();
    let length = lines.iter().map(Vec::len).sum::<usize>() / lines.len();
    let (count, used) = measure(lines.len(), || {
        for line in &lines {
            black_box::<Transaction>(Json.decode(line).unwrap());
        }
    });
    report(&format!("JSON decoding of {length} bytes, 8 fields"), count, used, "216");
}
