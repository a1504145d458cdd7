//! `dead-letters list`, `show`, `drop` and `redrive`: what the job could not process, and what becomes of it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches as _};
use headwater_operators::Timestamp;

use super::bind;
use super::failure::Failure;
use super::flags::BindFlags;
use super::letter_text::{row, shown, table_head};
use crate::job::Job;
use crate::letters::event::{Event, What};
use crate::letters::look::{Fates, Speaker, letters};
use crate::letters::{Place, refusal};
use crate::{DeadLetter, Error, Result, clock};

/// Which dead letters are meant.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub(super) struct LetterFlags {
    #[command(flatten)]
    pub bind: BindFlags,

    /// Where state lives, and with it the redrive queue of a job that writes to files [default: ./<job>.state]
    #[arg(id = "headwater-state", long = "state", value_name = "DIR")]
    state: Option<PathBuf>,

    /// The letter with this id; may be given several times
    #[arg(id = "headwater-id", value_name = "ID")]
    ids: Vec<String>,

    /// Those of a kind: bad-record, too-large, late or failed-delivery
    #[arg(id = "headwater-kind", long = "kind", value_name = "KIND", help_heading = "Which letters",
          value_parser = ["bad-record", "too-large", "late", "failed-delivery"])]
    kind: Option<String>,

    /// Those of an operator: a source topic, a sink topic, a window or an outbox
    #[arg(id = "headwater-operator", long = "operator", value_name = "NAME", help_heading = "Which letters")]
    operator: Option<String>,

    /// Those in one topic of dead letters of the job
    #[arg(id = "headwater-letters", long = "in", value_name = "TOPIC", help_heading = "Which letters")]
    topic: Option<String>,

    /// Those of this time and later, such as 2026-03-01T09:00:00Z
    #[arg(id = "headwater-since", long = "since", value_name = "TIME", help_heading = "Which letters")]
    since: Option<Timestamp>,

    /// Those before this time
    #[arg(id = "headwater-until", long = "until", value_name = "TIME", help_heading = "Which letters")]
    until: Option<Timestamp>,

    /// Those whose error has this text in it
    #[arg(id = "headwater-error", long = "error", value_name = "TEXT", help_heading = "Which letters")]
    error: Option<String>,

    /// At most so many
    #[arg(id = "headwater-limit", long = "limit", value_name = "N", help_heading = "Which letters")]
    limit: Option<u64>,

    /// All there are
    #[arg(id = "headwater-all", long = "all", help_heading = "Which letters")]
    all: bool,

    /// As JSON, one letter a line
    #[arg(id = "headwater-json", long = "json")]
    json: bool,

    /// Only say what would be done
    #[arg(id = "headwater-dry-run", long = "dry-run")]
    dry_run: bool,

    /// Why, for the audit
    #[arg(id = "headwater-reason", long = "reason", value_name = "TEXT")]
    reason: Option<String>,

    /// At most so many a second, such as 10/s
    #[arg(id = "headwater-rate", long = "rate", value_name = "N/s", value_parser = rate)]
    rate: Option<f64>,
}

/// What is done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    List,
    Show,
    Drop,
    Redrive,
}

const WORDS: [(&str, Word, &str); 4] = [
    ("list", Word::List, "List the dead letters that nothing was done about"),
    ("show", Word::Show, "Show everything of dead letters"),
    ("drop", Word::Drop, "Say that dead letters need no more attention; they stay where they are"),
    ("redrive", Word::Redrive, "Put dead letters back into the operator that failed"),
];

