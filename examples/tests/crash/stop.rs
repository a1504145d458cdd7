//! SIGTERM and SIGINT: the first finishes the epoch, the second does not wait.

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::shop::{examples, stderr};

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// The endless demo, once it has written its first alerts.
fn demo(directory: &std::path::Path, seen: u64) -> Child {
    let output = directory.join("alerts.jsonl");
    let child = Command::new(examples().join("transaction_alerts"))
        .args(["--rate", "200000", "--commit-interval", "20ms", "--output"])
        .arg(&output)
        .arg("--state")
        .arg(directory.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while fs::metadata(&output).map_or(0, |metadata| metadata.len()) <= seen {
        assert!(Instant::now() < end, "no alert in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn end(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

#[test]
fn the_first_signal_finishes_the_epoch_and_the_job_goes_on_later() {
    let directory = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for name in ["-TERM", "-INT"] {
        let child = demo(directory.path(), seen);
        signal(&child, name);
        let output = end(child);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.lines().last().is_some_and(|line| line.contains(" records in ")), "no closing line: {said}");
        // What is there was committed: a later run finds it as it was left, and goes on behind it.
        let written = fs::metadata(directory.path().join("alerts.jsonl")).unwrap().len();
        assert!(written > seen);
        seen = written;
    }
}
