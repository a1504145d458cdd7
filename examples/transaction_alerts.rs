//! A payment app lets a user make ten transactions a day. At the eleventh, an alert.
//!
//!     cargo run --example transaction_alerts -- --live
//!     cargo run --example transaction_alerts -- --input transactions.jsonl --output alerts.jsonl --state alerts.state
//!     cargo run --features kafka --example transaction_alerts -- --brokers localhost:9092 --topic transactions --alerts alerts
//!     cargo run --features email --example transaction_alerts -- --input transactions.jsonl --output alerts.jsonl \
//!         --email-to-user '{user}@example.org' --mail-server 'smtp://alerts@mail.example.org?from=alerts@example.org&password_env=SMTP_PASSWORD'
//!     cargo run --example transaction_alerts -- explain
//!
//! Without `--input` or `--brokers` the transactions come from a generator, where a day passes in seconds
//! (`payments/mod.rs`, which also has the type `Transaction`). In Kafka, alerts have their user as the key.
//!
//! Read the pipeline in `job_with` from above: *where* in time transactions are put together (`window`), *what* is computed
//! (`count`), and *when* a result is sent (`once`: the first time that it holds, and at once, not when the day is over).
//! Transactions come out of order, so the day they belong to is that of `at`, not that of their arrival. A day closes
//! when the newest transaction is five minutes past its end.
//!
//! Stop it as you like, also with `kill -9`: started again it goes on where it was. The alerts, the counts and the
//! position in the input are committed together, five times a second, so each alert is in the output once.

#[cfg(feature = "email")]
use headwater::connectors::email::{Email, Smtp};
use headwater::prelude::*;
use serde::{Deserialize, Serialize};

mod payments;
use payments::{Payments, Transaction};

/// The alert, as JSON: `{"user":"u-17","day":"2026-03-01","count":11}`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Alert {
    user: Text,
    #[serde(with = "headwater::time::date")]
    day: Timestamp,
    count: u64,
}

/// Tells the user. A mail is sent once its alert is committed; while the mail server is away, mails wait for it.
#[cfg(feature = "email")]
fn tell_users(alerts: Stream<Vec<Alert>>, mails: Smtp, address: String) {
    let mails = mails.email(move |alert: &Alert| {
        let day = alert.day.to_string();
        let day = day.split('T').next().unwrap_or_default();
        Email::to(address.replace("{user}", &alert.user)).subject(format!("{} transactions on {day}", alert.count)).text(
            format!(
                "Hello {},\n\non {day} there were {} transactions on your account. Ten a day are usual. If some of them \
                 are not yours, block the account in the app.\n",
                alert.user, alert.count
            ),
        )
    });
    // Once per user and day, also where the job is started over.
    let outbox = Outbox::new("mail", mails).idempotency_key(|alert: &Alert| format!("{}/{}", alert.user, alert.day));
    alerts.deliver(outbox);
}

/// The pipeline, and what else is made of its alerts.
fn job_with(transactions: &str, alerts: &str, also: impl FnOnce(Stream<Vec<Alert>>)) -> Job {
    let job = Job::new("transaction-alerts");
    let limits = job
        .source(Topic::json::<Transaction>(transactions))
        .event_time(|tx| tx.at, Lateness::minutes(5))
        .key_by_ref(|tx| &tx.user)
        .window(Tumbling::days(1))
        .count()
        .once(|count| *count > 10)
        .map(|pane| Alert { user: pane.key, day: pane.window.start, count: pane.value });
    also(limits.clone());
    limits.sink(Topic::json::<Alert>(alerts).key_ref(|alert| &alert.user));
    job
}

#[derive(clap::Args)]
struct Flags {
    /// Transactions a second that the generator makes
    #[arg(long, default_value_t = 50_000.0, value_name = "N")]
    rate: f64,

    /// Users that the generator's app has; they make three transactions in two days
    #[arg(long, default_value_t = 200_000, value_name = "N")]
    users: u64,

