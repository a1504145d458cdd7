//! Breadth-first search over all states of a model, and from it the shortest way to a broken promise.
//!
//! A state is kept whole only while it waits to be expanded; of the others remain a 64-bit fingerprint, the state it
//! was first reached from and the action that led there. A trace is found by going those actions again. Two states with
//! one fingerprint would hide one of them: with ten million states the chance of a single such pair is about 3 in
//! a million.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};

pub trait Model {
    type State: Copy + Hash;
    type Action: Copy + Debug;

    fn start(&self) -> Self::State;

    /// Everything that may happen in some state.
    fn actions(&self) -> Vec<Self::Action>;

    /// Makes the state the one after the action, or says which promise it breaks. If the action cannot happen here it
    /// answers nothing and leaves the state as it is.
    fn apply(&self, state: &mut Self::State, action: Self::Action) -> Option<Result<(), String>>;

    /// Whether the action happens sooner or later without luck and without anybody's help.
    fn is_fair(&self, state: &Self::State, action: Self::Action) -> bool;

    /// Whether this is what must stay within reach of fair actions.
    fn is_goal(&self, state: &Self::State) -> bool;
}

/// What a search may cost and looks for.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub states_max: usize,
    /// Whether to look for states from which the goal is out of reach. It takes a list of all fair steps.
    pub find_stuck: bool,
}

/// A broken promise and how to get there.
#[derive(Debug)]
pub struct Counterexample {
    pub promise: String,
    pub trace: Vec<String>,
}

pub struct Outcome {
    pub states: usize,
    pub depth: usize,
    pub is_complete: bool,
    pub counterexample: Option<Counterexample>,
}

pub fn search<M: Model>(model: &M, bounds: Bounds) -> Outcome {
    let mut search = Search::new(model, bounds);
    let broken = search.explore();
    let is_complete = broken.is_none() && search.frontier.is_empty();
    let mut counterexample = broken.map(|(from, action, promise)| {
        let mut trace = search.trace(from);
        trace.push(format!("{action:?}"));
        Counterexample { promise, trace }
    });
    if is_complete && bounds.find_stuck {
        counterexample = search.stuck().map(|state| {
            let promise = "stuck: no fair actions lead to where all input is committed and readable".to_owned();
            Counterexample { promise, trace: search.trace(state) }
        });
    }
    Outcome { states: search.origins.len(), depth: search.depth, is_complete, counterexample }
}

struct Search<'m, M: Model> {
    model: &'m M,
    bounds: Bounds,
    actions: Vec<M::Action>,
    known: Fingerprints,
    /// Of each state, in the order found: the state before and the action's place in `actions`.
    origins: Vec<(u32, u16)>,
    frontier: Vec<(u32, M::State)>,
    fair: Vec<(u32, u32)>,
    goals: Vec<u32>,
    depth: usize,
}

impl<'m, M: Model> Search<'m, M> {
    fn new(model: &'m M, bounds: Bounds) -> Self {
        let actions = model.actions();
        let mut search = Self {
            model,
            bounds,
            actions,
            known: Fingerprints::new(),
            origins: Vec::new(),
            frontier: Vec::new(),
            fair: Vec::new(),
            goals: Vec::new(),
            depth: 0,
        };
        let start = model.start();
        let mut next = Vec::new();
        search.reach(start, (0, 0), &mut next);
        search.frontier = next;
        search
    }

    /// Expands level after level; returns the first broken promise, from where and by what.
    fn explore(&mut self) -> Option<(u32, M::Action, String)> {
        while !self.frontier.is_empty() && self.origins.len() < self.bounds.states_max {
            let level = std::mem::take(&mut self.frontier);
            let mut next = Vec::with_capacity(level.len());
            for (id, state) in level {
                let mut after = state;
                for number in 0..self.actions.len() {
                    let action = self.actions[number];
                    let Some(outcome) = self.model.apply(&mut after, action) else { continue };
                    if let Err(promise) = outcome {
                        return Some((id, action, promise));
                    }
                    let to = self.reach(after, (id, u16::try_from(number).unwrap()), &mut next);
                    if self.bounds.find_stuck && self.model.is_fair(&state, action) {
                        self.fair.push((id, to));
                    }
                    after = state;
                }
            }
            self.frontier = next;
            self.depth += 1;
        }
        None
    }

