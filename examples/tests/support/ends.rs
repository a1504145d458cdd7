//! Ways for a process to end before it has come to its end. Each says whether it did, or had come to its end before.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{EVER, Running, Said, wait_for};

/// It aborts at the `nth` pass of a place: see `headwater::state::CRASH_POINTS`.
pub fn crashes(command: &mut Command, place: &str, nth: u32) -> bool {
    let status = command.env("HEADWATER_CRASH", format!("{place}:{nth}")).status().unwrap();
    assert!(status.success() || status.code().is_none(), "{place}: {status}");
    status.code().is_none()
}

/// It stands still at the `nth` pass of a place, and is killed there after `moment`: time enough for what should not happen.
pub fn is_killed_at(command: &mut Command, (place, nth): (&str, u32), moment: Duration) -> bool {
    command.env("HEADWATER_CRASH", format!("{place}:{nth}:600000")).stderr(Stdio::piped());
    let mut child = Running::start(command);
    let said = Said::by(child.0.stderr.take().unwrap());
    wait_for(place, EVER, || said.so_far().contains("waiting at") || child.has_ended());
    !child.has_ended() && kill(child, moment)
}

/// It is killed after a while.
pub fn is_killed_after(command: &mut Command, life: Duration) -> bool {
    kill(Running::start(command), life)
}

fn kill(mut child: Running, after: Duration) -> bool {
    let end = Instant::now() + after;
    wait_for("the moment to kill", EVER, || Instant::now() >= end || child.has_ended());
    let killed = !child.has_ended();
    drop(child); // which kills it
    killed
}
