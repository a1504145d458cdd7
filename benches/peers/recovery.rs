//! How long a kill is felt.

use std::time::{Duration, SystemTime};

use crate::Options;
use crate::cluster::Cluster;
use crate::common::bars::median;
use crate::common::{expected_alerts, user_count};
use crate::systems::{Place, System};

/// Between the kill and the new start: what was on its way to the broker has come, and is known to be old.
const GAP: Duration = Duration::from_millis(20);

/// Kills both systems in the middle and starts them again at once; prints the time until the first alert that the new
/// process committed.
pub fn compare(cluster: &Cluster, options: &Options) {
    let bytes = cluster.load(&options.topic, options.records, options.users, !options.unkeyed);
    let systems =
        [System::Headwater, System::KafkaStreams { is_static: true }, System::KafkaStreams { is_static: false }];
    let mut seconds = systems.map(|_| Vec::new());
    for round in 0..options.rounds {
        for (number, (system, seconds)) in systems.into_iter().zip(&mut seconds).enumerate() {
            let run = format!("recovery-{number}-{round}");
            let place = Place::new(cluster, &options.topic, run, !options.unkeyed);
            seconds.push(kill(system, &place, options).as_secs_f64());
            place.clean_up();
        }
    }
    let users = user_count(options.users);
    println!(
        "{} records of {bytes} bytes, {users} users, killed after 60 %, {} rounds",
        options.records, options.rounds
    );
    println!("| system | seconds from kill -9 to the first new committed alert |");
    println!("|---|---|");
    for (system, seconds) in systems.into_iter().zip(&seconds) {
        let (least, greatest) = seconds.iter().fold((f64::INFINITY, 0.0f64), |(a, b), s| (a.min(*s), b.max(*s)));
        println!("| {} | {:.2} ({least:.2}–{greatest:.2}) |", system.name(), median(seconds));
    }
}

fn kill(system: System, place: &Place, options: &Options) -> Duration {
    let all = expected_alerts(options.records, options.users);
    let early = expected_alerts(options.records * 6 / 10, options.users);
    let alerts = system.alerts(place);
    let watch = alerts.watch(place.cluster);
    let process = system.start(place);
    watch.await_more(early, &process);
    let killed = SystemTime::now();
    process.kill();
    std::thread::sleep(GAP);
    let restarted = SystemTime::now();
    let process = system.start(place);
    let (first, late) = watch.first_written_after(restarted, &process);
    watch.await_more(all - early - late - 1, &process);
    drop(watch);
    match system {
        System::Headwater => {
            process.await_end();
            process.printed();
        }
        System::KafkaStreams { .. } => process.stop(),
    }
    alerts.verified(place.cluster, options.records, options.users);
    first.duration_since(killed).unwrap()
}