    fn reach(&mut self, state: M::State, origin: (u32, u16), next: &mut Vec<(u32, M::State)>) -> u32 {
        let id = u32::try_from(self.origins.len()).unwrap();
        let known = self.known.insert(fingerprint(&state), id);
        if known == id {
            if self.bounds.find_stuck && self.model.is_goal(&state) {
                self.goals.push(id);
            }
            self.origins.push(origin);
            next.push((id, state));
        }
        known
    }

    /// The first state found that no fair way leads out of to a goal.
    fn stuck(&self) -> Option<u32> {
        let states = self.origins.len();
        let mut starts = vec![0u32; states + 1];
        for &(_, to) in &self.fair {
            starts[to as usize + 1] += 1;
        }
        for at in 0..states {
            starts[at + 1] += starts[at];
        }
        let mut filled = starts.clone();
        let mut before = vec![0u32; self.fair.len()];
        for &(from, to) in &self.fair {
            before[filled[to as usize] as usize] = from;
            filled[to as usize] += 1;
        }
        let mut is_free = vec![false; states];
        let mut open = self.goals.clone();
        for &goal in &open {
            is_free[goal as usize] = true;
        }
        while let Some(at) = open.pop() {
            for &from in &before[starts[at as usize] as usize..starts[at as usize + 1] as usize] {
                if !std::mem::replace(&mut is_free[from as usize], true) {
                    open.push(from);
                }
            }
        }
        is_free.iter().position(|free| !free).map(|at| u32::try_from(at).unwrap())
    }

    fn trace(&self, mut at: u32) -> Vec<String> {
        let mut numbers = Vec::new();
        while at != 0 {
            let (before, number) = self.origins[at as usize];
            numbers.push(number);
            at = before;
        }
        numbers.iter().rev().map(|&number| format!("{:?}", self.actions[usize::from(number)])).collect()
    }
}

/// A set of fingerprints with a number each, in 12 bytes per place.
struct Fingerprints {
    keys: Vec<u64>,
    ids: Vec<u32>,
    len: usize,
}

impl Fingerprints {
    fn new() -> Self {
        Self::with_places(1 << 16)
    }

    fn with_places(places: usize) -> Self {
        Self { keys: vec![0; places], ids: vec![0; places], len: 0 }
    }

    /// The number that the fingerprint has, which is `id` if it is new.
    fn insert(&mut self, key: u64, id: u32) -> u32 {
        if self.len * 4 >= self.keys.len() * 3 {
            let old = std::mem::replace(self, Self::with_places(self.keys.len() * 2));
            for (&key, &id) in old.keys.iter().zip(&old.ids).filter(|(key, _)| **key != 0) {
                self.insert(key, id);
            }
        }
        let mask = self.keys.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "it is masked to the size of the table")]
        let mut at = key as usize & mask;
        while self.keys[at] != 0 {
            if self.keys[at] == key {
                return self.ids[at];
            }
            at = (at + 1) & mask;
        }
        self.keys[at] = key;
        self.ids[at] = id;
        self.len += 1;
        id
    }
}

fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Folding { folded: 0x243f_6a88_85a3_08d3, word: 0, bytes: 0 };
    state.hash(&mut hasher);
    hasher.finish()
}

/// A quick hash: eight bytes at a time are folded in by a wide multiplication.
struct Folding {
    folded: u64,
    word: u64,
    bytes: u32,
}

impl Folding {
    fn fold(&mut self) {
        let wide = u128::from(self.folded ^ self.word ^ 0x9e37_79b9_7f4a_7c15) * 0xa076_1d64_78bd_642f;
        #[expect(clippy::cast_possible_truncation, reason = "both halves are folded into one")]
        let folded = (wide >> 64) as u64 ^ wide as u64;
        self.folded = folded.wrapping_add(self.folded.rotate_left(29));
        (self.word, self.bytes) = (0, 0);
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, byte: u8) {
        self.word = self.word << 8 | u64::from(byte);
        self.bytes += 1;
        if self.bytes == 8 {
            self.fold();
        }
    }

    /// Lengths of arrays are always the same.
    fn write_usize(&mut self, _length: usize) {}

    /// Which variant of an enum it is.
    fn write_isize(&mut self, variant: isize) {
        self.write_u8(u8::try_from(variant).unwrap());
    }

    fn finish(&self) -> u64 {
        let mut mixed = self.folded ^ self.word.wrapping_mul(0xe703_7ed1_a0b4_28db);
        mixed ^= mixed >> 32;
        mixed = mixed.wrapping_mul(0xe703_7ed1_a0b4_28db);
        (mixed ^ (mixed >> 29)).max(1)
    }
}
