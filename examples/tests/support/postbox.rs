//! A job whose deliveries can be counted: for the tests of what becomes of them under crashes.
//!
//! Every user with eleven lines in the input gets a letter. It goes through a connector to a receiver of the test, or into
//! a file, where a delivery is a line: key, attempt and letter.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use headwater::connectors::email::{Email, Smtp};
use headwater::connectors::{Alertmanager, PagerDuty, Secret, Slack, Webhook};
use headwater::prelude::*;

mod fate;
use fate::Fate;

#[derive(clap::Args)]
struct Flags {
    /// What delivers
    #[arg(long, default_value = "file")]
    through: Through,

    /// To where: a file, or an address as the connector has it
    #[arg(long)]
    post: String,

    /// Attempts a second
    #[arg(long, default_value_t = 1_000.0)]
    throttle: f64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Through {
    File,
    Mail,
    Webhook,
    Slack,
    Alertmanager,
    Pagerduty,
}

struct Post(PathBuf);

impl Connector<String> for Post {
    fn describe(&self) -> String {
        format!("file {}", self.0.display())
    }

    async fn deliver(&self, attempt: &Attempt<String>) -> Result<(), Failure> {
        let fate = Fate::of(&attempt.item, attempt.number);
        let word = if fate == Fate::Taken { "taken" } else { "not-taken" };
        let line = format!("{} {} {} {word}\n", attempt.idempotency_key, attempt.number, attempt.item);
        // One write, so that a line is there or not, and stays when the process ends.
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.0)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .map_err(|error| Failure::unreachable("no file").caused_by(&error))?;
        match fate {
            Fate::Taken => Ok(()),
            Fate::NotNow => Err(Failure::transient("not now")),
            Fate::Refused => Err(Failure::permanent("refused")),
        }
    }
}

/// A letter as a page. It is an alert of its user, whatever the attempt.
fn page(user: String) -> Alert {
    Alert::firing("Letter", "eleven lines", Timestamp::from_seconds(1_772_366_400)).label("user", user)
}

impl Flags {
    fn outbox<T: 'static, C: Connector<T>>(&self, connector: C) -> Outbox<T, C> {
        Outbox::new("post", connector)
            .retry(Retry::schedule([0, 100, 150, 200].map(Duration::from_millis)))
            .throttle(Throttle::per_second(self.throttle))
    }

    fn deliver(&self, letters: Stream<Vec<String>>) {
        let (to, secret) = (self.post.as_str(), Secret::plain(self.post.clone()));
        match self.through {
            Through::File => letters.deliver(self.outbox(Post(to.into()))),
            Through::Mail => {
                // Its address is checked where flags are: here it is the test's own.
                let mails = Smtp::from_url(to).expect("the test knows how to write it");
                let write =
                    |user: &String| Email::to(format!("{user}@example.org")).subject("Letter").text("eleven lines");
                letters.deliver(self.outbox(mails.email(write)));
            }
            Through::Webhook => letters.deliver(self.outbox(Webhook::to(to))),
            Through::Slack => letters.deliver(self.outbox(Slack::webhook(secret))),
            Through::Alertmanager => letters.map(page).deliver(self.outbox(Alertmanager::at(to))),
            Through::Pagerduty => {
                let pager = PagerDuty::new(Secret::plain("0123456789abcdefghij0123456789AB")).at(to);
                letters.map(page).deliver(self.outbox(pager));
            }
        }
    }
}

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        // Several of them share a broker in a test, and each is a job of its own.
        let job = Job::new(format!("postbox-{:?}", flags.through).to_lowercase());
        let letters = job.source(Topic::lines::<String>("lines")).key_by_ref(|user| user).process(
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
        );
        flags.deliver(letters);
        job
    })
}
