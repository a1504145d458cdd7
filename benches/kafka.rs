//! Reading Kafka: CPU time per record of the raw batch loop, and of the flagship; both as a ratio of the same run.
//!
//! Needs a broker: `dev/kafka start`, or `KAFKA_BROKERS=host:port`.
//! `taskset -c 0 cargo bench -p headwater-benches --features kafka --bench kafka`, with the broker on another core.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

mod common;
#[allow(dead_code, reason = "the flagship's own benchmark takes the rest")]
#[path = "flagship/jobs.rs"]
mod jobs;
#[path = "common/raw.rs"]
mod raw;

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use common::bars::{Bars, Rounds, median};
use headwater::kafka::Kafka;
use headwater::prelude::*;
use jobs::Transactions;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 3_000_000;
const ROUNDS: usize = 5;
const MEMORY_BYTES: usize = 1 << 30;

fn main() -> ExitCode {
    let brokers = std::env::var("KAFKA_BROKERS").unwrap_or_else(|_| "127.0.0.1:19092".to_owned());
    let transactions = Transactions::write(RECORDS, 1_000_000);
    let name = format!("bench-{}", std::process::id());
    load(&brokers, &name, &transactions.file());
    let topic = Kafka::at(&brokers).topic(&name).until_end();

    let each = transactions.bytes_each();
    let mut raw = Rounds::of(format!("raw batch loop, {each} bytes"));
    let mut flagship = Rounds::of("flagship from Kafka, 1 M users, 1 s");
    let mut files = Rounds::of("the same from JSON Lines");
    for _ in 0..ROUNDS {
        raw.push(raw::read(&topic, RECORDS));
        flagship.push(transactions.run_from(Input::Kafka(topic.clone()), MEMORY_BYTES));
        files.push(transactions.run(MEMORY_BYTES));
    }
    Bars::head();
    for rounds in [&raw, &flagship, &files] {
        rounds.print();
    }
    let mut bars = Bars::default();
    let ratio = median(&flagship.cpu_ns()) / median(&raw.cpu_ns());
    bars.at_most("flagship from Kafka to the raw batch loop", ratio, 4.2, "times");
    tool(&brokers, &["topics", "--delete", "--topic", &name], Stdio::null());
    bars.verdict()
}

/// Writes the lines of a file to a new topic of one partition.
fn load(brokers: &str, topic: &str, file: &Path) {
    tool(brokers, &["topics", "--create", "--topic", topic, "--partitions", "1"], Stdio::null());
    let producer = ["console-producer", "--topic", topic, "--producer-property", "batch.size=500000"];
    tool(brokers, &producer, File::open(file).unwrap().into());
}

fn tool(brokers: &str, arguments: &[&str], input: Stdio) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("dev/kafka");
    let mut tool = Command::new(script);
    tool.arg("tool").args(arguments).args(["--bootstrap-server", brokers]).stdin(input).stdout(Stdio::null());
    assert!(tool.status().unwrap().success(), "a broker at {brokers}: dev/kafka start");
}
