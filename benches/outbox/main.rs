//! What an outbox costs, with nothing to do, on the way and while a server is down: CPU time, memory, and how fast it
//! goes on.
//!
//! `make bench BENCH_ARGS=outbox`, or
//! `cargo bench -p headwater-benches --features webhook --bench outbox [-- items|webhook|rest|filtered|memory|growth|lanes|drain|throttle …]`.
//! Pin it to one core (`taskset -c 0`) for figures to compare: `dev/bench` does. It fails where a bar is missed.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

#[path = "../common/mod.rs"]
mod common;
mod down;
mod idle;
mod items;
mod jobs;
mod memory;
mod receiver;
mod tap;

use std::process::ExitCode;

use common::workloads::{self, Workload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WORKLOADS: [Workload; 9] = [
    ("items", items::embedded),
    ("webhook", items::webhook),
    ("rest", idle::at_rest),
    ("filtered", idle::filtered),
    ("memory", memory::measure),
    ("growth", down::growth),
    ("lanes", down::lanes),
    ("drain", down::drain),
    ("throttle", down::throttle),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [receiver::NAME] => receiver::run(),
        [memory::NAME, items, is_ordered, memory_mb] => {
            memory::run(items.parse().unwrap(), is_ordered.parse().unwrap(), memory_mb.parse().unwrap())
        }
        named => workloads::run(&WORKLOADS, named),
    }
}
