//! A job whose deliveries can be counted: for the tests of what becomes of them under crashes.
//!
//! Every user with eleven lines in the input gets a letter. A delivery is a line in a file: key, attempt and letter. Which
//! attempts fail is fixed by user and attempt.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use headwater::prelude::*;

#[derive(clap::Args)]
struct Flags {
    /// Where deliveries are noted
    #[arg(long)]
    post: PathBuf,

    /// Attempts a second
    #[arg(long, default_value_t = 1_000.0)]
    throttle: f64,
}

struct Post(PathBuf);

/// How the attempt ends, by the user's number: one of 23 is refused for good, one of 5 attempts comes to nothing.
fn outcome(letter: &str, number: u32) -> Result<(), Failure> {
    let user: u32 = letter.trim_start_matches("u-").parse().map_err(|_| Failure::permanent("no user"))?;
    match (user % 23, (user + number * 7) % 5) {
        (0, _) => Err(Failure::permanent("refused")),
        (_, 0) => Err(Failure::transient("not now")),
        _ => Ok(()),
    }
}

impl Connector<String> for Post {
    fn describe(&self) -> String {
        format!("file {}", self.0.display())
    }

    async fn deliver(&self, attempt: &Attempt<String>) -> Result<(), Failure> {
        let outcome = outcome(&attempt.item, attempt.number);
        let word = if outcome.is_ok() { "taken" } else { "not-taken" };
        let line = format!("{} {} {} {word}\n", attempt.idempotency_key, attempt.number, attempt.item);
        // One write, so that a line is there or not, and stays when the process ends.
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.0)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| Failure::unreachable("no file").caused_by(&error))?;
        outcome
    }
}

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let job = Job::new("postbox");
        job.source(Topic::lines::<String>("lines"))
            .key_by_ref(|user| user)
            .process(
                "letters",
                |turn: &mut Turn<'_, String, u64, String>, user| {
                    let lines = turn.state().unwrap_or(&0) + 1;
                    *turn.state_mut() = Some(lines);
                    if lines == 11 {
                        turn.emit(user.clone());
                    }
                    Ok(())
                },
                |_, _, _| Ok(()),
            )
            .deliver(
                Outbox::new("post", Post(flags.post))
                    .retry(Retry::schedule([0, 100, 150, 200].map(Duration::from_millis)))
                    .throttle(Throttle::per_second(flags.throttle)),
            );
        job
    })
}
