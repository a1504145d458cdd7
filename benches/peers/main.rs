//! The flagship beside a peer, from a broker and to it: CPU time per record, and how long a kill is felt.
//!
//! `dev/bench-peers` builds the peer, starts a broker, and runs this with what it needs in the environment.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

mod alerts;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod process;
#[path = "../common/raw.rs"]
mod raw;
mod recovery;
mod systems;
mod throughput;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use cluster::Cluster;
use headwater::kafka::Kafka;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Headwater beside Kafka Streams
#[derive(Parser)]
struct Options {
    /// What is measured
    #[arg(default_value = "throughput")]
    what: What,

    /// Transactions
    #[arg(long, default_value_t = 4_000_000)]
    records: u64,

    /// Users they are of
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,

    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Rounds of Kafka Streams, which take the most time, if it is to have fewer
    #[arg(long)]
    peer_rounds: Option<usize>,

    /// Write the transactions without the user as their key, so that Kafka Streams needs a repartition topic
    #[arg(long)]
    unkeyed: bool,

    /// Where they are: set for the process of the raw loop
    #[arg(long, hide = true, default_value = "transactions")]
    topic: String,

    /// Cargo gives it
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// CPU time per record
    Throughput,
    /// The time from kill -9 to the first alert of the process that was started at once
    Recovery,
    /// The raw batch loop, in this process
    #[value(hide = true)]
    Raw,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let cluster = Cluster::of_environment();
    match options.what {
        What::Throughput => throughput::compare(&cluster, &options),
        What::Recovery => recovery::compare(&cluster, &options),
        What::Raw => {
            let topic = Kafka::at(cluster.brokers()).topic(&options.topic).until_end();
            let run = raw::read(&topic, options.records);
            println!("{} {}", run.cpu.as_nanos(), run.wall.as_nanos());
            ExitCode::SUCCESS
        }
    }
}

impl Options {
    fn peer_rounds(&self) -> usize {
        self.peer_rounds.unwrap_or(self.rounds)
    }
}

/// What `dev/bench-peers` sets.
fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("there is no {name}: run dev/bench-peers"))
}
