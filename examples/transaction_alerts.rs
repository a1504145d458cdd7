//! A payment app lets a user make ten transactions a day. At the eleventh, an alert.
//!
//!     cargo run --example transaction_alerts -- --live
//!     cargo run --example transaction_alerts -- --input transactions.jsonl --output alerts.jsonl --state alerts.state
//!     cargo run --features kafka --example transaction_alerts -- --brokers localhost:9092 --topic transactions --alerts alerts
//!     cargo run --example transaction_alerts -- explain
//!
//! Without `--input` or `--brokers` the transactions come from a generator, where a day passes in seconds
//! (`payments/mod.rs`, which also has the type `Transaction`). In Kafka, alerts have their user as the key.
//!
//! Read the pipeline in `job` from above: *where* in time transactions are put together (`window`), *what* is computed
//! (`count`), and *when* a result is sent (`once`: the first time that it holds, and at once, not when the day is over).
//! Transactions come out of order, so the day they belong to is that of `at`, not that of their arrival. A day closes
//! when the newest transaction is five minutes past its end.
//!
//! Stop it as you like, also with `kill -9`: started again it goes on where it was. The alerts, the counts and the
//! position in the input are committed together, five times a second, so each alert is in the output once.

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

fn job(transactions: &str, alerts: &str) -> Job {
    let job = Job::new("transaction-alerts");
    job.source(Topic::json::<Transaction>(transactions))
        .event_time(|tx| tx.at, Lateness::minutes(5))
        .key_by_ref(|tx| &tx.user)
        .window(Tumbling::days(1))
        .count()
        .once(|count| *count > 10)
        .map(|pane| Alert { user: pane.key, day: pane.window.start, count: pane.value })
        .sink(Topic::json::<Alert>(alerts).key_ref(|alert| &alert.user));
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
}

fn main() -> ExitCode {
    Job::main_with(|flags: Flags| {
        let job = job(flags.topic.as_deref().unwrap_or("transactions"), flags.alerts.as_deref().unwrap_or("alerts"));
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
        let (job, alerts) = (job("transactions", "alerts"), Captured::new());
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
