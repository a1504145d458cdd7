//! The flagship, count per user and day with an alert once past ten: CPU time per record on one worker, and its bars.
//!
//! `make bench`, or `cargo bench -p headwater-benches --bench flagship [-- memory|keys|files|budget|growth|close …]`.
//! Pin it to one core (`taskset -c 0`) for figures to compare: `dev/bench` does. It fails where a bar is missed.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the benchmark of Kafka takes the rest")]
mod jobs;
mod memory;

use std::process::ExitCode;

use common::bars::{Bars, Rounds, median};
use common::workloads::{self, Workload};
use common::{peak_rss_mb, user_count};
use jobs::Transactions;
use memory::memory;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 5;

const WORKLOADS: [Workload; 6] = [
    ("memory", memory_rounds),
    ("keys", key_counts),
    ("files", files),
    ("budget", budget),
    ("growth", growth),
    ("close", close),
];

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    workloads::run(&WORKLOADS, &wanted.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Typed rows in memory, twice the same in each round: their difference is what two equal runs differ by.
fn memory_rounds(bars: &mut Bars) {
    let mut rounds = [Rounds::of("typed rows in memory, 1 M users"), Rounds::of("the same again")];
    for _ in 0..ROUNDS {
        for same in &mut rounds {
            same.push(memory(10_000_000, 1_000_000));
        }
    }
    for same in &rounds {
        same.print();
    }
    bars.at_most("typed rows in memory", median(&rounds[0].cpu_ns()), 300.0, "ns");
    for users in [1_000, 10_000, 100_000, 10_000_000] {
        let mut rounds = Rounds::of(format!("typed rows in memory, {} users", user_count(users)));
        rounds.push(memory(20_000_000, users));
        rounds.print();
    }
}

/// From files of JSON Lines with few users and with many, in turns, and the latter within a tenth of their memory.
fn key_counts(bars: &mut Bars) {
    const RECORDS: u64 = 20_000_000;
    let few = Transactions::write(RECORDS, 1_000);
    let many = Transactions::write(RECORDS, 10_000_000);
    let (mut few_runs, mut many_runs) =
        (Rounds::of("JSON Lines, 1 k users, 4 GB"), Rounds::of("JSON Lines, 10 M users, 4 GB"));
    for round in 0..ROUNDS {
        let few_first = round % 2 == 0;
        if few_first {
            few_runs.push(few.run(4 << 30));
        }
        many_runs.push(many.run(4 << 30));
        if !few_first {
            few_runs.push(few.run(4 << 30));
        }
    }
    let mut tight = Rounds::of("JSON Lines, 10 M users, 256 MB");
    tight.push(many.run(256 << 20));
    few_runs.print();
    many_runs.print();
    tight.print();
    let base = median(&few_runs.cpu_ns());
    bars.at_most("10 M users to 1 k users", median(&many_runs.cpu_ns()) / base, 2.5, "times");
    bars.at_most("10 M users with 256 MB to 1 k users", median(&tight.cpu_ns()) / base, 5.0, "times");
}

fn files(bars: &mut Bars) {
    let transactions = Transactions::write(5_000_000, 1_000_000);
    let mut rounds = Rounds::of(format!("JSON Lines of {} bytes, 1 M users", transactions.bytes_each()));
    for _ in 0..ROUNDS {
        rounds.push(transactions.run(1 << 30));
    }
    rounds.print();
    bars.at_most("JSON Lines, exactly once", median(&rounds.cpu_ns()), 900.0, "ns");
}

fn budget(bars: &mut Bars) {
    let mut rounds = Rounds::of("generated rows, 10 M users, 256 MB");
    rounds.push(jobs::generated(30_000_000, 10_000_000, 256 << 20).run);
    rounds.print();
    bars.at_most("peak of resident memory with 256 MB", peak_rss_mb() as f64, 700.0, "MB");
}

fn growth(bars: &mut Bars) {
    let mut rounds = Rounds::of("generated rows, steady 100 k users");
    let steady = jobs::generated(50_000_000, 100_000, 256 << 20);
    rounds.push(steady.run);
    rounds.print();
    // What an epoch needs varies with the machine's pace: more than a fifth, or 16 MB, would be growth.
    let early = steady.early_rss_mb as f64;
    bars.at_most(
        format!("resident memory at the end, {early} MB after a fifth"),
        steady.late_rss_mb as f64,
        (early * 1.2).max(early + 16.0),
        "MB",
    );
}

fn close(bars: &mut Bars) {
    let mut rounds = Rounds::of("panes closed at one instant");
    let closed = jobs::close(5_000_000);
    rounds.push(closed.run);
    rounds.print();
    let longest = closed.longest.as_secs_f64() * 1e3;
    bars.at_most(format!("the longest of {} epochs while they closed", closed.epochs), longest, 1000.0, "ms");
}
