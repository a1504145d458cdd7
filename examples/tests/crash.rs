//! The flagship under faults: killed, its disk filled, its log cut. Whatever happened, the alerts are those of a clean
//! run and of an independent count.
//!
//! `HEADWATER_TORTURE=1` runs the long form (`make torture`); `HEADWATER_SEED=n` repeats a run.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "a crash test kills at times that the clock says")]

#[path = "crash/disk.rs"]
mod disk;
#[path = "support/ends.rs"]
mod ends;
#[path = "support/fate.rs"]
#[allow(dead_code, reason = "the postbox uses the rest")]
mod fate;
#[path = "crash/kill.rs"]
mod kill;
#[path = "support/letters.rs"]
mod letters;
#[path = "support/mount.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod mount;
#[path = "crash/post.rs"]
mod post;
#[path = "support/process.rs"]
mod process;
#[path = "support/seed.rs"]
mod seed;
#[path = "crash/shop.rs"]
mod shop;
#[path = "crash/stop.rs"]
mod stop;
#[path = "crash/wal.rs"]
mod wal;
