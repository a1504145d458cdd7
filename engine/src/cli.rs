//! The command line of a pipeline binary: `run`, `explain` and `dead-letters`.
//!
//! Exit codes: 0 the job ended or was asked to stop, 1 it failed, 2 the command line is wrong, 130 and 143 a second
//! SIGINT or SIGTERM.

mod bind;
mod dead_letters;
mod failure;
mod flags;
mod letter_text;
mod log;
mod watch;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches as _};

use crate::figures;
use crate::job::Job;
use crate::run::{Control, Summary};
use crate::{Error, Result, signals};

use failure::Failure;
use flags::{BindFlags, RunFlags};
use watch::Watch;

/// No flags of the job's own.
#[derive(Args)]
#[group(skip)]
struct NoFlags {}

impl Job {
    /// Answers the command line: runs the job, or explains it.
    ///
    /// ```no_run
    /// use headwater::prelude::*;
    /// use std::process::ExitCode;
    ///
    /// fn job() -> Job {
    ///     let job = Job::new("transaction-alerts");
    ///     // …
    ///     job
    /// }
    /// fn main() -> ExitCode {
    ///     job().main()
    /// }
    /// ```
    pub fn main(self) -> ExitCode {
        let name = self.name().to_owned();
        answer::<NoFlags>(name, std::env::args_os().collect(), |_| self)
    }

    /// The same for a job with flags of its own, which stand in `--help` beside the others.
    ///
    /// ```no_run
    /// use headwater::prelude::*;
    /// use std::process::ExitCode;
    ///
    /// #[derive(clap::Args)]
    /// struct Flags {
    ///     /// Alert above this many transactions
    ///     #[arg(long, default_value_t = 10)]
    ///     limit: u64,
    /// }
    /// fn main() -> ExitCode {
    ///     Job::main_with(|flags: Flags| {
    ///         let job = Job::new("transaction-alerts");
    ///         // … `flags.limit` …
    ///         job
    ///     })
    /// }
    /// ```
    pub fn main_with<A: Args>(build: impl FnOnce(A) -> Job) -> ExitCode {
        let args: Vec<OsString> = std::env::args_os().collect();
        answer(program(&args), args, build)
    }
}

impl Job {
    /// The same as [`main`](Self::main) for a command line that comes from elsewhere, the program's name first.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let job = Job::new("shout");
    /// job.source(Topic::lines::<String>("words")).sink(Topic::lines("shouts"));
    /// assert_eq!(job.main_from(["shout", "explain"]), ExitCode::SUCCESS);
    /// ```
    pub fn main_from<S: Into<OsString>>(self, args: impl IntoIterator<Item = S>) -> ExitCode {
        let name = self.name().to_owned();
        answer::<NoFlags>(name, args.into_iter().map(Into::into).collect(), |_| self)
    }
}

/// The name that the binary was called by.
fn program(args: &[OsString]) -> String {
    let path = args.first().map(Path::new);
    let stem = path.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| "job".into())
}

/// What is generic over the job's flags; the rest is compiled once, with the engine.
fn answer<A: Args>(name: String, args: Vec<OsString>, build: impl FnOnce(A) -> Job) -> ExitCode {
    let outcome = parse(flags::command::<A>(&name, &program(&args)), args).and_then(|(call, matches)| {
        let own = A::from_arg_matches(&matches)?;
        call.answer(&build(own))
    });
    failure::exit(outcome)
}

/// A command, and its flags.
enum Call {
    Run(Box<RunFlags>),
    Explain(BindFlags),
    DeadLetters(dead_letters::Word, Box<dead_letters::LetterFlags>),
}

