//! From the moment that a transaction is due until its alert can be read, at half load or what can be written beside it.

use std::process::{Command, Stdio};
use std::time::Duration;

use headwater::prelude::*;

use crate::cluster::Cluster;
use crate::common::bars::{Bars, millis_at};
use crate::jobs::{Transactions, flagship, options};
use crate::open_loop;

/// Records of which it is learned what the job does when it is behind; the load is half of that.
const BEHIND: u64 = 2_000_000;
const MEMORY_BYTES: usize = 1 << 30;
/// The most that is written a second: broker, writer and reader have one core of two, and it is full before twice of that.
const LOAD_MAX: u64 = 150_000;
/// Commits are looked for so often.
const LOOK: Duration = Duration::from_millis(5);

/// Measures and judges both commit intervals.
pub fn measure(cluster: &Cluster, bars: &mut Bars) {
    for interval in [Duration::from_secs(1), Duration::from_millis(200)] {
        let rate = half_load(cluster, interval);
        one(cluster, interval, rate, bars);
    }
}

/// Half of the records a second that the same job reads when they are all there before it starts, or what can be written.
fn half_load(cluster: &Cluster, commit_interval: Duration) -> u64 {
    let name = Cluster::unused(&format!("behind-{}ms", commit_interval.as_millis()));
    let transactions = Transactions::write(BEHIND, open_loop::USERS);
    cluster.load(&name, &transactions.file());
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions { commit_interval, leave: true, ..options(directory.path(), MEMORY_BYTES) };
    let kafka = cluster.kafka();
    let (input, output) = (kafka.topic(&name).until_end(), kafka.output(format!("{name}-alerts")));
    let run = transactions.run_between(&name, Input::Kafka(input), Output::Kafka(output), &options);
    cluster.delete(&name);
    cluster.forget_groups(&[name]);
    LOAD_MAX.min((run.per_second() / 2.0) as u64)
}

fn one(cluster: &Cluster, commit_interval: Duration, rate: u64, bars: &mut Bars) {
    let name = Cluster::unused(&format!("latency-{}ms", commit_interval.as_millis()));
    let (transactions, alerts) = (format!("{name}-in"), format!("{name}-alerts"));
    cluster.create(&transactions);
    cluster.create(&alerts);
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions { commit_interval, leave: true, ..options(directory.path(), MEMORY_BYTES) };
    let kafka = cluster.kafka();
    let control = Control::default();
    let (said, commits) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let output = Output::Kafka(kafka.output(&alerts));
            flagship(&name, Input::Kafka(kafka.topic(&transactions)), output).run(&options, &control).unwrap()
        });
        let commits = scope.spawn(|| commit_times(&control));
        let said = drive(&transactions, &alerts, rate);
        control.stop();
        (said, commits.join().unwrap())
    });
    let [p50, p99, p999, count, late] = said[..] else { panic!("the run is void: {said:?}") };
    let commit = millis_at(&commits, 0.99);
    println!(
        "{rate} records/s, commits every {commit_interval:?}: p50 {p50:.0} ms, p99 {p99:.0} ms, p99.9 {p999:.0} ms of {count} \
         alerts; commits p99 {commit:.0} ms; written at most {late:.0} ms late"
    );
    let most = (commit_interval.as_secs_f64() * 1e3 + 2.0 * commit).round();
    bars.at_most(format_args!("latency with commits every {commit_interval:?}, p99"), p99, most, "ms");
    bars.at_most(format_args!("commits every {commit_interval:?}, p99"), commit, 200.0, "ms");
    cluster.delete(&name);
    cluster.forget_groups(&[name]);
}

/// Runs the open loop on the broker's core, and returns the figures it prints.
fn drive(transactions: &str, alerts: &str, rate: u64) -> Vec<f64> {
    let mut driver = Command::new("taskset");
    driver.args(["-c", "1"]).arg(std::env::current_exe().unwrap());
    driver.args([open_loop::NAME, transactions, alerts, &rate.to_string()]).stdout(Stdio::piped());
    let output = driver.spawn().unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "the run is void");
    let said = String::from_utf8(output.stdout).unwrap();
    said.split_whitespace().map(|figure| figure.parse().unwrap()).collect()
}

/// How long each commit took, in order of that, once the job had started and caught up: the latencies leave out as much.
fn commit_times(control: &Control) -> Vec<Duration> {
    while control.progress.records_in() == 0 {
        std::thread::sleep(LOOK);
    }
    std::thread::sleep(open_loop::WARM_UP);
    let mut times = Vec::new();
    let mut last = control.progress.committed().epoch;
    while !control.stopping() {
        std::thread::sleep(LOOK);
        let committed = control.progress.committed();
        if committed.epoch != last {
            last = committed.epoch;
            times.push(committed.commit_time);
        }
    }
    times.sort_unstable();
    times
}
