//! The processes that the tests start, and what they say.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Within this, a process that a second signal ends has ended. It is at once, on a machine with other things to do.
pub const AT_ONCE: Duration = Duration::from_secs(5);

/// Within this, whatever a test waits for has come, or never will.
pub const EVER: Duration = Duration::from_secs(60);

/// Where cargo puts examples of the profile that this test was built with.
pub fn examples() -> &'static Path {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--workspace", "--examples", "--all-features"]); // as the tests are built
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the examples must build");
        profile.join("examples")
    })
}

/// Waits, for as long as `limit`, until something holds.
pub fn wait_for(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < end, "waited {limit:?} for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A process that does not outlive its test.
pub struct Running(pub Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// The exit code of a process that ends within `limit`. There is none if a signal killed it.
    pub fn code(&mut self, limit: Duration) -> Option<i32> {
        self.status(limit).code()
    }

    /// The same, with the signal that has ended it.
    pub fn status(&mut self, limit: Duration) -> ExitStatus {
        wait_for("the end of the process", limit, || self.has_ended());
        self.0.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What a process writes, read as it comes.
pub struct Said {
    text: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Said {
    /// Reads to the end, on a thread of its own.
    pub fn by(mut writer: impl Read + Send + 'static) -> Self {
        let text: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&text);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal that nobody has open any more is an error, and an end like any other.
            while let Ok(length @ 1..) = writer.read(&mut buffer) {
                kept.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { text, thread }
    }

    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// Waits, for as long as `limit`, until `text` has come.
    pub fn wait_for(&self, text: &str, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.so_far().contains(text) {
            assert!(Instant::now() < end, "waited {limit:?} for {text:?} in {:?}", self.so_far());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Everything, once nobody writes any more.
    pub fn all(self) -> String {
        let Self { text, thread } = self;
        thread.join().unwrap();
        String::from_utf8_lossy(&text.lock().unwrap()).into_owned()
    }
}
