//! Through each connector: a crash at each step of an outbox loses nothing, and no crash makes more of a letter's attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater::prelude::Random;

use super::ends::{crashes, is_killed_at};
use super::letters::{self, ATTEMPTS, write_lines};
use super::process::examples;
use super::receiver::Receiver;
use super::seed::{seed, torture};

/// The passes of a step that the process ends at, one after the other.
const PASSES: [u32; 4] = [1, 4, 2, 1];

/// Within this a letter that does not wait for its commit has come.
const LONG_ENOUGH: Duration = Duration::from_millis(250);

fn command(place: &Path, receiver: &Receiver, throttle: f64) -> Command {
    let mut command = Command::new(examples().join("postbox"));
    command.arg("--input").arg(place.join("lines")).arg("--state").arg(place.join("state"));
    command.args(receiver.flags()).args(["--throttle", &throttle.to_string()]);
    command.args(["--commit-interval", "20ms", "--quiet"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Crashes at all steps, in turn, so that each meets what the others have left.
fn crash_at_each_step(connector: &'static str) {
    let mut random = Random::new(seed(connector), 0);
    let (began, place) = (Instant::now(), tempfile::tempdir().unwrap());
    let place = place.path();
    let rounds = if torture() { 10 } else { 1 };
    let expected = write_lines(place, 900 * rounds, &mut random);
    let receiver = Receiver::start(connector).with_faults(&expected);
    let mut hits: BTreeMap<&str, u32> = BTreeMap::new();
    for nth in PASSES.repeat(rounds) {
        for step in headwater::OUTBOX_CRASH_POINTS {
            let crashed = crashes(&mut command(place, &receiver, 100.0), step, nth);
            *hits.entry(step).or_default() += u32::from(crashed);
        }
    }
    assert!(hits.values().all(|hits| *hits >= 3), "{connector}: it was over too early: {hits:?}");
    assert_eq!(command(place, &receiver, 1e6).status().unwrap().code(), Some(0));
    let tally = receiver.check(&letters::dead(place), &expected);
    let crashes: u32 = hits.values().sum();
    println!("{connector}: {crashes} crashes at {} steps in {:.1?}: {tally}", hits.len(), began.elapsed());
}

/// Ends at one step for as long as it comes to it: no letter is sent more often than the schedule has attempts, and none
/// before its attempt is committed and so counts.
fn crash_loop(connector: &'static str) {
    let receiver = Receiver::start(connector);
    let expected = BTreeSet::from(["u-1".to_owned()]);
    for (step, requests) in [("outbox.committed", 0), ("outbox.begun", 0), ("outbox.made", ATTEMPTS)] {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("lines"), "u-1\n".repeat(11)).unwrap();
        let ends = |command: &mut Command| match step {
            "outbox.committed" => is_killed_at(command, (step, 1), LONG_ENOUGH),
            _ => crashes(command, step, 1),
        };
        let mut ended = 0;
        while ends(&mut command(place.path(), &receiver, 1e6)) {
            ended += 1;
            assert!(ended <= ATTEMPTS, "{connector}: attempt {ended} of {ATTEMPTS} at {step}");
        }
        let tally = receiver.check(&letters::dead(place.path()), &expected);
        assert_eq!((ended, tally.most, tally.dead), (ATTEMPTS, requests, 1), "{connector}, {step}");
    }
    println!("{connector}: a crash after each attempt sends {ATTEMPTS} times, one before it never");
}

#[test]
fn mails_under_crashes() {
    crash_at_each_step("mail");
    crash_loop("mail");
}

#[test]
fn webhooks_under_crashes() {
    crash_at_each_step("webhook");
    crash_loop("webhook");
}

#[test]
fn slack_under_crashes() {
    crash_at_each_step("slack");
    crash_loop("slack");
}

#[test]
fn alertmanager_under_crashes() {
    crash_at_each_step("alertmanager");
    crash_loop("alertmanager");
}

#[test]
fn pagerduty_under_crashes() {
    crash_at_each_step("pagerduty");
    crash_loop("pagerduty");
}
