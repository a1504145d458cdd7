//! Kafka as the job's source, output and log: CPU time per record as a ratio to the raw batch loop of the same run,
//! how long a result takes at half load, and how long state takes to come back.
//!
//! Needs a broker: `dev/kafka start`, or `KAFKA_BROKERS=host:port`.
//! `taskset -c 0 cargo bench -p headwater-benches --features kafka --bench kafka [-- throughput|latency|restore …]`,
//! with the broker on another core: `dev/bench kafka [throughput|latency|restore]` does that, but for `restore`, which has all
//! cores. It fails where a bar is missed.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

mod cluster;
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the flagship's own benchmark takes the rest")]
#[path = "../flagship/jobs.rs"]
mod jobs;
mod latency;
mod open_loop;
#[path = "../common/raw.rs"]
mod raw;
mod restore;
mod throughput;

use std::process::ExitCode;

use cluster::Cluster;
use common::bars::Bars;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Workload = fn(&Cluster, &mut Bars);

const WORKLOADS: [(&str, Workload); 3] =
    [("throughput", throughput::measure), ("latency", latency::measure), ("restore", restore::measure)];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [open_loop::NAME, topics @ ..] = arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        return open_loop::run(&Cluster::of_environment(), topics);
    }
    if let Some(name) = arguments.iter().find(|name| WORKLOADS.iter().all(|(known, _)| known != name)) {
        println!("there is no workload {name}; there are {}", WORKLOADS.map(|(name, _)| name).join(", "));
        return ExitCode::FAILURE;
    }
    let cluster = Cluster::of_environment();
    let mut bars = Bars::default();
    for (name, workload) in WORKLOADS {
        if arguments.is_empty() || arguments.iter().any(|wanted| wanted == name) {
            workload(&cluster, &mut bars);
        }
    }
    bars.verdict()
}
