//! SIGTERM and SIGINT: the first finishes the epoch, the second does not wait.

use std::fs;
use std::io::pipe;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use crate::process::{AT_ONCE, EVER, Running, Said, examples, wait_for};
use crate::seed::seed;
use crate::shop::Shop;

/// What is said at the first signal.
const STOPPING: &str = "stopping after this epoch";

/// Starts an example, and reads what it says of itself.
fn start(example: &str, arguments: &[&str], place: &Path, stdout: Stdio) -> (Running, Said) {
    let mut command = Command::new(examples().join(example));
    command.args(arguments).current_dir(place).stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let mut process = Running::start(&mut command);
    let said = Said::by(process.0.stderr.take().unwrap());
    (process, said)
}

#[test]
fn the_first_signal_finishes_the_epoch_and_the_job_goes_on_later() {
    let directory = tempfile::tempdir().unwrap();
    let length = || fs::metadata(directory.path().join("alerts.jsonl")).map_or(0, |metadata| metadata.len());
    let arguments = ["--rate", "200000", "--commit-interval", "20ms", "--output", "alerts.jsonl"];
    let mut seen = 0;
    for signal in [Signal::TERM, Signal::INT] {
        let (mut demo, said) = start("transaction_alerts", &arguments, directory.path(), Stdio::null());
        wait_for("an alert", EVER, || length() > seen);
        demo.signal(signal);
        let code = demo.code(EVER);
        let said = said.all();
        assert_eq!(code, Some(0), "{said}");
        assert!(said.lines().last().is_some_and(|line| line.contains(" records in ")), "no closing line: {said}");
        // What is there was committed: a later run finds it as it was left, and goes on behind it.
        assert!(length() > seen);
        seen = length();
    }
}

#[test]
fn the_second_signal_does_not_wait_for_a_closure() {
    for (first, second, code) in [(Signal::TERM, Signal::TERM, 143), (Signal::TERM, Signal::INT, 130)] {
        let directory = tempfile::tempdir().unwrap();
        let (mut process, said) = start("misbehaving", &["--then", "block"], directory.path(), Stdio::null());
        said.wait_for("the closure blocks", EVER);
        process.signal(first);
        said.wait_for(STOPPING, EVER);
        assert!(!process.has_ended(), "the first signal waits for the epoch");
        process.signal(second);
        assert_eq!(process.code(AT_ONCE), Some(code));
    }
}

/// Whether something written to it would wait.
fn is_full(pipe: impl AsFd) -> bool {
    let mut wanted = [PollFd::new(&pipe, PollFlags::OUT)];
    poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 0
}

#[test]
fn the_second_signal_does_not_wait_for_standard_output() {
    // An epoch has more alerts than a pipe holds: once it is full, a commit is being printed.
    let shop = Shop::open(300_000, 2_000, seed("stop"));
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (reader, writer) = pipe().unwrap();
        let place = tempfile::tempdir_in(shop.directory.path()).unwrap();
        let arguments = ["--input", "../transactions.jsonl", "--output", "-"];
        let (mut process, said) =
            start("transaction_alerts", &arguments, place.path(), writer.try_clone().unwrap().into());
        wait_for("a full pipe", EVER, || is_full(&writer));
        process.signal(signal);
        said.wait_for(STOPPING, EVER);
        assert!(!process.has_ended(), "the first signal waits for the epoch");
        process.signal(signal);
        assert_eq!(process.code(AT_ONCE), Some(code));
        drop(reader);
    }
}
