//! Prometheus Alertmanager, the real one, started with `dev/alertmanager`; and what it never does, by a server that does.

#![expect(clippy::disallowed_methods, reason = "Alertmanager goes by the clock, and so do alerts for it")]

use std::ops::Deref;
use std::time::SystemTime;

use headwater::connectors::{Alertmanager, Secret};
use headwater::operators::FailureKind::{Permanent, Transient, Unreachable};
use headwater::prelude::*;
use serde_json::{Value, json};

use crate::alertmanager_server::AlertmanagerServer;
use crate::faults::Subject;
use crate::receiver::{KEY, Receiver, Reply, attempt, deliver, nobody, wait};

/// `open sesame`, hashed.
const LOGIN: &str = "alice:$2b$04$8Dx50Y7/aEKa6a.i8tKv9OtBIvps7jekhyNfC3FHy3x90cafz.wke";

/// An Alertmanager, and who it notifies.
struct Service {
    server: AlertmanagerServer,
    hook: Receiver,
}

impl Service {
    fn start() -> Self {
        Self::start_with(None)
    }

    fn start_with(login: Option<&str>) -> Self {
        let hook = Receiver::replying([]);
        Self { server: AlertmanagerServer::start(&hook.url("/"), login), hook }
    }

    /// The next alert that it notifies of.
    #[track_caller]
    fn notified(&self) -> Value {
        let message = self.hook.next().json();
        let [alert] = message["alerts"].as_array().unwrap().as_slice() else { panic!("{message}") };
        alert.clone()
    }
}

impl Deref for Service {
    type Target = AlertmanagerServer;

