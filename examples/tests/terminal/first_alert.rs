//! What `make demo` promises: once it is built, the first alert comes within ten seconds.

use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{EVER, Running, Said, examples};
use crate::pty::Terminal;

const PROMISED: Duration = Duration::from_secs(10);

/// The end of an alert, as it is printed and as it is first drawn.
const ALERT: &str = r#""count":11}"#;

/// The example as `dev/demo` starts it, but for the directory.
fn demo(directory: &tempfile::TempDir) -> Command {
    let mut command = Command::new(examples().join("transaction_alerts"));
    command.current_dir(directory.path());
    command
}

#[test]
fn the_view_shows_an_alert_within_ten_seconds() {
    let (directory, terminal) = (tempfile::tempdir().unwrap(), Terminal::open());
    let mut command = demo(&directory);
    command.arg("--live");
    let screen = terminal.said();
    let mut process = terminal.start(command);
    screen.wait_for(ALERT, PROMISED);
    process.signal(Signal::TERM);
    assert_eq!(process.code(EVER), Some(0));
}

#[test]
fn an_alert_is_printed_within_ten_seconds() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = demo(&directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Running::start(&mut command);
    let printed = Said::by(process.0.stdout.take().unwrap());
    printed.wait_for(ALERT, PROMISED);
    process.signal(Signal::TERM);
    assert_eq!(process.code(EVER), Some(0));
    assert!(printed.all().lines().all(|line| line.starts_with(r#"{"user":"u-"#)));
}
