//! The flags of a pipeline binary, and what they mean.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Command};

use crate::options::{Delivery, RunOptions};
use crate::{Error, Result};

const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(60);
const MEMORY_MIN: ByteSize = ByteSize::mb(16);

// A job's own flags share one name space with these, so the ids carry a prefix that no field of theirs has; a flag of
// the same name is reported by `command`.

/// What the job's topics stand for.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "Inputs and outputs")]
pub(super) struct BindFlags {
    /// Read a topic from a file, or from all files of a pattern in the order of their names.
    /// NAME= may be left out where the job reads one topic
    #[arg(id = "headwater-input", long = "input", value_name = "NAME=FILE", value_parser = not_empty)]
    pub inputs: Vec<String>,

    /// Write a topic to a file, exactly once, or with `-` to standard output.
    /// NAME= may be left out where the job writes one topic
    #[arg(id = "headwater-output", long = "output", value_name = "NAME=FILE", value_parser = not_empty)]
    pub outputs: Vec<String>,

    #[command(flatten)]
    pub kafka: KafkaFlags,
}

/// A Kafka cluster, and what is read and written there.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "Kafka")]
pub(super) struct KafkaFlags {
    /// Read the topics without an --input from the Kafka topics of the same names, and write to those that have
    /// no output. --input NAME=kafka:TOPIC and --output NAME=kafka:TOPIC name others
    #[arg(id = "headwater-brokers", long = "brokers", value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,

    /// Set an option of librdkafka, such as security.protocol=SSL
    #[arg(id = "headwater-kafka", long = "kafka", value_name = "KEY=VALUE", requires = "headwater-brokers")]
    pub options: Vec<String>,

    /// Where the first start begins: earliest, latest, or a time
    #[arg(
        id = "headwater-from",
        long = "from",
        value_name = "PLACE",
        default_value = "earliest",
        requires = "headwater-brokers"
    )]
    pub from: String,

    /// Stop where the topics end when the job starts; all windows close
    #[arg(id = "headwater-until-end", long = "until-end", requires = "headwater-brokers")]
    pub until_end: bool,

    /// Do not start where a Kafka topic to be written is missing, instead of creating it
    #[arg(id = "headwater-no-create-topics", long = "no-create-topics", requires = "headwater-brokers")]
    pub no_create_topics: bool,
}

/// How the job is run.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub(super) struct RunFlags {
    #[command(flatten)]
    pub bind: BindFlags,

    /// Where state lives [default: ./<job>.state]
    #[arg(id = "headwater-state", long = "state", value_name = "DIR", help_heading = "State")]
    state: Option<PathBuf>,

    /// Move old state aside and start over
    #[arg(id = "headwater-fresh", long = "fresh", help_heading = "State")]
    fresh: bool,

    /// Deliver what outboxes hold although the job starts over
    #[arg(id = "headwater-deliver", long = "deliver", help_heading = "Delivery")]
    deliver: bool,

    /// Deliver nothing: what would be delivered is counted and left out
    #[arg(
        id = "headwater-no-deliver",
        long = "no-deliver",
        conflicts_with = "headwater-deliver",
        help_heading = "Delivery"
    )]
    no_deliver: bool,

    /// Drop a table that the old state has and the job no longer
    #[arg(id = "headwater-drop", long = "drop", value_name = "TABLE", help_heading = "State")]
    drop_tables: Vec<String>,

    /// Commit at least this often
    #[arg(
        id = "headwater-commit-interval",
        long = "commit-interval",
        value_name = "TIME",
        default_value = "200ms",
        value_parser = commit_interval,
        help_heading = "Running"
    )]
    commit_interval: Duration,

    /// How often Kafka topics get a result when something fails: exactly-once, or at-least-once, which is
    /// seen earlier
    #[arg(
        id = "headwater-delivery",
        long = "delivery",
        value_name = "HOW",
        default_value = "exactly-once",
        value_parser = delivery,
        help_heading = "Running"
    )]
    delivery: Delivery,

    /// The name of this instance among those of the job [default: one that the state directory keeps]
    #[arg(
        id = "headwater-instance",
        long = "instance",
        value_name = "NAME",
        requires = "headwater-brokers",
        value_parser = instance,
        help_heading = "Kafka"
    )]
    instance: Option<String>,
    /// Let another instance take over at once when this one stops, instead of waiting for it to come back
    #[arg(id = "headwater-leave", long = "leave", requires = "headwater-brokers", help_heading = "Kafka")]
    leave: bool,
    /// Shorten the changelog of the state when it has grown by this much, or by the state itself if that is more
    #[arg(
        id = "headwater-changelog-min",
        long = "changelog-min",
        value_name = "SIZE",
        default_value = "64MiB",
        requires = "headwater-brokers",
        help_heading = "Kafka"
    )]
    changelog_min: ByteSize,
    /// Worker threads [default: one per core]
    #[arg(
        id = "headwater-workers",
        long = "workers",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=256),
        help_heading = "Running"
    )]
    workers: Option<u16>,

    /// Memory for state, over all workers
    #[arg(
        id = "headwater-memory",
        long = "memory",
        value_name = "SIZE",
        default_value = "1GB",
        value_parser = memory,
        help_heading = "Running"
    )]
    memory: ByteSize,

    /// Stop cleanly after this long
    #[arg(
        id = "headwater-for",
        long = "for",
        value_name = "TIME",
        value_parser = duration,
        help_heading = "Running"
    )]
    pub limit: Option<Duration>,

    /// Serve /metrics, /healthz and /readyz here, such as 127.0.0.1:9464; port 0 takes a free one
    #[arg(
        id = "headwater-http",
        long = "http",
        value_name = "ADDRESS:PORT",
        value_parser = address,
        help_heading = "Running"
    )]
    http: Option<SocketAddr>,

    /// Watch the job in the terminal
    #[arg(id = "headwater-live", long = "live", help_heading = "Display")]
    pub live: bool,

    /// Log more; -vv still more. RUST_LOG has the last word
    #[arg(id = "headwater-verbose", short = 'v', long = "verbose", action = clap::ArgAction::Count, help_heading = "Display")]
    verbose: u8,

    /// Log warnings only, and no progress
    #[arg(
        id = "headwater-quiet",
        short = 'q',
        long = "quiet",
        conflicts_with = "headwater-verbose",
        help_heading = "Display"
    )]
    quiet: bool,
}

