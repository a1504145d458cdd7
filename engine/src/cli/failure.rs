//! How a command ends, and what is said when it ends badly.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use crate::{Error, Kind};

/// Why a command did not do what it was asked for.
pub(super) enum Failure {
    /// Clap's answer: a usage error, or what `--help` shows.
    Clap(clap::Error),
    /// The command line and the job do not fit.
    Usage(Error),
    /// The job failed.
    Job(Error),
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Clap(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Job(error)
    }
}

/// Says what is to be said, and returns the exit code.
pub(super) fn exit(outcome: Result<(), Failure>) -> ExitCode {
    // If standard error is gone, the exit code still tells.
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Clap(error)) => {
            error.print().ok();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
        Err(Failure::Usage(error)) => {
            say(&error).ok();
            ExitCode::from(2)
        }
        Err(Failure::Job(error)) => {
            say(&error).ok();
            ExitCode::from(1)
        }
    }
}

fn say(error: &Error) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    let is_plain = !stderr.is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    for line in describe(error).lines() {
        match line.split_once(": ") {
            Some(("error", rest)) if !is_plain => writeln!(stderr, "\x1b[1;31merror:\x1b[0m {rest}")?,
            Some(("help", rest)) if !is_plain => writeln!(stderr, "\x1b[1;36mhelp:\x1b[0m {rest}")?,
            _ => writeln!(stderr, "{line}")?,
        }
    }
    Ok(())
}

/// `error: …`, then `help: …` with what its kind asks for, unless the message has a remedy of its own.
fn describe(error: &Error) -> String {
    let text = format!("error: {error}");
    if text.contains("\nhelp: ") || text.contains("--fresh") {
        return text;
    }
    let help = match error.kind() {
        Kind::Unavailable => "what was committed is safe; start the job again and it goes on from there",
        Kind::Corrupt => {
            "put the state directory back from a copy, or start over with --fresh, which moves the old state aside"
        }
        Kind::Bug => "this is a fault in Headwater, not in your job; please report it with the lines above",
        Kind::Fenced => "another instance of this job owns its work; stop it first",
        _ => return text,
    };
    format!("{text}\nhelp: {help}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_with_what_its_kind_asks_for() {
        let error = Error::corrupt("delta block has another checksum");
        let text = describe(&error);
        assert!(text.starts_with("error: delta block has another checksum\nhelp: "), "{text}");
        assert!(text.contains("--fresh"), "{text}");
    }

    #[test]
    fn a_remedy_in_the_message_comes_alone() {
        let error = Error::unavailable("disk is full\nhelp: make room");
        assert_eq!(describe(&error), "error: disk is full\nhelp: make room");
    }
}
