//! The processes of a crash test and the files they share.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use headwater::prelude::Random;

use crate::process::examples;

/// A directory with an input, and the alerts that belong to it.
pub struct Shop {
    pub directory: tempfile::TempDir,
    /// Sorted.
    pub expected: Vec<String>,
    pub records: u64,
}

/// 2026-03-01T00:00:00Z, in milliseconds.
const FIRST_DAY_MS: u64 = 1_772_323_200_000;
const DAY_MS: u64 = 86_400_000;

impl Shop {
    /// Writes `records` transactions of `users` and counts them, without the engine. Each user makes about ten and a
    /// half a day, so that every second one passes ten and a single count lost or doubled shows; they come up to four
    /// minutes out of order.
    pub fn open(records: u64, users: u64, seed: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut file = BufWriter::new(File::create(directory.path().join("transactions.jsonl")).unwrap());
        let mut random = Random::new(seed, 1);
        let per_day = users * 21 / 2;
        let mut counts: HashMap<(u64, u64), u32> = HashMap::new();
        let mut expected = Vec::new();
        for number in 0..records {
            let at = FIRST_DAY_MS + number * DAY_MS / per_day;
            let at = at.saturating_sub(random.below(240_000)).max(FIRST_DAY_MS);
            let user = random.below(users);
            writeln!(
                file,
                r#"{{"id":"t-{number}","user":"u-{user}","at":{at},"amount":9.5,"currency":"EUR","merchant":"m-{}","channel":"app","status":"approved"}}"#,
                user % 97
            )
            .unwrap();
            let day = (at - FIRST_DAY_MS) / DAY_MS;
            let count = counts.entry((user, day)).or_default();
            *count += 1;
            if *count == 11 {
                assert!(day < 31, "the dates here are of March");
                expected.push(format!(r#"{{"user":"u-{user}","day":"2026-03-{:02}","count":11}}"#, day + 1));
            }
        }
        file.flush().unwrap();
        expected.sort_unstable();
        assert!(expected.len() as u64 > users / 4, "an input without alerts proves nothing");
        Self { directory, expected, records }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The flagship over this input. State and output are in `place`.
    pub fn command(&self, place: &Path, random: &mut Random) -> Command {
        let memory = *random.pick(&["24MB", "64MB", "1GB"]);
        let interval = *random.pick(&["5ms", "20ms", "50ms", "200ms"]);
        self.command_with(place, random, memory, interval)
    }

    /// The same with chosen memory and commits: little and many make it write tables often.
    pub fn command_with(&self, place: &Path, random: &mut Random, memory: &str, interval: &str) -> Command {
        let workers = *random.pick(&["1", "2", "3"]);
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
        let expected: Vec<&str> = self.expected.iter().map(String::as_str).collect();
        if found != expected {
            let wrong = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            panic!("{} alerts, {} expected; the first difference: {wrong:?}", found.len(), expected.len());
        }
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// How a process that was to be killed has ended.
pub enum End {
    /// It was running when it was killed.
    Killed,
    /// It had ended by itself before.
    Itself(Output),
}

/// Lets a process run for a while, then kills it as `kill -9` does.
pub fn kill_after(mut child: Child, wait: Duration) -> End {
    let end = Instant::now() + wait;
    while Instant::now() < end {
        if child.try_wait().unwrap().is_some() {
            return End::Itself(child.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.code().is_none() { End::Killed } else { End::Itself(output) }
}
