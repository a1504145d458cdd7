//! From a pipeline through an outbox to a receiver.

use headwater::connectors::{PagerDuty, Secret, Slack};
use headwater::prelude::*;

use crate::receiver::{Receiver, Reply};

/// Has a job deliver alerts, and returns what it could not deliver.
fn deliver(alerts: Vec<Alert>, outbox: Outbox<Alert, impl Connector<Alert>>) -> Vec<DeadLetter> {
    let job = Job::new("pages");
    job.source(Topic::json::<Alert>("alerts"))
        .deliver(outbox.retry(Retry::schedule([0, 20].map(Duration::from_millis))));
    job.bind_input("alerts", Input::of(Rows::new(alerts)));
    let dead = Captured::new();
    job.bind_output("post.dead-letters", Output::of(dead.clone()));
    let options = RunOptions { commit_interval: Duration::from_millis(20), ..RunOptions::default() };
    job.run(&options, &Control::default()).unwrap();
    dead.records()
}

/// With and without what an alert may have, so that each comes out of the state as it went in.
fn alerts() -> Vec<Alert> {
    let plain = Alert::firing("Plain", "no more than it needs", Timestamp::from_seconds(60));
    let full = plain.clone().label("service", "cart").annotation("runbook", "a page").severity(Severity::Critical);
    vec![plain, full.clone(), full.resolved(Timestamp::from_seconds(120))]
}

#[test]
fn alerts_arrive_as_they_were_and_a_later_attempt_has_the_same_key() {
    let server = Receiver::replying([Reply::status(503)]);
    let slack = Slack::webhook(Secret::plain(server.url("/hook")));
    assert_eq!(deliver(alerts(), Outbox::new("post", slack).concurrency(1)), []);
    let requests = server.rest();
    let title = |body: &serde_json::Value| body["attachments"][0]["title"].as_str().unwrap().to_owned();
    let mut titles: Vec<String> = requests.iter().map(|request| title(&request.json())).collect();
    titles.sort();
    titles.dedup();
    assert_eq!(titles, ["[CRITICAL] Plain", "[RESOLVED] Plain", "[WARNING] Plain"]);
    assert_eq!(requests.len(), 4);
    let first = &requests[0];
    let again: Vec<_> = requests.iter().filter(|request| request.body == first.body).collect();
    assert_eq!(again.len(), 2, "it was busy once");
    assert_eq!(again[0].header("idempotency-key"), again[1].header("idempotency-key"));
    let mut keys: Vec<_> = requests.iter().map(|request| request.header("idempotency-key")).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

#[test]
fn an_incident_is_not_resolved_before_it_was_triggered() {
    // The trigger has to wait for its second attempt.
    let server = Receiver::replying([Reply::status(503)]);
    let pager = PagerDuty::new(Secret::plain("0123456789abcdefghij0123456789AB")).at(server.url(""));
    let [_, fires, over] = alerts().try_into().unwrap();
    assert_eq!(deliver(vec![fires, over], Outbox::new("post", pager)), []);
    let actions: Vec<_> = server.rest().iter().map(|request| request.json()["event_action"].clone()).collect();
    assert_eq!(actions, ["trigger", "trigger", "resolve"]);
}

#[test]
fn a_refused_alert_is_a_dead_letter_without_secrets() {
    let key = "0123456789abcdefghij0123456789AB";
    let server = Receiver::start(|request| Reply::Status(400, Vec::new(), request.body.clone()));
    let pager = PagerDuty::new(Secret::plain(key)).at(server.url(""));
    let dead = deliver(alerts(), Outbox::new("post", pager));
    assert_eq!(dead.len(), 3);
    let said = format!("{dead:?}");
    assert!(said.contains("400 Bad Request") && !said.contains(key), "{said}");
}
