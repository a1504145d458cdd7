//! Deliveries under kill -9: none is lost, none is made before its epoch has committed, none more often than allowed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use headwater::prelude::Random;

use crate::ends::{crashes, is_killed_after, is_killed_at};
use crate::letters::{self, Tally, write_lines};
use crate::process::examples;
use crate::seed::{seed, torture};

fn check(place: &Path, expected: &BTreeSet<String>) -> Tally {
    letters::check(&letters::noted(&place.join("post")), &letters::dead(place), expected)
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
        if !is_killed_after(&mut command(place.path(), throttle), Duration::from_millis(30 + random.below(350))) {
            break;
        }
        killed += 1;
    }
    assert_eq!(command(place.path(), 1e6).status().unwrap().code(), Some(0));
    println!("{killed} kills, {}", check(place.path(), &expected));
    assert!(killed >= kills / 2, "only {killed} kills before it had ended");
}

#[test]
fn deliveries_under_a_crash_at_each_step() {
    let seed = seed("deliveries_under_a_crash_at_each_step");
    let mut random = Random::new(seed, 0);
    for point in headwater::OUTBOX_CRASH_POINTS {
        let place = tempfile::tempdir().unwrap();
        let expected = write_lines(place.path(), 300, &mut random);
        let mut hits = 0;
        for nth in [1, 2, 1, 1, 5, 1, 1, 20] {
            hits += u32::from(crashes(&mut command(place.path(), 1e6), point, nth));
        }
        assert!(hits > 0, "{point} was never reached");
        assert_eq!(command(place.path(), 1e6).status().unwrap().code(), Some(0));
        println!("{point}: {hits} crashes, {}", check(place.path(), &expected));
    }
}

/// The commit is held up for long enough to deliver in, and never made. An attempt that did not wait for it would be made
/// again, under the same number.
#[test]
fn deliveries_wait_for_their_commit() {
    let seed = seed("deliveries_wait_for_their_commit");
    let mut random = Random::new(seed, 0);
    let place = tempfile::tempdir().unwrap();
    let expected = write_lines(place.path(), 1_200, &mut random);
    let mut killed = 0;
    for nth in [1, 1, 2, 3, 1, 4, 2, 5, 1, 3, 7, 2] {
        let at = ("log.append.before", nth);
        killed += u32::from(is_killed_at(&mut command(place.path(), 150.0), at, Duration::from_millis(50)));
    }
    assert_eq!(command(place.path(), 1e6).status().unwrap().code(), Some(0));
    println!("{killed} kills before a commit, {}", check(place.path(), &expected));
    assert_eq!(killed, 12);
}
