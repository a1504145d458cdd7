//! The checker notices whatever may be wrong.

use super::chain::{Cause, Given, Link, Part, Place, hash_after};
use super::checker::{Checker, Found};

const PARTS: u32 = 2;

/// A run over a few records, right as it is.
struct Run {
    inputs: Vec<(Place, Given)>,
    links: Vec<Link>,
    parts: Vec<Part>,
}

impl Run {
    /// Twelve records of three keys from two partitions, then two timers of each key.
    fn right() -> Self {
        let mut run = Self { inputs: Vec::new(), links: Vec::new(), parts: Vec::new() };
        for id in 0..12 {
            let partition = (id % 2) as i32;
            let place = Place { topic: "in".to_owned(), partition, offset: (id / 2) as i64 };
            let given = Given { key: format!("k{}", id % 3), id };
            run.add(&given.key, Cause::Input(place.clone(), id));
            let hash = run.links.last().unwrap().hash;
            let part = |part| Part { key: given.key.clone(), of: place.clone(), part, hash };
            run.parts.extend((0..PARTS).map(part));
            run.inputs.push((place, given));
        }
        for nth in 1..=2 {
            ["k0", "k1", "k2"].iter().for_each(|key| run.add(key, Cause::Timer(nth)));
        }
        run
    }

    fn add(&mut self, key: &str, cause: Cause) {
        let last = self.links.iter().rev().find(|link| link.key == key);
        let (step, count, hash) = last.map_or((0, 0, 0), |link| (link.step, link.count, link.hash));
        let count = count + u64::from(matches!(cause, Cause::Input(..)));
        let hash = hash_after(hash, key, &cause);
        self.links.push(Link { key: key.to_owned(), step: step + 1, count, cause, hash });
    }

    /// Makes the hashes right again after a change.
    fn hashed(mut self) -> Self {
        let links = std::mem::take(&mut self.links);
        links.into_iter().for_each(|link| self.add(&link.key, link.cause));
        for part in &mut self.parts {
            let is_its = |link: &&Link| matches!(&link.cause, Cause::Input(place, _) if *place == part.of);
            part.hash = self.links.iter().find(is_its).map_or(0, |link| link.hash);
        }
        self
    }

    fn check(&self) -> Result<Found, String> {
        let mut checker = Checker::new(self.inputs.clone(), PARTS);
        let at = |topic: &str, offset: usize| Place { topic: topic.to_owned(), partition: 0, offset: offset as i64 };
        for (offset, link) in self.links.iter().enumerate() {
            checker.link(at("links", offset), &serde_json::to_string(link).unwrap());
        }
        for (offset, part) in self.parts.iter().enumerate() {
            checker.part(at("parts", offset), &serde_json::to_string(part).unwrap());
        }
        checker.finish()
    }

    fn refusal(&self) -> String {
        self.check().expect_err("the checker must see it")
    }
}

#[test]
fn a_right_run_passes() {
    assert_eq!(Run::right().check(), Ok(Found { records: 12, timers: 6, parts: 24, keys: 3 }));
}

#[test]
fn lost_outputs_are_named() {
    let mut run = Run::right();
    run.links.remove(4);
    run.parts.drain(8..10);
    let text = run.refusal();
    assert!(text.contains("lost: in[0]@2, k1 4, has no link and no parts"), "{text}");
    assert!(text.contains("links[0]@6: step 3 of k1 follows 1"), "{text}");
    // The last of a key leaves no gap behind.
    let mut run = Run::right();
    run.links.remove(11);
    run.links.truncate(11);
    assert!(run.refusal().contains("torn: in[1]@5, k2 11, has no link but parts [0, 1]"));
    // Nor does one that a state without it makes good.
    let mut run = Run::right();
    run.links.remove(4);
    run.parts.drain(8..10);
    assert_eq!(run.hashed().refusal(), "lost: in[0]@2, k1 4, has no link and no parts");
}

#[test]
fn a_lost_timer_is_named() {
    let mut run = Run::right();
    run.links.remove(12);
    assert!(run.refusal().contains("links[0]@14: step 6 of k0 follows 4"));
    let text = run.hashed().refusal();
    assert_eq!(text, "links[0]@14: timer 2 of k0 follows 0");
}

#[test]
fn doubled_outputs_are_named() {
    let mut run = Run::right();
    run.links.insert(5, run.links[4].clone());
    assert_eq!(run.refusal(), "links[0]@5: doubled: in[0]@2 has its link at links[0]@4");
    // Counted twice by a state that was not taken back.
    let text = run.hashed().refusal();
    assert!(text.contains("links[0]@5: doubled: in[0]@2 has its link at links[0]@4"), "{text}");
    let mut run = Run::right();
    run.parts.push(run.parts[3].clone());
    assert_eq!(run.refusal(), "parts[0]@24: doubled: part 1 of in[1]@0 is at parts[0]@3");
    let mut run = Run::right();
    run.links.push(run.links[17].clone());
    assert!(run.refusal().contains("links[0]@18: step 6 of k2 follows 6"));
}

#[test]
fn torn_outputs_are_named() {
    let mut run = Run::right();
    run.parts.remove(7);
    assert_eq!(run.refusal(), "torn: in[1]@1, k0 3, has its link at links[0]@3 but no parts [1]");
    // A part of an attempt that was aborted, beside the link of the next one.
    let mut run = Run::right();
    run.parts[7].hash += 1;
    let text = run.refusal();
    assert!(text.contains("parts[0]@7: part 1 of in[1]@1 is of another attempt than its link at links[0]@3"), "{text}");
}

#[test]
fn reordered_outputs_are_named() {
    let mut run = Run::right();
    run.links.swap(3, 9);
    assert!(run.refusal().contains("links[0]@3: step 4 of k0 follows 1"));
    // Handled in another order from the start. Steps, counts and hashes are right then.
    let run = run.hashed();
    assert_eq!(run.refusal().lines().next(), Some("links[0]@9: reordered: in[1]@1 of k0 comes after offset 4"));
}

#[test]
fn what_state_has_forgotten_is_noticed() {
    // A key that begins anew.
    let mut run = Run::right();
    let (old, new) = (run.links[..6].to_vec(), run.links.split_off(6));
    run.links.clear();
    new.into_iter().for_each(|link| run.add(&link.key, link.cause));
    run.links.splice(0..0, old);
    assert!(run.refusal().contains("links[0]@6: step 1 of k0 follows 2"));
    // A state of another branch with as many steps.
    let mut run = Run::right();
    run.links[6].hash ^= 1;
    let text = run.refusal();
    assert!(text.contains("links[0]@6: step 3 of k0 has another hash than the chain before it gives"), "{text}");
    let mut run = Run::right();
    run.links[6].count += 1;
    assert!(run.refusal().contains("links[0]@6: k0 counts 4 where it should 3"));
}

#[test]
fn records_that_nobody_gave_are_noticed() {
    let mut run = Run::right();
    run.inputs.remove(2);
    assert!(run.refusal().contains("links[0]@2: made of in[0]@1, where no record is"));
    let mut run = Run::right();
    run.inputs[2].1.id = 99;
    assert!(run.refusal().contains("links[0]@2: made of in[0]@1 as k2 2, which is k2 99"));
}
