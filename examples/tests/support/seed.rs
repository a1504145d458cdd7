//! How a random test is asked to run.

use std::time::{SystemTime, UNIX_EPOCH};

/// Whether the long form runs.
pub fn torture() -> bool {
    std::env::var_os("HEADWATER_TORTURE").is_some()
}

/// The seed of this run, printed so that it can be repeated.
pub fn seed(test: &str) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 % 1_000_000;
    let seed = std::env::var("HEADWATER_SEED").map_or(now, |seed| seed.parse().unwrap());
    println!("{test}: HEADWATER_SEED={seed}");
    seed
}
