//! A job whose every output can be checked: a chain of hashes per key, with a link for each record and each timer.
//!
//! It reads two topics. Each record makes one link and `--parts` parts; a key that falls silent makes `--ticks` more links
//! by timers, in epochs in which no input moves.

mod chain;

use chain::{Cause, Given, Link, Part, Place, hash_after};
use headwater::Received;
use headwater::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(clap::Args)]
struct Flags {
    /// How many links a key makes by timers once it is silent
    #[arg(long, default_value_t = 3)]
    ticks: u32,
    /// Milliseconds of silence before each of them
    #[arg(long, default_value_t = 300)]
    silence: u64,
    /// How many parts a record makes
    #[arg(long, default_value_t = 3)]
    parts: u32,
}

/// The end of a key's chain.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct End {
    step: u64,
    count: u64,
    hash: u64,
    /// Timers since the last record.
    ticks: u32,
    /// The timer that is set.
    alarm: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Made {
    Link(Link),
    Part(Part),
}

impl Made {
    /// The links of a key are in one partition, in their order; its parts are in several.
    fn key(&self) -> String {
        match self {
            Self::Link(link) => link.key.clone(),
            Self::Part(part) => format!("{}-{}", part.key, part.part),
        }
    }
}

type Step<'a> = Turn<'a, String, End, Made>;

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let Flags { ticks, silence, parts } = flags;
        let silence = Duration::from_millis(silence);
        let job = Job::new("checker");
        let first = job.source(Topic::json::<Given>("first").received());
        let second = job.source(Topic::json::<Given>("second").received());
        let (links, parts) = first
            .union(second)
            .key_by(|given| given.value.key.clone())
            .process(
                "chain",
                move |turn: &mut Step<'_>, given| {
                    add_record(turn, given, parts);
                    set_alarm(turn, silence, ticks);
                    Ok(())
                },
                move |turn, _, _| {
                    add_timer(turn);
                    set_alarm(turn, silence, ticks);
                    Ok(())
                },
            )
            .branch(|made: &Made| matches!(made, Made::Link(_)));
        links.sink(Topic::json("links").key(Made::key));
        parts.sink(Topic::json("parts").key(Made::key));
        job
    })
}

fn add_record(turn: &mut Step<'_>, given: &Received<Given>, parts: u32) {
    let place = Place { topic: given.topic.to_string(), partition: given.partition, offset: given.offset };
    let end = turn.state_mut().get_or_insert_default();
    end.count += 1;
    end.ticks = 0;
    let hash = add(turn, Cause::Input(place.clone(), given.value.id));
    for part in 0..parts {
        let key = turn.key().clone();
        turn.emit(Made::Part(Part { key, of: place.clone(), part, hash }));
    }
}

fn add_timer(turn: &mut Step<'_>) {
    let end = turn.state_mut().get_or_insert_default();
    end.ticks += 1;
    end.alarm = None;
    let nth = end.ticks;
    add(turn, Cause::Timer(nth));
}

fn add(turn: &mut Step<'_>, cause: Cause) -> u64 {
    let key = turn.key().clone();
    let end = turn.state_mut().get_or_insert_default();
    end.step += 1;
    end.hash = hash_after(end.hash, &key, &cause);
    let link = Link { key, step: end.step, count: end.count, cause, hash: end.hash };
    let hash = link.hash;
    turn.emit(Made::Link(link));
    hash
}

/// One timer per key is set, until enough have fired.
fn set_alarm(turn: &mut Step<'_>, silence: Duration, ticks: u32) {
    let next = turn.now().plus(silence);
    let end = turn.state_mut().get_or_insert_default();
    let set = if end.ticks < ticks { Some(next) } else { None };
    let old = std::mem::replace(&mut end.alarm, set);
    if let Some(old) = old {
        turn.cancel_timer(Clock::Wall, old);
    }
    if let Some(next) = set {
        turn.set_timer(Clock::Wall, next);
    }
}
