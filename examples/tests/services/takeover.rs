//! Two instances of a job that delivers, over Kafka: what the active one has left the other one delivers, and one that was
//! taken for gone delivers nothing any more.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater::prelude::Random;
use rustix::process::Signal;

use super::broker::Broker;
use super::letters;
use super::process::{EVER, Running, examples, wait_for};
use super::seed::seed;

const SESSION: Duration = Duration::from_secs(6);

fn start(name: &str, place: &Path, broker: &Broker, topics: (&str, &str)) -> Running {
    let mut command = Command::new(examples().join("postbox"));
    command.args(["--brokers", &broker.address, "--instance", name, "--state"]).arg(place.join(name));
    command.args(["--input", &format!("lines=kafka:{}", topics.0)]);
    command.args(["--output", &format!("post.dead-letters=kafka:{}", topics.1)]);
    command.arg("--post").arg(place.join("post")).args(["--throttle", "20", "--commit-interval", "100ms", "-v"]);
    command.args(["--kafka", &format!("session.timeout.ms={}", SESSION.as_millis())]);
    let said = fs::OpenOptions::new().append(true).create(true).open(place.join(format!("{name}.log"))).unwrap();
    Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said))
}

fn delivered(place: &Path) -> usize {
    fs::read_to_string(place.join("post")).map_or(0, |post| post.lines().count())
}

/// Waits until so many more attempts were made.
fn wait_for_more(place: &Path, more: usize) {
    let before = delivered(place);
    wait_for("deliveries", EVER, || delivered(place) >= before + more);
}

#[test]
fn what_one_instance_has_left_the_other_delivers_and_none_delivers_for_another() {
    let mut random = Random::new(seed("takeover"), 0);
    let (broker, place) = (Broker::shared(), tempfile::tempdir().unwrap());
    let place = place.path();
    let (lines, expected) = letters::lines(700, &mut random);
    let topics = (broker.topic("lines", 1), broker.topic("dead", 1));
    let keyed: String = lines.lines().map(|line| format!("{line}\t{line}\n")).collect();
    broker.console_producer(&topics.0, keyed.as_bytes());
    let start = |name: &str| start(name, place, broker, (&topics.0, &topics.1));
    let mut first = start("a");
    wait_for_more(place, 20);
    let second = start("b");
    // One is killed, and comes back to stand by.
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let killed = Instant::now();
    wait_for_more(place, 20);
    println!("on after {} ms", killed.elapsed().as_millis());
    let third = start("a");
    wait_for_more(place, 20);
    // The other one stands still for longer than its session lasts, and then goes on as if nothing had been.
    second.signal(Signal::STOP);
    let stopped = Instant::now();
    wait_for_more(place, 20);
    println!("on after {} ms", stopped.elapsed().as_millis());
    second.signal(Signal::CONT);
    let ends = |name: &str| fs::read_to_string(place.join(format!("{name}.log"))).unwrap_or_default();
    let letters = || {
        let dead = broker.read(&topics.1, 0);
        let values: Vec<String> =
            dead.iter().filter_map(|letter| String::from_utf8(letter.value.clone()?).ok()).collect();
        values.join("\n")
    };
    let is_over = || {
        let post = fs::read_to_string(place.join("post")).unwrap();
        let taken = post.lines().filter(|line| line.ends_with(" taken")).filter_map(|line| line.split(' ').nth(2));
        let taken: std::collections::BTreeSet<&str> = taken.collect();
        taken.len() + letters().lines().count() >= expected.len()
    };
    wait_for("all letters", EVER, is_over);
    let doubles = letters::check(&place.join("post"), &letters(), &expected);
    println!("{} letters, {doubles} taken twice, under one key", expected.len());
    drop((second, third));
    assert!(!ends("a").contains("panic") && !ends("b").contains("panic"));
}
