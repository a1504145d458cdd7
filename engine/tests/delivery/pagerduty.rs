//! PagerDuty, as its Events API v2 is published: <https://developer.pagerduty.com/docs/send-alert-event>.

use std::collections::BTreeMap;

use headwater::connectors::{PagerDuty, PagerDutyEvent, Secret};
use headwater::operators::FailureKind::{Permanent, Unreachable};
use headwater::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::faults::Subject;
use crate::receiver::{KEY, Received, Receiver, Reply, attempt, deliver};

const ROUTING_KEY: &str = "0123456789abcdefghij0123456789AB";

/// The published schema: nothing else may be in an event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is checked")]
struct Event {
    routing_key: String,
    event_action: Action,
    dedup_key: Option<String>,
    payload: Option<Payload>,
    client: Option<String>,
    client_url: Option<String>,
    images: Option<Vec<BTreeMap<String, String>>>,
    links: Option<Vec<BTreeMap<String, String>>>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Action {
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is checked")]
struct Payload {
    summary: String,
    source: String,
    severity: Severity,
    timestamp: Option<Timestamp>,
    component: Option<String>,
    group: Option<String>,
    class: Option<String>,
    custom_details: Option<serde_json::Value>,
}

/// What the API finds wrong with an event, in its words.
fn errors(request: &Received) -> Vec<String> {
    let event: Event = match serde_json::from_str(&request.body) {
        Ok(event) => event,
        Err(error) => return vec![error.to_string()],
    };
    let mut errors = Vec::new();
    let mut unless = |good: bool, error: &str| {
        if !good {
            errors.push(error.to_owned())
        }
    };
    unless((request.method.as_str(), request.path.as_str()) == ("POST", "/v2/enqueue"), "no such endpoint");
    unless(request.header("content-type") == "application/json", "'Content-Type' is incorrect");
    unless(event.routing_key.len() == 32, "Length of 'routing_key' is incorrect (should be 32 characters)");
    let key = event.dedup_key.as_deref().unwrap_or_default();
    unless(key.chars().count() <= 255, "'dedup_key' is too long");
    unless(event.event_action == Action::Trigger || !key.is_empty(), "'dedup_key' is missing");
    unless(event.event_action != Action::Trigger || event.payload.is_some(), "'payload' is missing");
    if let Some(payload) = &event.payload {
        unless(
            (1..=1024).contains(&payload.summary.chars().count()),
            "'payload.summary' is missing, blank or too long",
        );
        unless(!payload.source.is_empty(), "'payload.source' is missing or blank");
    }
    errors
}

/// Events API v2.
fn api() -> Receiver {
    Receiver::start(|request| match errors(request) {
        errors if errors.is_empty() => {
            let key = request.json()["dedup_key"].clone();
            let answer = json!({"status": "success", "message": "Event processed", "dedup_key": key});
            Reply::Status(202, Vec::new(), answer.to_string())
        }
        errors => {
            let answer = json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors});
            Reply::Status(400, Vec::new(), answer.to_string())
        }
    })
}

fn pager(server: &Receiver) -> PagerDuty {
    PagerDuty::new(Secret::plain(ROUTING_KEY)).at(server.url("")).source("checkout")
}

fn alert() -> Alert {
    Alert::firing("HighErrorRate", "12 % of requests fail", Timestamp::from_seconds(1_772_366_000))
        .label("service", "cart")
        .annotation("runbook", "https://wiki.example/errors")
        .severity(Severity::Critical)
}

#[test]
fn an_alert_triggers_an_incident_and_resolves_the_same() {
    let server = api();
    let pager = pager(&server).client("shop monitor", "https://shop.example/monitor");
    Connector::<Alert>::check(&pager).unwrap();
    assert_eq!(deliver(&pager, &attempt(alert(), 1)), Ok(()));
    let request = server.next();
    assert_eq!(request.header("idempotency-key"), KEY);
    let expected = json!({
        "routing_key": ROUTING_KEY,
        "event_action": "trigger",
        "dedup_key": "HighErrorRate{service=\"cart\"}",
        "client": "shop monitor",
        "client_url": "https://shop.example/monitor",
        "payload": {
            "summary": "12 % of requests fail",
            "source": "checkout",
            "severity": "critical",
            "timestamp": "2026-03-01T11:53:20Z",
            "class": "HighErrorRate",
            "custom_details": {"service": "cart", "runbook": "https://wiki.example/errors"},
        },
    });
    assert_eq!(request.json(), expected);
    let over = alert().severity(Severity::Info).resolved(Timestamp::from_seconds(1_772_366_300));
    assert_eq!(deliver(&pager, &attempt(over, 1)), Ok(()));
    let resolved = server.next().json();
    assert_eq!((&resolved["event_action"], &resolved["dedup_key"]), (&json!("resolve"), &expected["dedup_key"]));
    assert_eq!(resolved.get("payload"), None);
}

