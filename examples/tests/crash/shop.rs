//! The processes of a crash test and the files they share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater::prelude::Random;

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

/// Where cargo puts examples of the profile that this test was built with.
fn examples() -> &'static Path {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "-p", "headwater-examples", "--examples", "--all-features"]);
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the examples must build");
        profile.join("examples")
    })
}

/// A directory with an input, and the alerts that belong to it.
pub struct Shop {
    pub directory: tempfile::TempDir,
    pub expected: String,
    pub records: u64,
}

impl Shop {
    /// Writes `records` transactions and counts them without the engine.
    pub fn open(records: u64, users: u64, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let input = directory.path().join("transactions.jsonl");
        let write = Command::new(examples().join("payments_file"))
            .arg("write")
            .arg(&input)
            .args(["--records", &records.to_string(), "--seed", &seed.to_string(), "--users", &users.to_string()])
            .status()
            .unwrap();
        assert!(write.success());
        let expect = Command::new(examples().join("payments_file")).arg("expect").arg(&input).output().unwrap();
        assert!(expect.status.success());
        let expected = String::from_utf8(expect.stdout).unwrap();
        assert!(expected.lines().count() > 10, "an input without alerts proves nothing");
        Self { directory, expected, records }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The flagship over this input. State and output are in `place`.
    pub fn command(&self, place: &Path, random: &mut Random) -> Command {
        let interval = *random.pick(&["5ms", "20ms", "50ms", "200ms"]);
        let workers = *random.pick(&["1", "2", "3"]);
        let memory = *random.pick(&["24MB", "64MB", "1GB"]);
        let mut command = Command::new(examples().join("transaction_alerts"));
        command
            .arg("--input")
            .arg(self.path("transactions.jsonl"))
            .arg("--output")
            .arg(place.join("alerts.jsonl"))
            .arg("--state")
            .arg(place.join("state"))
            .args(["--commit-interval", interval, "--workers", workers, "--memory", memory, "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Runs to the end, and checks that it was reached.
    pub fn finish(&self, place: &Path, random: &mut Random) {
        let output = self.command(place, random).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// Compares the output with the independent count.
    pub fn check(&self, place: &Path) {
        let output = fs::read_to_string(place.join("alerts.jsonl")).unwrap();
        let mut found: Vec<&str> = output.lines().collect();
        found.sort_unstable();
        let expected: Vec<&str> = self.expected.lines().collect();
        if found != expected {
            let wrong = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            panic!("{} alerts, {} expected; the first difference: {wrong:?}", found.len(), expected.len());
        }
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Lets a process run for a while, then kills it as `kill -9` does. Whether it was still running.
pub fn kill_after(child: &mut Child, wait: Duration) -> bool {
    let end = Instant::now() + wait;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "it stopped by itself: {status}");
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}
