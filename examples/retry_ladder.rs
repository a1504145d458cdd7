//! What fails is tried again: at once, after a second, after five more, after thirty more; and then it is a dead letter.
//!
//!     cargo run --example retry_ladder
//!     cargo run --example retry_ladder -- --fast --output letters.dead-letters=-
//!
//! A receiver in this very program, which is also the shortest way to see what a connector of one's own takes: it takes
//! a letter at its first, second or third attempt, never, or refuses it for good. Letters of one person come in order:
//! ann's second waits until her first has arrived. Stop it in the middle, also with `kill -9`: started again it goes on
//! with the attempts that are left.

use headwater::prelude::*;
use serde::{Deserialize, Serialize};

/// A letter, and at which attempt it is taken; 0 is never.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Letter {
    to: String,
    text: String,
    taken_at: u32,
}

/// Prints what comes, and takes it or not.
struct Door;

impl Connector<Letter> for Door {
    fn describe(&self) -> String {
        "a door that does not always open".to_owned()
    }

    async fn deliver(&self, attempt: &Attempt<Letter>) -> Result<(), Failure> {
        let Letter { to, text, taken_at } = &attempt.item;
        let outcome = match taken_at {
            _ if to == "nobody" => Err(Failure::permanent("nobody of this name lives here")),
            0 => Err(Failure::transient("the door stays closed")),
            at if attempt.number < *at => Err(Failure::transient("nobody is at home")),
            _ => Ok(()),
        };
        let said = outcome.as_ref().map_or_else(|failure| failure.to_string(), |()| "taken".to_owned());
        eprintln!("attempt {} of {text:?} to {to} (key {}): {said}", attempt.number, attempt.idempotency_key);
        outcome
    }
}

fn job(retry: Retry) -> Job {
    let job = Job::new("retry-ladder");
    let outbox = Outbox::new("letters", Door).retry(retry).in_order_by(|letter: &Letter| letter.to.clone());
    job.source(Topic::json::<Letter>("mail")).deliver(outbox);
    job
}

fn letters() -> Vec<Letter> {
    let letter = |to: &str, text: &str, taken_at| Letter { to: to.to_owned(), text: text.to_owned(), taken_at };
    vec![
        letter("ann", "come home", 3),
        letter("ann", "it is raining", 1),
        letter("bob", "happy birthday", 1),
        letter("eve", "the bill", 0),
        letter("nobody", "to whom it may concern", 1),
    ]
}

#[derive(clap::Args)]
struct Flags {
    /// A hundred times faster
    #[arg(long)]
    fast: bool,
}

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let unit = if flags.fast { Duration::from_millis(10) } else { Duration::from_secs(1) };
        let job = job(Retry::schedule([0, 1, 5, 30].map(|seconds| seconds * unit)));
        job.bind_input("mail", Input::of(Rows::new(letters())));
        job
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_a_dead_letter_and_says_why() {
        let job = job(Retry::schedule([0, 10, 20, 30].map(Duration::from_millis)));
        let dead = Captured::<DeadLetter>::new();
        job.bind_input("mail", Input::of(Rows::new(letters())));
        job.bind_output("letters.dead-letters", Output::of(dead.clone()));
        job.run(&RunOptions::default(), &Control::default()).unwrap();
        let mut why: Vec<String> = dead.take().into_iter().map(|letter| letter.error).collect();
        why.sort();
        assert_eq!(why, ["nobody of this name lives here", "the door stays closed"]);
    }
}