fn parse(command: Result<Command>, args: Vec<OsString>) -> Result<(Call, clap::ArgMatches), Failure> {
    let mut matches = command.map_err(Failure::Usage)?.try_get_matches_from(args)?;
    let (word, mut matches) = matches.remove_subcommand().unwrap_or_else(|| ("run".into(), matches));
    let call = match word.as_str() {
        "explain" => Call::Explain(BindFlags::from_arg_matches(&matches)?),
        "dead-letters" => {
            let (word, flags, below) = dead_letters::parse(&mut matches)?;
            return Ok((Call::DeadLetters(word, Box::new(flags)), below));
        }
        _ => Call::Run(Box::new(RunFlags::from_arg_matches(&matches)?)),
    };
    Ok((call, matches))
}

impl Call {
    fn answer(self, job: &Job) -> Result<(), Failure> {
        match self {
            Self::Run(flags) => run(job, &flags),
            Self::Explain(flags) => explain(job, &flags),
            Self::DeadLetters(word, flags) => dead_letters::answer(job, word, &flags),
        }
    }
}

fn explain(job: &Job, flags: &BindFlags) -> Result<(), Failure> {
    bind::bind(job, flags).map_err(Failure::Usage)?;
    let text = job.explain()?;
    match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Job(Error::unavailable("standard output cannot be written").caused_by(error))),
        Ok(()) => Ok(()),
    }
}

fn run(job: &Job, flags: &RunFlags) -> Result<(), Failure> {
    bind::bind(job, &flags.bind).map_err(Failure::Usage)?;
    // Whatever is wrong with the job is said before the view takes the terminal.
    job.check()?;
    let control = Control::default();
    let signals = signals::Caught::register()?;
    let watch = Watch::start(job, flags, &control)?;
    signals.watch(control.clone(), flags.limit, watch.closer())?;
    let outcome = job.run(&flags.options(job.name()), &control);
    watch.finish();
    let summary = outcome?;
    if flags.is_talkative() {
        // A closed standard error is no reason to fail: the work is done and committed.
        writeln!(io::stderr().lock(), "{}", closing_line(&summary)).ok();
    }
    Ok(())
}

/// `1,234,567 records in 3.2 s (386 k/s), wrote 120 alerts; 3 late, 0 bad; epoch 17`
fn closing_line(summary: &Summary) -> String {
    let Summary { committed, elapsed, records_in, restarts, .. } = summary;
    let mut line = format!("{} records in {}", figures::count(*records_in), figures::duration(*elapsed));
    if !elapsed.is_zero() && *records_in > 0 {
        line += &format!(" ({})", figures::rate(*records_in as f64 / elapsed.as_secs_f64()));
    }
    // What comes next is counted over all runs of the job.
    if committed.records_in > *records_in {
        line += &format!("; {} over all runs", figures::count(committed.records_in));
    }
    let written = committed.records_out.iter().map(|(topic, number)| format!("{} {topic}", figures::count(*number)));
    let written: Vec<String> = written.collect();
    if !written.is_empty() {
        line += &format!(", wrote {}", written.join(", "));
    }
    let (late, bad) = (figures::count(committed.late), figures::count(committed.bad));
    line += &format!("; {late} late, {bad} bad; epoch {}", committed.epoch);
    match restarts {
        0 => line,
        1 => line + "; went back to the last commit once",
        more => line + &format!("; went back to the last commit {more} times"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Committed;
    use std::time::Duration;

    #[test]
    fn the_closing_line_tells_a_run_from_all_runs() {
        let committed = Committed {
            epoch: 17,
            records_in: 1_234_567,
            records_out: vec![("alerts".into(), 120)],
            late: 3,
            ..Committed::default()
        };
        let elapsed = Duration::from_millis(3_200);
        let mut summary = Summary { committed, records_in: 1_234_567, epochs: 17, elapsed, restarts: 0 };
        let whole = "1,234,567 records in 3.2 s (386 k/s), wrote 120 alerts; 3 late, 0 bad; epoch 17";
        assert_eq!(closing_line(&summary), whole);
        summary.records_in = 32_000;
        let part =
            "32,000 records in 3.2 s (10 k/s); 1,234,567 over all runs, wrote 120 alerts; 3 late, 0 bad; epoch 17";
        assert_eq!(closing_line(&summary), part);
    }
}
