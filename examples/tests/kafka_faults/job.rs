//! The job under test as processes: its command line, and two instances that are started again when they end.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use super::mount::Disk;
use super::process::{Running, examples};

/// The job's name, which is its group's and the start of its topics' names.
pub const JOB: &str = "checker";
pub const INPUTS: [(&str, i32); 2] = [("first", 3), ("second", 2)];
pub const LINKS: (&str, i32) = ("links", 2);
pub const PARTS: (&str, i32) = ("parts", 3);
pub const PARTS_EACH: u32 = 3;

/// What the changelog may grow by before it is shortened.
const CHANGELOG_MIN: &str = "500KB";
/// It is shorter than this at rest, as a rotation that a fault breaks off begins anew.
pub const CHANGELOG_BYTES_MAX: usize = 5_000_000;

/// How long the broker waits for a silent member, and for a silent transaction.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub session: Duration,
    pub transaction: Duration,
}

/// One instance: its command line is here and nowhere else.
pub struct Instance {
    pub name: &'static str,
    pub disk: Disk,
    brokers: String,
    timeouts: Timeouts,
    log: PathBuf,
    process: Option<Running>,
    /// Whether it is meant to run.
    wanted: bool,
    started: Instant,
}

impl Instance {
    pub fn new(name: &'static str, directory: &Path, brokers: &str, timeouts: Timeouts) -> Self {
        Self {
            name,
            // RocksDB allots its files ahead.
            disk: Disk::mount(&directory.join(name), 192),
            brokers: brokers.to_owned(),
            timeouts,
            log: directory.join(format!("{name}.log")),
            process: None,
            wanted: false,
            started: Instant::now(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(examples().join("checker"));
        command.args(["--brokers", &self.brokers, "--instance", self.name, "--state"]).arg(self.state());
        for (topic, _) in INPUTS {
            command.args(["--input".to_owned(), format!("{topic}=kafka:{topic}")]);
        }
        for (topic, _) in [LINKS, PARTS] {
            command.args(["--output".to_owned(), format!("{topic}=kafka:{topic}")]);
        }
        let Timeouts { session, transaction } = self.timeouts;
        command.args(["--kafka", &format!("session.timeout.ms={}", session.as_millis())]);
        // A record that waits for longer than its transaction is refused as an option.
        for option in ["transaction", "message"] {
            command.args(["--kafka", &format!("{option}.timeout.ms={}", transaction.as_millis())]);
        }
        // New partitions, and a log that is to be shortened, come often.
        command.args(["--kafka", "topic.metadata.refresh.interval.ms=1000", "--changelog-min", CHANGELOG_MIN]);
        command.args(["--commit-interval", "100ms", "--workers", "2", "--memory", "32MB", "-v"]);
        command.args(["--parts", &PARTS_EACH.to_string()]);
        command
    }

    fn state(&self) -> PathBuf {
        self.disk.at.join("state")
    }

    /// Loses its state.
    pub fn forget(&self) {
        if self.state().exists() {
            fs::remove_dir_all(self.state()).unwrap();
        }
    }

    pub fn start(&mut self) {
        self.run(self.command());
    }

    /// Starts it so that it ends at a place, NAME:N; it is started again without.
    pub fn start_to_crash(&mut self, at: &str) {
        let mut command = self.command();
        command.env("HEADWATER_CRASH", at);
        self.run(command);
    }

    fn run(&mut self, mut command: Command) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(Running::start(&mut command));
        self.started = Instant::now();
        self.wanted = true;
    }

    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }

    /// kill -9; it stays down until it is started.
    pub fn kill(&mut self) {
        self.wanted = false;
        self.process = None;
    }

    /// SIGTERM, after which it ends with this code.
    pub fn stop(&mut self, limit: Duration) -> Option<i32> {
        self.wanted = false;
        self.signal(Signal::TERM);
        self.process.take().and_then(|mut process| process.code(limit))
    }

    /// Starts it again if it has ended by itself. Returns its end, in words.
    pub fn tend(&mut self) -> Option<String> {
        let ended = self.process.as_mut().is_some_and(Running::has_ended);
        // One that ends at once is not started in a loop.
        if !ended || !self.wanted || self.started.elapsed() < Duration::from_millis(500) {
            return None;
        }
        let status = self.process.take()?.status(Duration::ZERO);
        self.start();
        Some(format!("{} ended, {status}: {}", self.name, self.last_words()))
    }

    /// Sets how many files it may have open. Returns how many that were, unless it has ended.
    pub fn limit_files(&self, files: u64) -> Option<u64> {
        let process = Pid::from_child(&self.process.as_ref()?.0);
        let limit = Rlimit { current: Some(files), ..getrlimit(Resource::Nofile) };
        prlimit(Some(process), Resource::Nofile, limit).ok()?.current
    }

    /// All that it has said.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it has said.
    pub fn last_words(&self) -> String {
        let log = self.said();
        let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}