impl RunFlags {
    pub fn options(&self, job: &str) -> RunOptions {
        let defaults = RunOptions::default();
        let state = self.state.clone().unwrap_or_else(|| PathBuf::from(format!("{job}.state")));
        RunOptions {
            state: Some(state),
            fresh: self.fresh,
            deliver: (self.deliver || self.no_deliver).then_some(self.deliver),
            commit_interval: self.commit_interval,
            workers: self.workers.map_or(defaults.workers, usize::from),
            memory_bytes: usize::try_from(self.memory.as_u64()).unwrap_or(usize::MAX),
            drop_tables: self.drop_tables.clone(),
            instance: self.instance.clone(),
            leave: self.leave,
            changelog_bytes_min: self.changelog_min.as_u64(),
            delivery: self.delivery,
            http: self.http,
            ..defaults
        }
    }

    /// Whether progress and a closing line are wanted.
    pub fn is_talkative(&self) -> bool {
        !self.quiet
    }

    /// What is logged unless `RUST_LOG` says otherwise.
    pub fn log_filter(&self) -> &'static str {
        match self.verbose {
            _ if self.quiet => "warn",
            0 => "warn,headwater=info",
            1 => "info,headwater=debug",
            _ => "debug,headwater=trace",
        }
    }
}

/// The whole command line: `run`, which is also what is meant without a word, `explain` and `dead-letters`.
///
/// # Errors
/// `Config` where a flag of the job's own has the name of one of ours.
pub(super) fn command<A: Args>(name: &str, program: &str) -> Result<Command> {
    let own = A::augment_args(Command::new("own"));
    let ours = RunFlags::augment_args(Command::new("ours"));
    for flag in own.get_arguments() {
        let is_taken = |other: &clap::Arg| {
            let same_long = other.get_long().is_some() && other.get_long() == flag.get_long();
            same_long || other.get_short().is_some() && other.get_short() == flag.get_short()
        };
        if let Some(taken) = ours.get_arguments().find(|other| is_taken(other)) {
            return Err(Error::config(format!(
                "the job's own flag `{}` has the name of --{}, which every job has\nhelp: give it another name",
                flag.get_id(),
                taken.get_long().unwrap_or_default(),
            )));
        }
    }
    let with_own = |name: &'static str| A::augment_args(Command::new(name).next_help_heading("Options of this job"));
    let run = |name| RunFlags::augment_args(with_own(name));
    let explain = BindFlags::augment_args(with_own("explain"));
    // Augmenting sets `about` from the flags' own doc comments, so ours comes after it.
    Ok(run("job")
        .bin_name(program)
        .about(format!("{name}: a Headwater pipeline"))
        .after_help(examples(program))
        .subcommand(run("run").about("Run the job; the same without the word"))
        .subcommand(super::dead_letters::command(with_own))
        .subcommand(explain.about("Show the job's steps, keys, windows and tables"))
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .max_term_width(100))
}

fn examples(program: &str) -> String {
    format!(
        "Examples:\n  \
         {program} --live\n  \
         {program} --input 'data/*.jsonl' --output results.jsonl\n  \
         {program} --input orders=orders.jsonl --output alerts=- --for 10s\n  \
         {program} --brokers localhost:9092 --output kafka:results\n  \
         {program} explain\n  \
         {program} dead-letters list --output dead-letters=dead-letters.jsonl"
    )
}