    /// Kafka topic to read with --brokers, instead of `transactions`
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,

    /// Kafka topic to write to with --brokers, instead of standard output
    #[arg(long, value_name = "NAME")]
    alerts: Option<String>,

    #[cfg(feature = "email")]
    #[command(flatten)]
    mail: MailFlags,
}

#[cfg(feature = "email")]
#[derive(clap::Args)]
struct MailFlags {
    /// Mail each alert to its user, at this address: `{user}` stands for the user
    #[arg(long, value_name = "ADDRESS", requires = "mail_server")]
    email_to_user: Option<String>,

    /// The mail server: smtp://USER@HOST:PORT?from=ADDRESS&password_env=NAME
    #[arg(long, value_name = "URL", value_parser = mail_server)]
    mail_server: Option<String>,
}

/// Says what is wrong with the address of a mail server before anything else is done.
#[cfg(feature = "email")]
fn mail_server(url: &str) -> Result<String> {
    Smtp::from_url(url).map(|_| url.to_owned())
}

#[cfg(feature = "email")]
impl MailFlags {
    fn tell_users(self, alerts: Stream<Vec<Alert>>) {
        if let (Some(address), Some(Ok(mails))) = (self.email_to_user, self.mail_server.map(|url| Smtp::from_url(&url)))
        {
            tell_users(alerts, mails, address);
        }
    }
}

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let (topic, alerts) = (flags.topic.as_deref(), flags.alerts.as_deref());
        let job = job_with(topic.unwrap_or("transactions"), alerts.unwrap_or("alerts"), |_alerts| {
            #[cfg(feature = "email")]
            flags.mail.tell_users(_alerts);
        });
        // What the topics stand for unless the command line says otherwise. One that it names is in Kafka.
        if flags.topic.is_none() {
            let app = Payments::new(flags.users);
            let transactions = Generator::new(1, move |number, random| app.transaction(number, random));
            job.bind_input("transactions", Input::of(transactions.rate(flags.rate)));
        }
        if flags.alerts.is_none() {
            job.bind_output("alerts", Output::Stdout);
        }
        job
    })
}

// RocksDB and the row loops allocate from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A pipeline is tested with records in memory: no files, no broker, no waiting.
#[cfg(test)]
mod tests {
    use super::*;

    fn at(user: &str, time: &str) -> Transaction {
        let at = time.parse().unwrap();
        let text = |text: &str| Text::from(text);
        let (id, merchant, channel, status) = (text("t"), text("m"), text("app"), text("approved"));
        Transaction { id, user: text(user), at, amount: 1.0, currency: text("EUR"), merchant, channel, status }
    }

    fn alerts(transactions: Vec<Transaction>) -> Vec<Alert> {
        let (job, alerts) = (job_with("transactions", "alerts", |_| ()), Captured::new());
        job.bind_input("transactions", Input::of(Rows::new(transactions)));
        job.bind_output("alerts", Output::of(alerts.clone()));
        job.run(&RunOptions::default(), &Control::default()).unwrap();
        alerts.take()
    }

    #[test]
    fn the_eleventh_transaction_of_a_day_alerts_once() {
        let mut transactions = vec![at("ann", "2026-03-01T12:00:00Z"); 13];
        transactions.extend(vec![at("bob", "2026-03-01T12:00:00Z"); 10]);
        let day = "2026-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(alerts(transactions), [Alert { user: Text::from("ann"), day, count: 11 }]);
    }

    #[test]
    fn a_day_is_that_of_the_transaction_not_of_its_arrival() {
        let mut transactions = vec![at("ann", "2026-03-01T23:59:00Z"); 10];
        transactions.push(at("ann", "2026-03-02T00:01:00Z"));
        assert_eq!(alerts(transactions.clone()), []);
        // Two minutes late, and still counted where it belongs.
        transactions.push(at("ann", "2026-03-01T23:59:00Z"));
        assert_eq!(alerts(transactions).len(), 1);
    }
}
