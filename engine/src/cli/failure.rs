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

/// `error: …`, then `help: …` with the remedy: the message's own, or what its kind asks for.
fn describe(error: &Error) -> String {
    let text = format!("error: {error}");
    if text.contains("\nhelp: ") {
        return text;
    }
    let message = error.message();
    if error.kind() == Kind::Bug {
        return format!("{text}\nhelp: {}", blame(message));
    }
    // Messages say what is the matter, and after the last semicolon what to do. Causes belong to the first part.
    if let Some((matter, remedy)) = message.rsplit_once("; ")
        && !message.contains('\n')
    {
        let causes = &text["error: ".len() + message.len()..];
        return format!("error: {matter}{causes}\nhelp: {remedy}");
    }
    match error.kind() {
        Kind::Unavailable => {
            format!("{text}\nhelp: what was committed is safe; start the job again and it goes on from there")
        }
        Kind::Corrupt if !message.contains("--fresh") => format!(
            "{text}\nhelp: put the state directory back from a copy, or start over with --fresh, which moves the old \
             state aside"
        ),
        Kind::Fenced => format!("{text}\nhelp: another instance of this job owns its work; stop it first"),
        _ => text,
    }
}

/// Whose fault a fault is: closures of the job run inside our steps, and a panic does not say which it was.
fn blame(message: &str) -> &'static str {
    if message.contains("panic in ") {
        "if the panic is in a closure of the job, mend it and start again: nothing that was committed is lost; \
         if not, please report it"
    } else {
        "this is a fault in Headwater, not in the job; please report it with the lines above"
    }
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
    fn a_remedy_in_the_message_becomes_the_help() {
        let full = std::io::Error::other("no space");
        let error = Error::unavailable("write alerts: the disk is full; free some space").caused_by(full);
        assert_eq!(describe(&error), "error: write alerts: the disk is full: no space\nhelp: free some space");
    }

    #[test]
    fn a_panic_is_not_blamed_on_anyone_unseen() {
        let text = describe(&Error::bug("panic in map: index out of bounds; nothing of the epoch was committed"));
        assert!(text.contains("\nhelp: if the panic is in a closure of the job"), "{text}");
    }

    #[test]
    fn a_remedy_in_the_message_comes_alone() {
        let error = Error::unavailable("disk is full\nhelp: make room");
        assert_eq!(describe(&error), "error: disk is full\nhelp: make room");
    }
}
