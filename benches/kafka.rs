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

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use common::bars::{Bars, Rounds, Run, median};
use common::cpu;
use headwater::format::{Decode, RawRecord};
use headwater::kafka::{Kafka, KafkaSource, KafkaTopic};
use headwater::prelude::*;
use headwater::source::{Poll, Polled, Source};
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
        raw.push(read(&topic));
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

/// Looks at the length of values alone.
#[derive(Clone)]
struct Length;

impl Decode<usize> for Length {
    fn decode(&self, payload: &[u8]) -> headwater::Result<usize> {
        Ok(payload.len())
    }

    fn decode_record(&self, record: &dyn RawRecord) -> headwater::Result<usize> {
        Ok(record.value().map_or(0, <[u8]>::len))
    }
}

fn read(topic: &KafkaTopic) -> Run {
    let source = KafkaSource::new(topic.clone(), Length);
    let (began, before) = (Instant::now(), cpu());
    let mut partition = source.open("0", None).unwrap();
    let mut polled = Polled::default();
    let mut records = 0;
    loop {
        polled.records.clear();
        match partition.poll(&mut polled, 1024).unwrap() {
            Poll::Records => records += polled.records.len() as u64,
            Poll::Wait(wait) => std::thread::sleep(wait),
            Poll::Quiet => panic!("it is read until its end"),
            Poll::End => break,
        }
    }
    assert_eq!(records, RECORDS, "the run is void");
    Run { records, wall: began.elapsed(), cpu: cpu() - before }
}