/// The command, with the job's own flags beside ours in each of its words.
pub(super) fn command(with_own: impl Fn(&'static str) -> Command) -> Command {
    let base = Command::new("dead-letters").about("Look at dead letters, drop them, or put them back into the job");
    WORDS.iter().fold(base.subcommand_required(true).arg_required_else_help(true), |command, (word, _, about)| {
        command.subcommand(give_way(LetterFlags::augment_args(with_own(word)).about(*about)))
    })
}

/// A flag of ours that a flag of the job's own has the name of gets another: `--limit` becomes `--letter-limit`.
fn give_way(command: Command) -> Command {
    let is_ours = |arg: &clap::Arg| arg.get_id().as_str().starts_with("headwater-");
    let taken: Vec<String> = command
        .get_arguments()
        .filter(|arg| !is_ours(arg))
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect();
    let is_taken = |arg: &clap::Arg| arg.get_long().is_some_and(|long| taken.iter().any(|other| other == long));
    command.mut_args(|arg| {
        let other = OTHER_NAMES.iter().find(|name| arg.get_long() == name.strip_prefix("letter-"));
        match other {
            Some(other) if is_ours(&arg) && is_taken(&arg) => arg.long(*other),
            _ => arg,
        }
    })
}

const OTHER_NAMES: [&str; 12] = [
    "letter-kind",
    "letter-operator",
    "letter-in",
    "letter-since",
    "letter-until",
    "letter-error",
    "letter-limit",
    "letter-all",
    "letter-json",
    "letter-dry-run",
    "letter-reason",
    "letter-rate",
];

/// The word and its flags.
pub(super) fn parse(matches: &mut clap::ArgMatches) -> Result<(Word, LetterFlags, clap::ArgMatches), clap::Error> {
    let (word, matches) = matches.remove_subcommand().unwrap_or_default();
    let word = WORDS.iter().find(|(name, ..)| *name == word).map_or(Word::List, |(_, word, _)| *word);
    Ok((word, LetterFlags::from_arg_matches(&matches)?, matches))
}

impl LetterFlags {
    fn means(&self, letter: &DeadLetter) -> bool {
        let at = letter.written();
        (self.ids.is_empty() || self.ids.contains(&letter.id()))
            && self.kind.as_deref().is_none_or(|kind| kind == letter.kind.name())
            && self.operator.as_deref().is_none_or(|operator| operator == letter.operator())
            && self.since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| at.is_some_and(|at| at < until))
            && self.error.as_deref().is_none_or(|text| letter.error.contains(text))
    }

    fn is_selective(&self) -> bool {
        !self.ids.is_empty()
            || [&self.kind, &self.operator, &self.topic, &self.error].iter().any(|filter| filter.is_some())
            || self.since.is_some()
            || self.until.is_some()
    }
}

/// Does what the word says.
///
/// # Errors
/// `Usage` where the command line does not fit the job; `Corrupt` at the end where letters could not be read.
pub(super) fn answer(job: &Job, word: Word, flags: &LetterFlags) -> Result<(), Failure> {
    bind::bind(job, &flags.bind).map_err(Failure::Usage)?;
    let known = job.letter_topics();
    let topics: Vec<String> =
        known.iter().filter(|topic| flags.topic.as_ref().is_none_or(|only| only == *topic)).cloned().collect();
    if topics.is_empty() {
        let text = match &flags.topic {
            Some(topic) => format!("the job has no dead letters in {topic}\nhelp: it has some in {}", known.join(", ")),
            None => "the job writes no dead letters\nhelp: say so in the job, with `.on_bad_record(BadRecords::DeadLetter(…))`"
                .to_owned(),
        };
        return Err(Failure::Usage(Error::config(text)));
    }
    let chosen = flags.is_selective() || flags.all;
    if !chosen && matches!(word, Word::Show | Word::Drop | Word::Redrive) {
        let text = "which dead letters are meant?\nhelp: give ids, filters such as --kind bad-record, or --all";
        return Err(Failure::Usage(Error::config(text)));
    }
    let state = flags.state.clone().unwrap_or_else(|| PathBuf::from(format!("{}.state", job.name())));
    job.bind_letters(&state);
    let place = job.letter_place(Some(state.clone()));
    if matches!(place, Place::Files { .. }) && !state.exists() && matches!(word, Word::Drop | Word::Redrive) {
        let text = format!("the job has no state in {}: nobody would read it\nhelp: give its --state", state.display());
        return Err(Failure::Usage(Error::config(text)));
    }
    let fates = Fates::read(&place, job.name())?;
    let says = matches!(word, Word::Drop | Word::Redrive) && !flags.dry_run;
    let speaker = if says { Some(Speaker::new(place, job.name())?) } else { None };
    let mut desk =
        Desk { job, word, flags, speaker, fates, done: 0, refused: 0, settled: BTreeMap::new(), bad: Vec::new() };
    desk.work(&topics)?;
    desk.close().map_err(Failure::Job)
}

/// What is done, letter by letter.
struct Desk<'a> {
    job: &'a Job,
    word: Word,
    flags: &'a LetterFlags,
    speaker: Option<Speaker>,
    fates: Fates,
    done: u64,
    refused: u64,
    /// Those that were asked for, and what became of them before. A job that has started over may have written one again,
    /// of which nothing had.
    settled: BTreeMap<String, Option<What>>,
    bad: Vec<String>,
}