fn not_empty(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("name a file, or NAME=FILE") } else { Ok(text.to_owned()) }
}

/// It becomes part of ids that Kafka's tools show.
fn instance(text: &str) -> Result<String, &'static str> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let is_good = !text.is_empty() && text.len() <= 100 && text.chars().all(is_letter);
    if is_good { Ok(text.to_owned()) } else { Err("letters, digits, `.`, `_` and `-` are wanted, at most 100") }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    let parsed = parsed.and_then(|span| Duration::try_from(span).ok());
    parsed.filter(|span| !span.is_zero()).ok_or("a time with its unit is wanted, such as 200ms, 1s or 5min")
}

fn commit_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval > COMMIT_INTERVAL_MAX {
        return Err(format!("at most {}s", COMMIT_INTERVAL_MAX.as_secs()));
    }
    Ok(interval)
}

fn delivery(text: &str) -> Result<Delivery, &'static str> {
    match text {
        "exactly-once" => Ok(Delivery::ExactlyOnce),
        "at-least-once" => Ok(Delivery::AtLeastOnce),
        _ => Err("give exactly-once or at-least-once"),
    }
}

/// An address, or a name that has one.
fn address(text: &str) -> Result<SocketAddr, String> {
    const WANTED: &str = "an address and a port are wanted, such as 127.0.0.1:9464 or 0.0.0.0:9464";
    let found = text.to_socket_addrs().map_err(|error| format!("{error}; {WANTED}"))?.next();
    found.ok_or_else(|| WANTED.to_owned())
}

fn memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| "a size is wanted, such as 256MB or 1GB")?;
    if size < MEMORY_MIN {
        return Err(format!("{size} is too little; at least {}", MEMORY_MIN.display().si()));
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    #[derive(Args)]
    #[group(skip)]
    struct Own {
        /// Alert above this many
        #[arg(long, default_value_t = 10)]
        limit: u64,
    }

    #[derive(Args)]
    #[group(skip)]
    struct Clash {
        #[arg(long)]
        state: Option<String>,
    }

    fn parse(args: &[&str]) -> Result<(RunFlags, Own), clap::Error> {
        let command = command::<Own>("alerts", "alerts").expect("no name is taken");
        let mut matches = command.try_get_matches_from([&["alerts"], args].concat())?;
        let matches = matches.remove_subcommand().map_or(matches, |(_, below)| below);
        Ok((RunFlags::from_arg_matches(&matches)?, Own::from_arg_matches(&matches)?))
    }

    fn refusal(args: &[&str]) -> String {
        match parse(args) {
            Ok(_) => panic!("{args:?} should be refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_word_run_may_be_left_out() {
        let args = ["--input", "a=b=c", "--input", "x", "--limit", "3", "--commit-interval", "1s", "--memory", "256MB"];
        for words in [&[][..], &["run"]] {
            let (flags, own) = parse(&[words, &args].concat()).expect("it parses");
            let options = flags.options("alerts");
            assert_eq!(flags.bind.inputs, ["a=b=c", "x"]);
            assert_eq!(own.limit, 3);
            assert_eq!(options.commit_interval, Duration::from_secs(1));
            assert_eq!(options.memory_bytes, 256_000_000);
            assert_eq!(options.delivery, Delivery::ExactlyOnce);
            assert_eq!(options.state, Some(PathBuf::from("alerts.state")));
        }
    }

    #[test]
    fn help_shows_the_job_s_flags_beside_ours() {
        let mut command = command::<Own>("alerts", "alerts").expect("no name is taken");
        command.build();
        let help = command.render_help().to_string();
        for expected in ["--limit <LIMIT>", "--input <NAME=FILE>", "explain", "Examples:", "[default: 200ms]"] {
            assert!(help.contains(expected), "{expected} is missing:\n{help}");
        }
    }

    #[test]
    fn a_flag_with_a_name_of_ours_is_reported() {
        let error = command::<Clash>("alerts", "alerts").map(|_| ()).expect_err("--state is ours");
        assert!(error.to_string().contains("`state`"), "{error}");
    }

    #[test]
    fn values_out_of_reason_are_refused_with_the_remedy() {
        assert!(refusal(&["--commit-interval", "5"]).contains("200ms, 1s or 5min"));
        assert!(refusal(&["--commit-interval", "2h"]).contains("at most 60s"));
        assert!(refusal(&["--commit-interval=-1s"]).contains("200ms, 1s or 5min"));
        assert!(refusal(&["--memory", "256"]).contains("at least 16"));
        assert!(refusal(&["--workers", "0"]).contains("1..=256"));
        assert!(refusal(&["--delivery", "once"]).contains("exactly-once or at-least-once"));
        assert!(refusal(&["--http", "9464"]).contains("such as 127.0.0.1:9464"));
        assert!(refusal(&["-q", "-v"]).contains("cannot be used with"));
    }
}
