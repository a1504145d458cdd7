//! Letters of the postbox: who is to get one, and whether they did.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use headwater::prelude::{DeadLetter, Random};

/// The schedule of the job.
const ATTEMPTS: usize = 4;

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

/// Whether what was delivered is what was to be, going by the file and the dead letters alone. How many letters were taken
/// twice.
pub fn check(post: &Path, dead: &str, expected: &BTreeSet<String>) -> usize {
    let post = fs::read_to_string(post).unwrap();
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
