//! The flagship from a topic, into files and back to a topic.

use std::time::Duration;

use headwater::prelude::*;

use crate::cluster::Cluster;
use crate::common::bars::{Bars, Rounds, Run, median};
use crate::jobs::{Transactions, options};
use crate::raw;

const RECORDS: u64 = 3_000_000;
const ROUNDS: usize = 5;
const MEMORY_BYTES: usize = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);

/// What the flagship reads and writes.
struct Place<'a> {
    cluster: &'a Cluster,
    transactions: &'a Transactions,
    /// The topic with the transactions, and what the names of all others begin with.
    name: &'a str,
}

/// Runs everything in turns, prints the medians and judges them.
pub fn measure(cluster: &Cluster, bars: &mut Bars) {
    let transactions = Transactions::write(RECORDS, 1_000_000);
    let name = Cluster::unused("flagship");
    cluster.load(&name, &transactions.file());
    let topic = cluster.kafka().topic(&name).until_end();
    let place = Place { cluster, transactions: &transactions, name: &name };

    let mut raw = Rounds::of(format!("raw batch loop, {} bytes", transactions.bytes_each()));
    let mut kafka = Rounds::of("flagship from Kafka to Kafka, 1 M users, 1 s");
    let mut often = Rounds::of("the same, 200 ms");
    let mut to_file = Rounds::of("flagship from Kafka to a file, 1 s");
    let mut files = Rounds::of("the same from JSON Lines");
    let mut jobs = Vec::new();
    for round in 0..ROUNDS {
        raw.push(raw::read(&topic, RECORDS));
        for (interval, rounds) in [(SECOND, &mut kafka), (SECOND / 5, &mut often)] {
            let job = format!("{name}-{round}-{}ms", interval.as_millis());
            rounds.push(place.kafka_to_kafka(interval, &job));
            jobs.push(job);
        }
        to_file.push(transactions.run_from(Input::Kafka(topic.clone()), MEMORY_BYTES));
        files.push(transactions.run(MEMORY_BYTES));
    }
    Bars::head();
    for rounds in [&raw, &kafka, &often, &to_file, &files] {
        rounds.print();
    }
    let cpu = |rounds: &Rounds| median(&rounds.cpu_ns());
    bars.at_most("flagship from Kafka to Kafka, to the raw batch loop", cpu(&kafka) / cpu(&raw), 4.2, "times");
    bars.at_most("200 ms to 1 s", cpu(&often) / cpu(&kafka), 1.25, "times");
    bars.at_most("flagship from Kafka to a file, to the raw batch loop", cpu(&to_file) / cpu(&raw), 4.2, "times");
    cluster.delete(&name);
    cluster.forget_groups(&jobs);
}

impl Place<'_> {
    /// Exactly once, with the state in a changelog: alerts, state and offsets in one transaction per commit.
    fn kafka_to_kafka(&self, commit_interval: Duration, job: &str) -> Run {
        let alerts = format!("{job}-alerts");
        let kafka = self.cluster.kafka();
        let directory = tempfile::tempdir().unwrap();
        let options = RunOptions { commit_interval, leave: true, ..options(directory.path(), MEMORY_BYTES) };
        let input = Input::Kafka(kafka.topic(self.name).until_end());
        let run =
            self.transactions.run_between(job, input, Output::Kafka(kafka.output(&alerts).partitions(1)), &options);
        // As many alerts as there must be can be read by who reads what is committed.
        raw::read(&kafka.topic(&alerts).until_end(), self.transactions.alerts);
        run
    }
}