    fn deref(&self) -> &AlertmanagerServer {
        &self.server
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn alert(name: &str) -> Alert {
    Alert::firing(name, "12 % of requests fail", now().minus(seconds(60)))
        .label("service.name", "cart")
        .annotation("runbook", "https://wiki.example/errors")
        .severity(Severity::Critical)
}

/// An attempt that was decided on just now.
fn at_once(alert: Alert) -> Attempt<Alert> {
    Attempt { at: now(), ..attempt(alert, 1) }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn an_alert_fires_until_it_is_resolved_and_both_are_notified() {
    let service = Service::start();
    let alerts = Alertmanager::at(service.url() + "/")
        .label("cluster", "north")
        .label("service.name", "all")
        .generator_url("http://headwater.example/job");
    alerts.check().unwrap();
    let first = at_once(alert("HighErrorRate"));
    assert_eq!(deliver(&alerts, &first), Ok(()));

    let fires = service.notified();
    let labels =
        json!({"alertname": "HighErrorRate", "severity": "critical", "service_name": "cart", "cluster": "north"});
    let annotations = json!({"summary": "12 % of requests fail", "runbook": "https://wiki.example/errors"});
    assert_eq!((&fires["status"], &fires["labels"]), (&json!("firing"), &labels));
    assert_eq!((&fires["annotations"], time(&fires["startsAt"])), (&annotations, first.item.starts_at));
    let [listed] = service.alerts().try_into().unwrap();
    assert_eq!((&listed["labels"], &listed["annotations"]), (&labels, &annotations));
    assert_eq!(listed["generatorURL"], "http://headwater.example/job");
    assert_eq!(time(&listed["endsAt"]), first.at.plus(seconds(24 * 3600)), "kept alive for a day");

    // One without an end, as nobody should send it: Alertmanager resolves it by itself.
    let without_end = json!([{"labels": {"alertname": "Forgotten"}}]).to_string();
    let post = reqwest::Client::new().post(service.url() + "/api/v2/alerts").header("content-type", "application/json");
    assert!(wait(post.body(without_end).send()).unwrap().status().is_success());
    for status in ["firing", "resolved"] {
        let notified = service.notified();
        assert_eq!((&notified["labels"]["alertname"], &notified["status"]), (&json!("Forgotten"), &json!(status)));
    }
    assert_eq!(service.alerts().len(), 1, "ours is still there");

    // A second attempt, and a reminder, are the same alert.
    assert_eq!(deliver(&alerts, &Attempt { number: 2, ..at_once(first.item.clone()) }), Ok(()));
    assert_eq!(service.alerts().len(), 1);

    let ended = now();
    assert_eq!(deliver(&alerts, &at_once(first.item.resolved(ended))), Ok(()));
    let over = service.notified();
    assert_eq!((&over["status"], &over["labels"], time(&over["endsAt"])), (&json!("resolved"), &labels, ended));
    assert_eq!(service.alerts(), [Value::Null; 0]);
}

#[test]
fn an_alert_ends_by_itself_when_nobody_keeps_it_alive() {
    let service = Service::start();
    let alerts = Alertmanager::at(service.url()).keep_alive(seconds(1));
    assert_eq!(deliver(&alerts, &at_once(alert("Brief"))), Ok(()));
    assert_eq!(service.notified()["status"], "firing");
    assert_eq!(service.notified()["status"], "resolved");
}

/// Event time may be ahead of the clock or long past, and an alert may come with the ends of time.
#[test]
fn an_alert_that_is_over_is_over_whatever_its_times() {
    let service = Service::start();
    let alerts = Alertmanager::at(service.url());
    let (ahead, past) = (now().plus(seconds(3600)), Timestamp::from_seconds(86_400));
    for (name, starts, ends) in [("Ahead", ahead, ahead.plus(seconds(60))), ("Past", Timestamp::MIN, past)] {
        let alert = Alert { starts_at: starts, ..alert(name) };
        assert_eq!(deliver(&alerts, &at_once(alert.clone())), Ok(()));
        assert_eq!(service.notified()["status"], "firing", "{name}");
        assert_eq!(deliver(&alerts, &at_once(alert.resolved(ends))), Ok(()));
        let over = service.notified();
        assert_eq!((&over["labels"]["alertname"], &over["status"]), (&json!(name), &json!("resolved")));
    }
}

#[test]
fn one_of_several_is_enough_and_all_are_told() {
    let (a, b) = (Service::start(), Service::start());
    let both = || Alertmanager::at(a.url()).and(b.url()).each_at_most(seconds(2));
    let alerts = both();
    assert_eq!(alerts.lane(&alert("Any")), format!("127.0.0.1:{},127.0.0.1:{}", a.port(), b.port()));
    assert_eq!(deliver(&alerts, &at_once(alert("Both"))), Ok(()));
    assert_eq!([&a, &b].map(|service| service.notified()["labels"]["alertname"].clone()), ["Both", "Both"]);
    b.dev("pause");
    assert_eq!(deliver(&alerts, &at_once(alert("Hung"))), Ok(()), "the other does not hold it up for long");
    assert_eq!(a.notified()["labels"]["alertname"], "Hung");
    b.dev("kill");
    assert_eq!(deliver(&alerts, &at_once(alert("Killed"))), Ok(()));
    assert_eq!(a.notified()["labels"]["alertname"], "Killed");
    a.dev("kill");
    // With no connection from before: whether one that was open ended before or after the request depends on the moment.
    let failure = deliver(&both(), &at_once(alert("None"))).unwrap_err();
    assert_eq!(failure.kind, Unreachable, "{failure}");
    for service in [&a, &b] {
        service.dev("start");
    }
    assert_eq!(deliver(&both(), &at_once(alert("None"))), Ok(()));
    assert_eq!([&a, &b].map(|service| service.notified()["labels"]["alertname"].clone()), ["None", "None"]);
}

#[test]
fn an_alertmanager_that_was_away_takes_the_next_attempt() {
    let service = Service::start();
    let alerts = Alertmanager::at(service.url());
    assert_eq!(deliver(&alerts, &at_once(alert("Before"))), Ok(()));
    assert_eq!(service.notified()["labels"]["alertname"], "Before");
    service.dev("kill");
    assert_eq!(deliver(&alerts, &at_once(alert("Meanwhile"))).unwrap_err().kind, Unreachable);
    service.dev("start");
    // The connection of before is broken, and made again.
    assert_eq!(deliver(&alerts, &at_once(alert("Meanwhile"))), Ok(()));
    assert_eq!(service.notified()["labels"]["alertname"], "Meanwhile");
}

#[test]
fn a_wrong_password_gives_no_alert_up() {
    let service = Service::start_with(Some(LOGIN));
    let with = |password| Alertmanager::at(service.url()).basic_auth("alice", Secret::plain(password));
    let failure = deliver(&with("open barley"), &at_once(alert("Door"))).unwrap_err();
    assert_eq!(failure.kind, Unreachable);
    assert!(failure.message.ends_with("; mend the Alertmanager's token or password"), "{failure}");
    assert!(!failure.to_string().contains("open barley"), "{failure}");
    assert_eq!(deliver(&Alertmanager::at(service.url()), &at_once(alert("Door"))).unwrap_err().kind, Unreachable);
    assert_eq!(deliver(&with("open sesame"), &at_once(alert("Door"))), Ok(()));
    assert_eq!(service.notified()["labels"]["alertname"], "Door");
    let elsewhere = Alertmanager::at(service.url() + "/prefix").basic_auth("alice", Secret::plain("open sesame"));
    let failure = deliver(&elsewhere, &at_once(alert("Door"))).unwrap_err();
    assert_eq!(failure.kind, Unreachable, "{failure}");
    assert!(failure.message.ends_with("without /api/v2/alerts"), "{failure}");
}

#[test]
fn each_fault_is_told_for_what_it_is() {
    let token = "tok-5e4d3c2b1a";
    let connect = |url: &str| Alertmanager::at(url).bearer(Secret::plain(token));
    let kinds = [(400, Permanent), (404, Unreachable), (422, Permanent)];
    Subject { connect: &connect, item: alert("Any"), secrets: &[token], kinds: &kinds }.assert_takes_faults();
}

#[test]
fn as_long_as_one_may_still_take_it_an_alert_is_not_given_up() {
    let no = Receiver::start(|_| Reply::status(400));
    let busy = Receiver::start(|_| Reply::Status(503, vec![("retry-after", "9")], String::new()));
    let gone = format!("http://{}", nobody());
    let kind = |alerts: Alertmanager| deliver(&alerts, &attempt(alert("Any"), 1)).unwrap_err();
    let failure = kind(Alertmanager::at(no.url("")).and(busy.url("")).and(&gone));
    assert_eq!((failure.kind, failure.retry_after), (Transient, Some(seconds(9))), "{failure}");
    assert_eq!([no.next(), busy.next()].map(|request| request.header("idempotency-key").to_owned()), [KEY; 2]);
    assert_eq!(kind(Alertmanager::at(no.url("")).and(&gone)).kind, Unreachable);
    assert_eq!(kind(Alertmanager::at(no.url("")).and(no.url(""))).kind, Permanent);
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let says = |alerts: Alertmanager| alerts.check().unwrap_err().to_string();
    assert!(says(Alertmanager::at("alerts:9093")).starts_with("the Alertmanager's address is no http://"));
    assert!(says(Alertmanager::at("http://a.example").and("")).starts_with("the Alertmanager's address is no URL"));
    let never = Alertmanager::at("http://a.example").keep_alive(Duration::ZERO);
    assert!(says(never).ends_with("give keep_alive a time"));
    let generator = Alertmanager::at("http://a.example").generator_url("my dashboard");
    assert!(says(generator).starts_with("the generator's address is no URL"));
}
