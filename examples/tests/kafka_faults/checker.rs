//! Whether outputs are those of inputs that were each handled exactly once: one linear pass over what was read.

use std::collections::HashMap;

use super::chain::{Cause, Given, Link, Part, Place, hash_after};

/// A job's inputs, and what of its outputs has been seen.
pub struct Checker {
    inputs: HashMap<Place, Input>,
    keys: HashMap<String, End>,
    /// How many parts a record makes.
    parts: u32,
    found: Found,
    faults: Vec<String>,
    /// Those that were too many to keep.
    more: usize,
}

struct Input {
    given: Given,
    /// Its link.
    link: Option<Seen>,
    /// Where each of its parts was.
    parts: Vec<Option<Place>>,
}

struct Seen {
    at: Place,
    hash: u64,
}

/// The end of a key's chain.
#[derive(Default)]
struct End {
    step: u64,
    count: u64,
    hash: u64,
    ticks: u32,
    /// The newest offset of each partition that had a record of the key.
    newest: HashMap<(String, i32), i64>,
    /// The partition of the links.
    partition: Option<i32>,
}

/// What a check has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub records: u64,
    pub timers: u64,
    pub parts: u64,
    pub keys: usize,
}

const FAULTS_MAX: usize = 20;

impl Checker {
    /// A checker for these inputs, as an independent reader found them.
    pub fn new(inputs: impl IntoIterator<Item = (Place, Given)>, parts: u32) -> Self {
        let input = |given| Input { given, link: None, parts: vec![None; parts as usize] };
        let inputs = inputs.into_iter().map(|(place, given)| (place, input(given))).collect();
        Self { inputs, keys: HashMap::new(), parts, found: Found::default(), faults: Vec::new(), more: 0 }
    }

    /// The next link of a partition.
    pub fn link(&mut self, at: Place, value: &str) {
        match serde_json::from_str::<Link>(value) {
            Ok(link) => self.check_link(at, link),
            Err(error) => self.fault(format!("{at}: no link: {error}: {value}")),
        }
    }

    /// The next part of a partition.
    pub fn part(&mut self, at: Place, value: &str) {
        match serde_json::from_str::<Part>(value) {
            Ok(part) => self.check_part(at, &part),
            Err(error) => self.fault(format!("{at}: no part: {error}: {value}")),
        }
    }

    /// What was found.
    ///
    /// # Errors
    /// All that is wrong, a line each.
    pub fn finish(mut self) -> Result<Found, String> {
        let mut inputs: Vec<_> = std::mem::take(&mut self.inputs).into_iter().collect();
        inputs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (place, input) in &inputs {
            self.check_input(place, input);
        }
        self.found.keys = self.keys.len();
        if self.faults.is_empty() {
            return Ok(self.found);
        }
        if self.more > 0 {
            self.faults.push(format!("and {} more", self.more));
        }
        Err(self.faults.join("\n"))
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        } else {
            self.more += 1;
        }
    }

    fn check_link(&mut self, at: Place, link: Link) {
        if let Cause::Input(place, id) = &link.cause {
            let Some(input) = self.inputs.get_mut(place) else {
                return self.fault(format!("{at}: made of {place}, where no record is"));
            };
            if (&input.given.key, input.given.id) != (&link.key, *id) {
                let Given { key, id: was } = input.given.clone();
                let made = &link.key;
                return self.fault(format!("{at}: made of {place} as {made} {id}, which is {key} {was}"));
            }
            if let Some(first) = &input.link {
                let first = first.at.clone();
                return self.fault(format!("{at}: doubled: {place} has its link at {first}"));
            }
            input.link = Some(Seen { at: at.clone(), hash: link.hash });
            self.found.records += 1;
        } else {
            self.found.timers += 1;
        }
        self.follow(&at, &link);
    }

    /// Whether a link is the next of its key's chain. It is the end of it from now on, so that a fault is told once.
    fn follow(&mut self, at: &Place, link: &Link) {
        let key = &link.key;
        let end = self.keys.entry(key.clone()).or_default();
        let mut faults = Vec::new();
        if link.step != end.step + 1 {
            faults.push(format!("{at}: step {} of {key} follows {}", link.step, end.step));
        } else if link.hash != hash_after(end.hash, key, &link.cause) {
            faults.push(format!("{at}: step {} of {key} has another hash than the chain before it gives", link.step));
        }
        let (count, ticks) = match &link.cause {
            Cause::Input(place, _) => {
                let newest = end.newest.entry((place.topic.clone(), place.partition)).or_insert(-1);
                if place.offset <= *newest {
                    faults.push(format!("{at}: reordered: {place} of {key} comes after offset {newest}"));
                }
                *newest = place.offset.max(*newest);
                (end.count + 1, 0)
            }
            Cause::Timer(nth) => {
                if *nth != end.ticks + 1 {
                    faults.push(format!("{at}: timer {nth} of {key} follows {}", end.ticks));
                }
                (end.count, *nth)
            }
        };
        if link.count != count && faults.is_empty() {
            faults.push(format!("{at}: {key} counts {} where it should {count}", link.count));
        }
        if *end.partition.get_or_insert(at.partition) != at.partition {
            faults.push(format!("{at}: links of {key} are in partition {} too", end.partition.unwrap_or_default()));
        }
        (end.step, end.count, end.hash, end.ticks) = (link.step, link.count, link.hash, ticks);
        faults.into_iter().for_each(|fault| self.fault(fault));
    }

    fn check_part(&mut self, at: Place, part: &Part) {
        let (of, number) = (&part.of, part.part);
        let Some(input) = self.inputs.get_mut(of) else {
            return self.fault(format!("{at}: part {number} of {of}, where no record is"));
        };
        let fault = match (input.parts.get_mut(number as usize), &input.link) {
            (None, _) => Some(format!("{at}: part {number} of {of}, which makes {}", self.parts)),
            (Some(Some(first)), _) => Some(format!("{at}: doubled: part {number} of {of} is at {first}")),
            (Some(_), Some(link)) if link.hash != part.hash => {
                Some(format!("{at}: part {number} of {of} is of another attempt than its link at {}", link.at))
            }
            (Some(free), _) => {
                *free = Some(at);
                None
            }
        };
        match fault {
            Some(fault) => self.fault(fault),
            None => self.found.parts += 1,
        }
    }

    fn check_input(&mut self, place: &Place, input: &Input) {
        let Given { key, id } = &input.given;
        let (there, missing): (Vec<_>, Vec<_>) =
            (0..self.parts).partition(|part| input.parts[*part as usize].is_some());
        match &input.link {
            None if there.is_empty() => self.fault(format!("lost: {place}, {key} {id}, has no link and no parts")),
            None => self.fault(format!("torn: {place}, {key} {id}, has no link but parts {there:?}")),
            Some(link) if !missing.is_empty() => {
                self.fault(format!("torn: {place}, {key} {id}, has its link at {} but no parts {missing:?}", link.at));
            }
            Some(_) => {}
        }
    }
}
