//! How long a kill is felt.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use crate::Options;
use crate::cluster::Cluster;
use crate::common::bars::{Bars, median};
use crate::common::{expected_alerts, user_count};
use crate::process::Pinned;
use crate::systems::{Place, System, changelog, standby};

/// Between the kill and the new start: what was on its way to the broker has come, and is known to be old.
const GAP: Duration = Duration::from_millis(20);

/// Shorter than a commit, so that one is met when a process runs for so long between two looks at it.
const SLICE: Duration = Duration::from_millis(3);
const SLICES: usize = 2_000;

/// Who goes on after the kill.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// The same, started again at once with the same directory.
    Restarted(System),
    /// A second instance of Headwater that ran beside it, with a directory of its own.
    Standby,
}

/// Kills the systems in the middle, and prints the time until a reader of what is committed sees the first alert that
/// was written after the kill.
pub fn compare(cluster: &Cluster, options: &Options) -> ExitCode {
    let bytes = cluster.load(&options.topic, options.records, options.users, !options.unkeyed);
    let all = [
        Next::Restarted(System::HEADWATER),
        Next::Standby,
        Next::Restarted(System::KafkaStreams { is_static: true }),
        Next::Restarted(System::KafkaStreams { is_static: false }),
    ];
    let mut seconds = all.map(|_| Vec::new());
    for round in 0..options.rounds {
        for (number, (next, seconds)) in all.into_iter().zip(&mut seconds).enumerate() {
            if round >= options.peer_rounds() && matches!(next, Next::Restarted(System::KafkaStreams { .. })) {
                continue;
            }
            let run = format!("recovery-{number}-{round}");
            let place = Place::new(cluster, &options.topic, run, !options.unkeyed);
            seconds.push(kill(next, &place, options).as_secs_f64());
            place.clean_up(next.system());
        }
    }
    let users = user_count(options.users);
    println!("{} records of {bytes} bytes, {users} users, {} rounds", options.records, options.rounds);
    println!("| system | seconds from kill -9 to the first alert committed after it |");
    println!("|---|---|");
    for (next, seconds) in all.iter().zip(&seconds).filter(|(_, seconds)| !seconds.is_empty()) {
        let (least, greatest) = seconds.iter().fold((f64::INFINITY, 0.0f64), |(a, b), s| (a.min(*s), b.max(*s)));
        println!("| {} | {:.2} ({least:.2}–{greatest:.2}) |", next.name(), median(seconds));
    }
    let mut bars = Bars::default();
    bars.at_most("Headwater, started again", median(&seconds[0]), 5.0, "s");
    // A session of 10 s has to end first.
    bars.at_most("Headwater, its standby", median(&seconds[1]), 15.0, "s");
    bars.verdict()
}

impl Next {
    fn system(self) -> System {
        match self {
            Self::Restarted(system) => system,
            Self::Standby => System::HEADWATER,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Restarted(system) => format!("{}, started again", system.name()),
            Self::Standby => format!("{}, taken over by a standby", System::HEADWATER.name()),
        }
    }
}

fn kill(next: Next, place: &Place, options: &Options) -> Duration {
    let all = expected_alerts(options.records, options.users);
    let system = next.system();
    let alerts = System::alerts(place);
    let watch = alerts.watch(place.cluster);
    let process = system.start(place);
    let mut early = 1;
    watch.await_more(early, &process);
    let standby = (next == Next::Standby).then(|| {
        let mut standby = standby(place);
        standby.await_saying("standing by");
        standby
    });
    // Some alerts may have come meanwhile; what matters is that there are more to come.
    let until = expected_alerts(options.records * 6 / 10, options.users);
    watch.await_more(until.saturating_sub(early), &process);
    early = early.max(until);
    let killed = if standby.is_some() { stop_in_commit(&process, place) } else { SystemTime::now() };
    process.kill();
    let (process, restarted) = go_on(system, standby, place);
    let (first, late) = watch.first_written_after(restarted, &process);
    watch.await_more(all - early - late - 1, &process);
    drop(watch);
    if system.is_headwater() {
        process.await_end();
        process.printed();
    } else {
        process.stop();
    }
    alerts.verified(place.cluster, options.records, options.users);
    first.duration_since(killed).unwrap()
}

/// Stops a process where it has a transaction open. It is never heard of again, so this is the moment of the kill.
fn stop_in_commit(process: &Pinned, place: &Place) -> SystemTime {
    let (ends, changelog) = (place.cluster.ends(), changelog());
    for _ in 0..SLICES {
        process.signal("STOP");
        let stopped = SystemTime::now();
        if ends.differ(&changelog) {
            return stopped;
        }
        process.signal("CONT");
        std::thread::sleep(SLICE);
    }
    panic!("the run is void: it was never seen in a commit");
}

/// The process that is to write the rest, and the moment after which no other writes.
fn go_on(system: System, standby: Option<Pinned>, place: &Place) -> (Pinned, SystemTime) {
    std::thread::sleep(GAP);
    let moment = SystemTime::now();
    match standby {
        Some(standby) => (standby, moment),
        None => (system.start(place), moment),
    }
}
