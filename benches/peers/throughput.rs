//! CPU time per record.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::Options;
use crate::cluster::Cluster;
use crate::common::bars::{Bars, Run, median};
use crate::common::user_count;
use crate::process::Pinned;
use crate::systems::{Place, System};

/// What a run took, of the broker too.
struct Measured {
    run: Run,
    /// Of the systems from a fifth of the records on.
    per_second: f64,
    broker: Duration,
    alerts: u64,
}

/// The rounds of one system.
struct Column {
    name: String,
    runs: Vec<Measured>,
}

/// Runs the raw loop and the systems in turns, and prints the medians.
pub fn compare(cluster: &Cluster, options: &Options) -> ExitCode {
    let bytes = cluster.load(&options.topic, options.records, options.users, !options.unkeyed);
    let often = System::Headwater { commit_interval: Duration::from_millis(200) };
    let systems = [System::HEADWATER, often, System::KafkaStreams { is_static: false }];
    let mut raw = Column { name: "raw batch loop".into(), runs: Vec::new() };
    let mut columns = systems.map(|system| Column { name: system.name(), runs: Vec::new() });
    for round in 0..options.rounds {
        raw.runs.push(raw_loop(cluster, options));
        for (number, (system, column)) in systems.into_iter().zip(&mut columns).enumerate() {
            if round >= options.peer_rounds() && !system.is_headwater() {
                continue;
            }
            let run = format!("throughput-{number}-{round}");
            let place = Place::new(cluster, &options.topic, run, !options.unkeyed);
            column.runs.push(measure(system, &place, options));
            place.clean_up(system);
        }
    }
    let users = user_count(options.users);
    let key = if options.unkeyed { "no key" } else { "the user as key" };
    println!("{} records of {bytes} bytes with {key}, {users} users, {} rounds", options.records, options.rounds);
    println!("records/s: of the systems from a fifth of the records on");
    println!(
        "| system | CPU ns per record | × raw loop | records/s | alerts found / expected | broker, CPU ns per record |"
    );
    println!("|---|---|---|---|---|---|");
    let expected = crate::common::expected_alerts(options.records, options.users);
    let base = raw.cpu_ns();
    for column in std::iter::once(&raw).chain(&columns).filter(|column| !column.runs.is_empty()) {
        column.print(base, expected);
    }
    let [headwater, often, _] = &columns;
    let whole = headwater.figures(|measured| measured.run.per_second());
    println!("Headwater, commits every 1s, with its start: {} records/s", spread(&whole));
    let mut bars = Bars::default();
    bars.at_most("Headwater to the raw batch loop", headwater.cpu_ns() / base, 4.2, "times");
    bars.at_least("Headwater from a fifth on, best round", headwater.per_second_best() / 1e3, 700.0, "k records/s");
    bars.at_most("Headwater, 200 ms to 1 s", often.cpu_ns() / headwater.cpu_ns(), 1.25, "times");
    bars.verdict()
}

impl Column {
    fn figures(&self, of: impl Fn(&Measured) -> f64) -> Vec<f64> {
        self.runs.iter().map(of).collect()
    }

    fn cpu_ns(&self) -> f64 {
        median(&self.figures(|measured| measured.run.cpu_ns()))
    }

    /// Of the best round: whatever else the machine does only makes it slower.
    fn per_second_best(&self) -> f64 {
        self.figures(|measured| measured.per_second).into_iter().fold(0.0, f64::max)
    }

    fn print(&self, base: f64, expected: u64) {
        let ns = self.figures(|measured| measured.run.cpu_ns());
        let per_second = self.figures(|measured| measured.per_second);
        let broker = median(&self.figures(|measured| measured.broker.as_nanos() as f64 / measured.run.records as f64));
        let alerts = match self.runs[0].alerts {
            0 => String::new(),
            found => format!("{found} / {expected}"),
        };
        let ratio = median(&ns) / base;
        println!("| {} | {} | {ratio:.1} | {} | {alerts} | {broker:.0} |", self.name, spread(&ns), spread(&per_second));
    }
}

/// The median, the least and the greatest.
fn spread(figures: &[f64]) -> String {
    let (least, greatest) =
        figures.iter().fold((f64::INFINITY, 0.0f64), |(a, b), figure| (a.min(*figure), b.max(*figure)));
    format!("{:.0} ({least:.0}–{greatest:.0})", median(figures))
}

fn raw_loop(cluster: &Cluster, options: &Options) -> Measured {
    let broker = cluster.cpu();
    let program = std::env::current_exe().unwrap().display().to_string();
    let records = options.records.to_string();
    let arguments = ["raw", "--topic", &options.topic, "--records", &records].map(str::to_owned);
    let printed = Pinned::start(&program, &arguments).printed();
    let nanos: Vec<u64> = printed.split_whitespace().map(|nanos| nanos.parse().unwrap()).collect();
    let (cpu, wall) = (Duration::from_nanos(nanos[0]), Duration::from_nanos(nanos[1]));
    let run = Run { records: options.records, wall, cpu };
    Measured { per_second: run.per_second(), run, broker: cluster.cpu() - broker, alerts: 0 }
}

fn measure(system: System, place: &Place, options: &Options) -> Measured {
    let alerts = System::alerts(place);
    let measured = match system {
        System::Headwater { .. } => whole(system, place, options),
        System::KafkaStreams { .. } => warm(system, place, options),
    };
    Measured { alerts: alerts.verified(place.cluster, options.records, options.users), ..measured }
}

/// From before the start until after the end; records per second as of the other system, but with the end.
fn whole(system: System, place: &Place, options: &Options) -> Measured {
    let (began, broker) = (Instant::now(), place.cluster.cpu());
    let process = system.start(place);
    let first = place.await_committed(&process, options.records / 5, options.records);
    let reached = Instant::now();
    process.await_end();
    let (wall, cpu, broker) = (began.elapsed(), process.cpu(), place.cluster.cpu() - broker);
    let per_second = (options.records - first) as f64 / reached.elapsed().as_secs_f64();
    process.printed();
    Measured { run: Run { records: options.records, wall, cpu }, per_second, broker, alerts: 0 }
}

/// From a fifth of the records, when Java's start is over and its compiler is done with the most, until the last.
fn warm(system: System, place: &Place, options: &Options) -> Measured {
    let mut process = system.start(place);
    let counted = process.numbers();
    let first = counted.reach(options.records / 5);
    let (began, cpu, broker) = (Instant::now(), process.cpu(), place.cluster.cpu());
    let last = counted.reach(options.records);
    let run = Run { records: last - first, wall: began.elapsed(), cpu: process.cpu() - cpu };
    let broker = place.cluster.cpu() - broker;
    process.stop();
    Measured { per_second: run.per_second(), run, broker, alerts: 0 }
}
