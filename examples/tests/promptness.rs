//! How soon a user knows: from the record that goes over the limit to the mail that says so, over a real broker and a real
//! mail server. A test binary of its own, so that no other test is in its way.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "a time between two processes is measured")]

#[path = "../../engine/tests/kafka/broker.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod broker;
#[path = "../../engine/tests/delivery/dev_server.rs"]
mod dev_server;
#[path = "../../engine/tests/delivery/mail_server.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod mail_server;
#[path = "support/process.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod process;
#[path = "support/seed.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod seed;
#[path = "support/transactions.rs"]
mod transactions;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use broker::Broker;
use headwater::prelude::Random;
use mail_server::{MailServer, user};
use process::{EVER, Running, examples, wait_for};
use rdkafka::producer::BaseRecord;
use transactions::transaction;

/// As `--commit-interval` has it unless said.
const EPOCH_MS: u64 = 200;
/// What is promised on a machine that has nothing else to do.
const PROMISED: Duration = Duration::from_secs(1);
/// What holds on any.
const AT_MOST: Duration = Duration::from_secs(5);
const USERS: usize = 20;

fn start(broker: &Broker, (transactions, alerts): (&str, &str), place: &Path, server: &MailServer) -> Running {
    let mut command = Command::new(examples().join("transaction_alerts"));
    command.args(["--brokers", &broker.address, "--topic", transactions, "--alerts", alerts, "--state"]).arg(place);
    command.args(["--commit-interval", &format!("{EPOCH_MS}ms"), "--quiet"]);
    command.args(["--email-to-user", "{user}@example.org", "--mail-server", &server.url()]);
    Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()))
}

#[test]
fn eleven_transactions_are_one_mail_within_a_second() {
    let mut random = Random::new(seed::seed("promptness"), 0);
    let (broker, server, place) = (Broker::shared(), MailServer::start(), tempfile::tempdir().unwrap());
    let (transactions, alerts) = (broker.topic("transactions", 1), broker.topic("alerts", 1));
    let _job = start(broker, (&transactions, &alerts), place.path(), &server);
    let producer = broker.producer();
    let send = |user: &str, count: usize| {
        for number in 0..count {
            producer.send_record(BaseRecord::to(&transactions).partition(0).payload(&transaction(number, user)));
        }
        producer.flush();
    };
    let has_mail = |name: &str| server.mailbox().iter().any(|message| user(message) == name);
    // The job is there once it has sent its first mail.
    send("first", 11);
    wait_for("the first mail", EVER, || has_mail("first"));
    let mut took = Vec::new();
    for number in 0..USERS {
        // At any moment of an epoch.
        let moment = Instant::now() + Duration::from_millis(random.below(2 * EPOCH_MS));
        wait_for("the moment", EVER, || Instant::now() >= moment);
        send(&format!("within-{number}"), 10);
        let over = format!("over-{number}");
        send(&over, 11);
        let acknowledged = Instant::now();
        wait_for("the mail", EVER, || has_mail(&over));
        took.push(acknowledged.elapsed());
    }
    took.sort_unstable();
    let (median, worst) = (took[USERS / 2], took[USERS - 1]);
    let verdict = if worst < PROMISED { "met" } else { "NOT met" };
    println!(
        "from the acknowledgement of the 11th record to its mail, {USERS} users: median {} ms, worst {} ms; < {} ms was {verdict}",
        median.as_millis(),
        worst.as_millis(),
        PROMISED.as_millis()
    );
    assert!(worst < AT_MOST, "{took:?}");
    let mails = server.mailbox();
    assert!(mails.iter().all(|message| !user(message).starts_with("within-")), "a mail to a user within the limit");
    assert_eq!(mails.len(), USERS + 1, "one mail for each user");
}
