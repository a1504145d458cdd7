//! Letters of the postbox: who is to get one, and whether they did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use headwater::prelude::{DeadLetter, Random};
use serde_json::Value;

use crate::fate::Fate;

/// The schedule of the job.
pub const ATTEMPTS: usize = 4;

/// A letter that came, as its receiver has it.
pub struct Arrival {
    pub letter: String,
    /// What the receiver knows it again by.
    pub key: String,
    /// Which attempt it was, where that shows.
    pub number: Option<u32>,
    /// Whether the receiver said yes.
    pub taken: bool,
}

/// What came of the letters.
pub struct Tally {
    pub letters: usize,
    pub dead: usize,
    /// How often one was taken that had been before.
    pub doubles: usize,
    /// How often the one came that came most often.
    pub most: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { letters, dead, doubles, most } = self;
        write!(
            f,
            "{letters} letters, {dead} of them dead, {doubles} taken again under their key, none came more than {most} times"
        )
    }
}

/// Lines of `users` users, of whom every second one has eleven and the others ten, in any order. The users that get
/// a letter.
pub fn lines(users: usize, random: &mut Random) -> (String, BTreeSet<String>) {
    let mut lines: Vec<usize> = (0..users).flat_map(|user| std::iter::repeat_n(user, 10 + user % 2)).collect();
    for at in (1..lines.len()).rev() {
        lines.swap(at, random.below(at as u64 + 1) as usize);
    }
    let mut text = String::new();
    lines.iter().for_each(|user| writeln!(text, "u-{user}").unwrap());
    (text, (0..users).filter(|user| user % 2 == 1).map(|user| format!("u-{user}")).collect())
}

/// The same in the file `lines`.
pub fn write_lines(place: &Path, users: usize, random: &mut Random) -> BTreeSet<String> {
    let (lines, expected) = lines(users, random);
    fs::write(place.join("lines"), lines).unwrap();
    expected
}

/// What a job with its state at `place` has given up.
pub fn dead(place: &Path) -> String {
    fs::read_to_string(place.join("state/post.dead-letters.jsonl")).unwrap_or_default()
}

/// What was delivered into a file.
pub fn noted(post: &Path) -> Vec<Arrival> {
    let post = fs::read_to_string(post).unwrap_or_default();
    let arrival = |line: &str| {
        let [key, number, letter, word] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let number = Some(number.parse().unwrap());
        Arrival { letter: letter.to_owned(), key: key.to_owned(), number, taken: word == "taken" }
    };
    post.lines().map(arrival).collect()
}

/// The letters that were taken.
pub fn taken(arrivals: &[Arrival]) -> BTreeSet<&str> {
    arrivals.iter().filter(|arrival| arrival.taken).map(|arrival| arrival.letter.as_str()).collect()
}

/// Whether what was delivered is what was to be, going by what came and the dead letters alone.
pub fn check(arrivals: &[Arrival], dead: &str, expected: &BTreeSet<String>) -> Tally {
    let (mut keys, mut numbers) = (BTreeMap::new(), BTreeMap::<_, Vec<Option<u32>>>::new());
    for Arrival { letter, key, number, .. } in arrivals {
        assert!(expected.contains(letter), "{letter} was not to get a letter: an epoch that was not committed");
        assert_eq!(*keys.entry(letter).or_insert(key), key, "{letter} has two keys");
        assert_ne!(key, "", "{letter} has no key");
        numbers.entry(letter).or_default().push(*number);
    }
    for (letter, numbers) in &numbers {
        assert!(numbers.len() <= ATTEMPTS, "{letter} came {} times", numbers.len());
        // An attempt that was made before it was committed would come again with its number.
        assert!(numbers.is_sorted_by(|a, b| a.is_none() || a < b), "{letter} was tried {numbers:?}");
    }
    let owners: BTreeSet<&String> = keys.values().copied().collect();
    assert_eq!(owners.len(), keys.len(), "two letters have one key");
    let given_up = given_up(dead);
    let taken = taken(arrivals);
    for letter in expected {
        assert!(taken.contains(letter.as_str()) || given_up.contains(letter), "{letter} is lost");
        let refused = Fate::of(letter, 1) == Fate::Refused;
        assert!(!refused || given_up.contains(letter), "{letter} was refused, and is no dead letter");
    }
    let doubles = arrivals.iter().filter(|arrival| arrival.taken).count() - taken.len();
    let most = numbers.values().map(Vec::len).max().unwrap_or_default();
    Tally { letters: expected.len(), dead: given_up.len(), doubles, most }
}

/// The letters that are dead, by what is in the topic for them.
pub fn given_up(dead: &str) -> BTreeSet<String> {
    let mut given_up = BTreeSet::new();
    for line in dead.lines() {
        let item = item(&serde_json::from_str(line).unwrap());
        assert!(given_up.insert(item.clone()), "{item} is dead twice");
    }
    given_up
}

/// Whose letter it was: its item is the user, or an alert about the user.
fn item(dead: &DeadLetter) -> String {
    let item: Value = serde_json::from_str(dead.payload.as_ref().unwrap()).unwrap();
    let user = item.as_str().or(item["labels"]["user"].as_str());
    user.unwrap_or_else(|| panic!("{item}")).to_owned()
}
