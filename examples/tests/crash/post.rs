//! Deliveries under kill -9: none is lost, none is made before its epoch has committed, none more often than allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use headwater::prelude::{DeadLetter, Random};

use crate::process::{EVER, Running, examples, wait_for};
use crate::seed::{seed, torture};

/// The schedule of the job.
const ATTEMPTS: usize = 4;

/// Writes lines of `users` users, of whom every second one has eleven and the others ten, in any order. The users that get
/// a letter.
fn write_lines(file: &Path, users: usize, random: &mut Random) -> BTreeSet<String> {
    let mut lines: Vec<usize> = (0..users).flat_map(|user| std::iter::repeat_n(user, 10 + user % 2)).collect();
    for at in (1..lines.len()).rev() {
        lines.swap(at, random.below(at as u64 + 1) as usize);
    }
    let mut text = String::new();
    lines.iter().for_each(|user| writeln!(text, "u-{user}").unwrap());
    fs::write(file, text).unwrap();
    (0..users).filter(|user| user % 2 == 1).map(|user| format!("u-{user}")).collect()
}

fn command(place: &Path, throttle: f64) -> Command {
    let mut command = Command::new(examples().join("postbox"));
    command.arg("--input").arg(place.join("lines")).arg("--state").arg(place.join("state"));
    command.arg("--post").arg(place.join("post")).args(["--throttle", &throttle.to_string()]);
    command.args(["--commit-interval", "20ms", "--quiet"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Whether what was delivered is what was to be, going by the file and the dead letters alone.
fn check(place: &Path, expected: &BTreeSet<String>) -> usize {
    let post = fs::read_to_string(place.join("post")).unwrap();
    let (mut keys, mut numbers, mut taken) = (BTreeMap::new(), BTreeMap::<_, Vec<u32>>::new(), BTreeSet::new());
    let mut doubles = 0;
    for line in post.lines() {
        let [key, number, letter, word] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(expected.contains(letter), "{letter} was not to get a letter: an epoch that was not committed");
        assert_eq!(*keys.entry(letter).or_insert(key), key, "{letter} has two keys");
        let numbers = numbers.entry(letter).or_default();
        numbers.push(number.parse().unwrap());
        doubles += usize::from(word == "taken" && !taken.insert(letter));
    }
    for (letter, numbers) in &numbers {
        assert!(numbers.len() <= ATTEMPTS, "{letter} was tried {numbers:?}");
        // An attempt that was made before it was committed would come again with its number.
        assert!(numbers.is_sorted_by(|a, b| a < b), "{letter} was tried {numbers:?}");
    }
    let owners: BTreeSet<&str> = keys.values().copied().collect();
    assert_eq!(owners.len(), keys.len(), "two letters have one key");
    let dead = fs::read_to_string(place.join("state/post.dead-letters.jsonl")).unwrap_or_default();
    let mut given_up = BTreeSet::new();
    for line in dead.lines() {
        let letter: DeadLetter = serde_json::from_str(line).unwrap();
        let item: String = serde_json::from_str(&letter.payload.unwrap()).unwrap();
        assert!(given_up.insert(item.clone()), "{item} is dead twice");
    }
    for letter in expected {
        assert!(taken.contains(letter.as_str()) || given_up.contains(letter), "{letter} is lost");
    }
    doubles
}

#[test]
fn deliveries_under_kills_at_random_moments() {
    let seed = seed("deliveries_under_kills_at_random_moments");
    let mut random = Random::new(seed, 0);
    let (users, kills) = if torture() { (20_000, 300) } else { (4_000, 50) };
    let place = tempfile::tempdir().unwrap();
    let expected = write_lines(&place.path().join("lines"), users, &mut random);
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
        let expected = write_lines(&place.path().join("lines"), 300, &mut random);
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
