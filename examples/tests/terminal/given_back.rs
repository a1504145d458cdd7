//! However a job with the live view ends, its terminal is as it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::process::{AT_ONCE, EVER, Running, Said, examples, wait_for};
use crate::pty::Terminal;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
const HIDE: &str = "\x1b[?25l";
const SHOW: &str = "\x1b[?25h";

/// A job with the live view.
struct Viewed {
    terminal: Terminal,
    modes_before: String,
    screen: Said,
    process: Running,
    _directory: tempfile::TempDir,
}

impl Viewed {
    /// Starts an example, in a directory that `prepare` has put something into.
    fn start(example: &str, arguments: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let mut command = Command::new(examples().join(example));
        command.arg("--live").args(arguments).current_dir(directory.path());
        let terminal = Terminal::open();
        let modes_before = terminal.modes();
        assert!(!terminal.is_raw());
        let screen = terminal.said();
        let process = terminal.start(command);
        Self { terminal, modes_before, screen, process, _directory: directory }
    }

    /// The endless demo, once the view has the terminal.
    fn demo() -> Self {
        let viewed = Self::start("transaction_alerts", &[], |_| {});
        viewed.wait_until_taken();
        viewed
    }

    /// A job that cannot finish its epoch.
    fn stuck() -> Self {
        let viewed = Self::start("misbehaving", &["--then", "block"], |_| {});
        viewed.wait_until_taken();
        viewed.screen.wait_for("the closure blocks", EVER);
        viewed
    }

    fn wait_until_taken(&self) {
        self.screen.wait_for(HIDE, EVER);
        assert!(self.screen.so_far().contains(ENTER));
        assert!(self.terminal.is_raw());
    }

    /// Checks that the process ended with `code` and gave the terminal back, and returns what it said after that.
    fn given_back(mut self, code: i32) -> String {
        let limit = if code > 128 { AT_ONCE } else { EVER };
        let (ended, modes) = (self.process.code(limit), self.terminal.modes());
        drop(self.terminal);
        let said = self.screen.all();
        assert_eq!(ended, Some(code), "{said:?}");
        assert_eq!(modes, self.modes_before);
        let last = |sequence| said.rfind(sequence);
        assert!(last(ENTER).is_some() && last(ENTER) < last(LEAVE), "still on the other screen: {said:?}");
        assert!(last(HIDE) < last(SHOW), "no cursor: {said:?}");
        let (_, after) = said.rsplit_once(LEAVE).unwrap();
        after.to_owned()
    }
}

#[test]
fn when_the_inputs_have_ended() {
    let arguments = ["--input", "transactions.jsonl", "--output", "alerts.jsonl"];
    let empty = |directory: &Path| fs::write(directory.join("transactions.jsonl"), "").unwrap();
    let after = Viewed::start("transaction_alerts", &arguments, empty).given_back(0);
    assert!(after.contains("0 records in "), "{after:?}");
}

#[test]
fn when_a_signal_has_stopped_the_job() {
    for signal in [Signal::TERM, Signal::INT] {
        let demo = Viewed::demo();
        demo.process.signal(signal);
        let after = demo.given_back(0);
        assert!(after.contains(" records in "), "{after:?}");
    }
}

#[test]
fn when_a_key_has_stopped_the_job() {
    let demo = Viewed::demo();
    demo.terminal.press("q");
    demo.given_back(0);
}

#[test]
fn when_a_second_signal_has_ended_it_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let stuck = Viewed::stuck();
        stuck.process.signal(signal);
        stuck.screen.wait_for("stopping", EVER);
        stuck.process.signal(signal);
        stuck.given_back(code);
    }
}

#[test]
fn when_a_second_key_has_ended_it_at_once() {
    let stuck = Viewed::stuck();
    stuck.terminal.press("q");
    stuck.screen.wait_for("stopping", EVER);
    stuck.terminal.press("q");
    stuck.given_back(130);
}

#[test]
fn when_a_closure_has_panicked() {
    let after = Viewed::start("misbehaving", &["--then", "panic"], |_| {}).given_back(1);
    // Neither the panic nor the error was drawn over.
    assert!(after.contains("the closure panics") && after.contains("panic in `filter`"), "{after:?}");
}

#[test]
fn when_an_input_cannot_be_read() {
    let arguments = ["--input", "transactions.jsonl", "--output", "alerts.jsonl"];
    let bad = |directory: &Path| fs::write(directory.join("transactions.jsonl"), "no transaction\n").unwrap();
    let after = Viewed::start("transaction_alerts", &arguments, bad).given_back(1);
    assert!(after.contains("transactions.jsonl line 1"), "{after:?}");
}

/// What is written to it waits for ever, and so does the thread that draws.
#[test]
fn a_terminal_that_takes_no_more_does_not_hold_the_exit_up() {
    let (directory, terminal) = (tempfile::tempdir().unwrap(), Terminal::open());
    let modes_before = terminal.modes();
    let mut command = Command::new(examples().join("transaction_alerts"));
    command.arg("--live").current_dir(directory.path());
    let mut process = terminal.start(command);
    wait_for("a terminal that is full", EVER, || terminal.is_full());
    assert!(terminal.is_raw());
    process.signal(Signal::TERM);
    // Nothing tells that the first was seen, and two that come together count as one.
    wait_for("the end", AT_ONCE, || {
        if process.has_ended() {
            return true;
        }
        process.signal(Signal::TERM);
        false
    });
    assert_eq!((process.code(AT_ONCE), terminal.modes()), (Some(143), modes_before));
}