impl Desk<'_> {
    fn work(&mut self, topics: &[String]) -> Result<()> {
        let mut out = io::stdout().lock();
        if self.word == Word::List && !self.flags.json {
            write(&mut out, &table_head())?;
        }
        for topic in topics {
            if !self.wants_more() {
                break;
            }
            let output = self.job.output_of(topic);
            let bad = letters(topic, output.as_ref(), &mut |letter| self.one(topic, &letter, &mut out))?;
            self.bad.extend(bad);
        }
        for (id, what) in std::mem::take(&mut self.settled) {
            let Some(what) = what else { continue };
            self.refused += 1;
            write(&mut out, &format!("{id}: refused: it was {} before", what.done()))?;
        }
        out.flush().map_err(unwritten)
    }

    /// Handles a letter. Whether more are wanted.
    fn one(&mut self, topic: &str, letter: &DeadLetter, out: &mut dyn Write) -> Result<bool> {
        if !self.flags.means(letter) {
            return Ok(true);
        }
        let id = letter.id();
        let settled = self.fates.settled(letter);
        match (self.word, settled) {
            (Word::List, Some(_)) => return Ok(true),
            (Word::List, None) if self.flags.json => write(out, &json(letter)?)?,
            (Word::List, None) => write(out, &row(letter, self.fates.is_refused(letter)))?,
            (Word::Show, _) if self.flags.json => write(out, &json(letter)?)?,
            (Word::Show, _) => write(out, &shown(letter, topic, settled))?,
            (Word::Drop | Word::Redrive, Some(what)) => {
                // A filter passes over what is done; whoever names a letter is told.
                if self.flags.ids.is_empty() {
                    return Ok(true);
                }
                self.settled.entry(id).or_insert(Some(what));
                return Ok(true);
            }
            (Word::Drop, None) => self.settle((topic, letter), What::Dropped, out)?,
            (Word::Redrive, None) => match self.refusal(letter) {
                None => self.settle((topic, letter), What::Redriven, out)?,
                Some(refusal) => {
                    self.refused += 1;
                    write(out, &format!("{id}: refused: {refusal}"))?;
                    return Ok(true);
                }
            },
        }
        self.done += 1;
        Ok(self.wants_more())
    }

    fn wants_more(&self) -> bool {
        self.flags.limit.is_none_or(|limit| self.done < limit)
    }

    fn refusal(&self, letter: &DeadLetter) -> Option<String> {
        let operator = letter.operator();
        let unknown = || {
            let text = format!("the job has no operator {operator} that takes letters back");
            (!self.job.takes_back(operator)).then_some(text)
        };
        refusal(letter).or_else(unknown)
    }

    fn settle(&mut self, (topic, letter): (&str, &DeadLetter), what: What, out: &mut dyn Write) -> Result<()> {
        let id = letter.id();
        let done = what.done();
        self.settled.insert(id.clone(), None);
        self.fates.set(letter, what);
        let Some(speaker) = &self.speaker else { return write(out, &format!("{id}: would be {done}")) };
        if let Some(rate) = self.flags.rate.filter(|_| self.done > 0) {
            clock::wait(Duration::from_secs_f64(1.0 / rate), || false);
        }
        let event = Event {
            what,
            id: id.clone(),
            topic: topic.to_owned(),
            incarnation: letter.incarnation.clone(),
            written: letter.written(),
            at: clock::wall(),
            by: user(),
            reason: self.flags.reason.clone(),
            letter: (what == What::Redriven).then(|| Box::new(letter.clone())),
        };
        speaker.say(&event)?;
        write(out, &format!("{id}: {done}"))
    }

    /// What went wrong on the way, once all others are handled.
    fn close(self) -> Result<()> {
        let bad = [self.bad, self.fates.bad].concat();
        if !bad.is_empty() {
            let text = format!("{} lines could not be read:\n  {}", bad.len(), bad.join("\n  "));
            return Err(Error::corrupt(text + "\nhelp: mend or remove them; all others were handled"));
        }
        if self.refused > 0 {
            return Err(Error::config(format!("{} dead letters were refused, {} were not", self.refused, self.done)));
        }
        if self.done == 0 && !self.flags.ids.is_empty() {
            return Err(Error::config("no dead letter has such an id"));
        }
        Ok(())
    }
}

/// Who is at the terminal, as the system has it.
fn user() -> String {
    ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| "unknown".to_owned())
}

fn json(letter: &DeadLetter) -> Result<String> {
    serde_json::to_string(letter).map_err(|error| Error::record(error.to_string()))
}

fn write(out: &mut dyn Write, line: &str) -> Result<()> {
    match writeln!(out, "{line}") {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(unwritten),
    }
}

fn unwritten(error: io::Error) -> Error {
    Error::unavailable("standard output cannot be written").caused_by(error)
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix("/s").unwrap_or(text).parse().ok();
    number.filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or("a number a second is wanted, such as 10/s")
}
