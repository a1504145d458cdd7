//! A process on the core that is measured.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::cpu_of;

/// Nothing that is measured takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A process that has core 0; the broker has another one.
pub struct Pinned(Child);

impl Pinned {
    /// Starts a program. What it prints is piped.
    pub fn start(program: &str, arguments: &[String]) -> Self {
        Self(Self::command(program, arguments).spawn().expect("taskset can be run"))
    }

    /// The same, with what it says on standard error to be heard.
    pub fn start_heard(program: &str, arguments: &[String]) -> Self {
        Self(Self::command(program, arguments).stderr(Stdio::piped()).spawn().expect("taskset can be run"))
    }

    fn command(program: &str, arguments: &[String]) -> Command {
        let mut command = Command::new("taskset"); // becomes the program, so the pid is that one's
        command.args(["-c", "0", program]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Waits until it says this on standard error; what it says later is not heard.
    pub fn await_saying(&mut self, text: &str) {
        let mut said = BufReader::new(self.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(said.any(|line| line.contains(text)), "the run is void: it ended without saying `{text}`");
        thread::spawn(move || said.for_each(drop)); // so that it can go on speaking
    }

    /// CPU time until now, or until its end.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.0.id())
    }

    /// The numbers it prints, each on a line, as they come.
    pub fn numbers(&mut self) -> Numbers {
        Numbers::of(self.0.stdout.take().unwrap())
    }

    /// All that it printed, once it has ended well.
    pub fn printed(mut self) -> String {
        let mut printed = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "the run is void: {status}");
        printed
    }

    /// Waits for its end, but leaves its CPU time to be read.
    pub fn await_end(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "the run is void: it has not ended within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it has ended; its CPU time is still there to be read.
    pub fn has_ended(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap().contains(") Z ")
    }

    /// Ends it with SIGKILL.
    pub fn kill(self) {
        drop(self);
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) {
        self.signal("TERM");
        self.0.wait().unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

/// A void run leaves nothing behind.
impl Drop for Pinned {
    fn drop(&mut self) {
        // One that was waited for is left alone.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What a process says now and then.
pub struct Numbers(Receiver<u64>);

impl Numbers {
    fn of(output: ChildStdout) -> Self {
        let (said, heard) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if line.trim().parse().is_ok_and(|number| said.send(number).is_err()) {
                    return;
                }
            }
        });
        Self(heard)
    }

    /// Waits for the first that is not less.
    pub fn reach(&self, number: u64) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wait = deadline.saturating_duration_since(Instant::now());
            let heard = self.0.recv_timeout(wait).expect("the run is void: the process ended or hangs");
            if heard >= number {
                return heard;
            }
        }
    }
}