#[test]
fn events_of_ones_own_are_taken() {
    /// A record that is told of.
    struct Order(u32);
    impl From<&Order> for PagerDutyEvent {
        fn from(order: &Order) -> Self {
            let summary = format!("order {} is stuck", order.0);
            let event = Self::trigger(format!("order-{}", order.0), Severity::Error, summary);
            Self { source: "warehouse".into(), component: "belt".into(), group: "north".into(), ..event }
        }
    }
    let server = api();
    let pager = pager(&server);
    assert_eq!(deliver(&pager, &attempt(Order(7), 1)), Ok(()));
    let payload = server.next().json()["payload"].clone();
    let expected = json!({
        "summary": "order 7 is stuck", "source": "warehouse", "severity": "error", "component": "belt", "group": "north"
    });
    assert_eq!(payload, expected);
    for (event, action) in
        [(PagerDutyEvent::acknowledge("order-7"), "acknowledge"), (PagerDutyEvent::resolve("order-7"), "resolve")]
    {
        assert_eq!(deliver(&pager, &attempt(event, 1)), Ok(()));
        let expected = json!({"routing_key": ROUTING_KEY, "event_action": action, "dedup_key": "order-7"});
        assert_eq!(server.next().json(), expected);
    }
    for severity in [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical] {
        assert_eq!(deliver(&pager, &attempt(PagerDutyEvent::trigger("a", severity, "b"), 1)), Ok(()));
        assert_eq!(server.next().json()["payload"]["severity"], severity.as_str());
    }
}

#[test]
fn what_is_too_long_is_cut_and_long_keys_stay_different() {
    let server = api();
    let pager = pager(&server);
    // More bytes than characters, so that a cut in the middle of one would show.
    let long = "Ω".repeat(2000);
    let mut keys = Vec::new();
    for last in ["a", "b"] {
        let event = PagerDutyEvent::trigger(long.clone() + last, Severity::Info, long.clone());
        assert_eq!(deliver(&pager, &attempt(event, 1)), Ok(()));
        let sent = server.next().json();
        assert_eq!(sent["payload"]["summary"], "Ω".repeat(1023) + "…");
        keys.push(sent["dedup_key"].as_str().unwrap().to_owned());
    }
    assert_ne!(keys[0], keys[1]);
    let again = PagerDutyEvent::resolve(long + "b");
    assert_eq!(deliver(&pager, &attempt(again, 1)), Ok(()));
    assert_eq!(server.next().json()["dedup_key"], keys[1]);
}

#[test]
fn each_fault_is_told_for_what_it_is() {
    let connect = |url: &str| PagerDuty::new(Secret::plain(ROUTING_KEY)).at(url);
    let kinds = [(400, Permanent), (413, Permanent), (404, Unreachable)];
    Subject { connect: &connect, item: alert(), secrets: &[ROUTING_KEY], kinds: &kinds }.assert_takes_faults();
}

#[test]
fn what_the_api_says_is_told_and_a_wrong_key_gives_no_item_up() {
    let refusal = |errors: &[&str]| {
        let text = json!({"status": "invalid event", "message": "Event object is invalid", "errors": errors});
        Reply::Status(400, Vec::new(), text.to_string())
    };
    let echoed = format!("Invalid routing key {ROUTING_KEY}");
    let server = Receiver::replying([refusal(&["'payload.source' is blank"]), refusal(&[&echoed])]);
    let pager = pager(&server);
    let failure = deliver(&pager, &attempt(alert(), 1)).unwrap_err();
    let said =
        format!("{} answered 400 Bad Request: Event object is invalid: 'payload.source' is blank", server.url(""));
    assert_eq!((failure.kind, failure.message), (Permanent, said));
    let failure = deliver(&pager, &attempt(alert(), 2)).unwrap_err();
    assert_eq!(failure.kind, Unreachable);
    assert!(failure.message.ends_with("Invalid routing key ***; mend the routing key"), "{failure}");
}

#[test]
fn what_cannot_be_an_event_is_not_sent() {
    let server = api();
    let pager = pager(&server);
    for event in [PagerDutyEvent::trigger("", Severity::Info, "a"), PagerDutyEvent::trigger("a", Severity::Info, "")] {
        assert_eq!(deliver(&pager, &attempt(event, 1)).unwrap_err().kind, Permanent);
    }
    assert_eq!(server.rest().len(), 0);
    let says = |pager: PagerDuty| Connector::<Alert>::check(&pager).unwrap_err().to_string();
    let short = says(PagerDuty::new(Secret::plain("short")));
    assert!(short.starts_with("the routing key in the program is none") && !short.contains("short"), "{short}");
    assert!(says(PagerDuty::new(Secret::plain(ROUTING_KEY)).at("pager")).starts_with("PagerDuty's address is no URL"));
}
