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

use std::process::{Command, ExitCode};

use common::bars::Bars;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Workload = fn(&mut Bars);

const WORKLOADS: [(&str, Workload); 9] = [
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
        [name] => {
            let Some((_, workload)) = WORKLOADS.iter().find(|(other, _)| other == name) else {
                println!("there is no workload {name}; there are {}", WORKLOADS.map(|(name, _)| name).join(", "));
                return ExitCode::FAILURE;
            };
            let mut bars = Bars::default();
            workload(&mut bars);
            bars.verdict()
        }
        [] => each_alone(&WORKLOADS.map(|(name, _)| name)),
        several => each_alone(several),
    }
}

/// Runs workloads in processes of their own, so that none has what another one left.
fn each_alone(names: &[&str]) -> ExitCode {
    Bars::head();
    let run = |name: &&str| Command::new(std::env::current_exe().unwrap()).arg(name).status().unwrap().success();
    // All of them run, whether or not one misses a bar.
    let missed = names.iter().filter(|name| !run(name)).count();
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
