//! Deliveries under kill -9: none is lost, none is made before its epoch has committed, none more often than allowed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use headwater::prelude::Random;

use crate::letters;
use crate::process::{EVER, Running, examples, wait_for};
use crate::seed::{seed, torture};

fn write_lines(place: &Path, users: usize, random: &mut Random) -> BTreeSet<String> {
    let (lines, expected) = letters::lines(users, random);
    fs::write(place.join("lines"), lines).unwrap();
    expected
}

fn check(place: &Path, expected: &BTreeSet<String>) -> usize {
    let dead = fs::read_to_string(place.join("state/post.dead-letters.jsonl")).unwrap_or_default();
    letters::check(&place.join("post"), &dead, expected)
}

fn command(place: &Path, throttle: f64) -> Command {
    let mut command = Command::new(examples().join("postbox"));
    command.arg("--input").arg(place.join("lines")).arg("--state").arg(place.join("state"));
    command.arg("--post").arg(place.join("post")).args(["--throttle", &throttle.to_string()]);
    command.args(["--commit-interval", "20ms", "--quiet"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn deliveries_under_kills_at_random_moments() {
    let seed = seed("deliveries_under_kills_at_random_moments");
    let mut random = Random::new(seed, 0);
    let (users, kills) = if torture() { (20_000, 300) } else { (4_000, 50) };
    let place = tempfile::tempdir().unwrap();
    let expected = write_lines(place.path(), users, &mut random);
    let throttle = users as f64 / 12.0;
    let mut killed = 0;
    while killed < kills {
        let mut child = Running::start(&mut command(place.path(), throttle));
        let life = Duration::from_millis(30 + random.below(350));
        let end = std::time::Instant::now() + life;
        wait_for("the moment to kill", EVER, || std::time::Instant::now() >= end || child.has_ended());
        if child.has_ended() {
            break;
        }
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        killed += 1;
    }
    assert_eq!(command(place.path(), 1e6).status().unwrap().code(), Some(0));
    let doubles = check(place.path(), &expected);
    println!("{killed} kills, {} letters, {doubles} of them taken twice, under one key", expected.len());
    assert!(killed >= kills / 2, "only {killed} kills before it had ended");
}

#[test]
fn deliveries_under_a_crash_at_each_step() {
    let seed = seed("deliveries_under_a_crash_at_each_step");
    let mut random = Random::new(seed, 0);
    for point in headwater::OUTBOX_CRASH_POINTS {
        let place = tempfile::tempdir().unwrap();
        let expected = write_lines(place.path(), 300, &mut random);
        let mut crashes = 0;
        for nth in [1, 2, 20, 5, 1, 1, 1, 1] {
            let mut command = command(place.path(), 1e6);
            let status = command.env("HEADWATER_CRASH", format!("{point}:{nth}")).status().unwrap();
            assert!(status.success() || status.code().is_none(), "{point}: {status}");
            crashes += u32::from(status.code().is_none());
        }
        assert!(crashes > 0, "{point} was never reached");
        assert_eq!(command(place.path(), 1e6).status().unwrap().code(), Some(0));
        let doubles = check(place.path(), &expected);
        println!("{point}: {crashes} crashes, {} letters, {doubles} taken twice", expected.len());
    }
}
