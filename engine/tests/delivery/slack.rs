//! Slack, as its incoming webhooks are published:
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/>.

use headwater::connectors::{Secret, Slack, SlackMessage};
use headwater::operators::FailureKind::{Permanent, Unreachable};
use headwater::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Subject;
use crate::receiver::{KEY, Received, Receiver, Reply, attempt, deliver};

const PATH: &str = "/services/T0000/B0000/XyZsecret1234";

/// The published schema: nothing else may be in a message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is checked")]
struct Message {
    text: Option<String>,
    blocks: Option<Vec<Value>>,
    attachments: Option<Vec<Attachment>>,
    username: Option<String>,
    icon_emoji: Option<String>,
    channel: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is checked")]
struct Attachment {
    color: Option<String>,
    fallback: Option<String>,
    title: Option<String>,
    text: Option<String>,
    fields: Option<Vec<Field>>,
    ts: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "that they can be read is what is checked")]
struct Field {
    title: String,
    value: String,
    short: bool,
}

fn is_color(color: &str) -> bool {
    let hex = color.strip_prefix('#').unwrap_or_default();
    hex.len() == 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) || matches!(color, "good" | "warning" | "danger")
}

/// A text object: of a known type and within its length.
fn is_text(text: &Value, kinds: &[&str], at_most: usize) -> bool {
    let kind = text["type"].as_str().unwrap_or_default();
    kinds.contains(&kind) && text["text"].as_str().is_some_and(|text| (1..=at_most).contains(&text.chars().count()))
}

fn is_block(block: &Value) -> bool {
    let any = ["plain_text", "mrkdwn"];
    let all = |list: &Value, at_most, good: &dyn Fn(&Value) -> bool| {
        list.as_array().is_some_and(|list| (1..=at_most).contains(&list.len()) && list.iter().all(good))
    };
    match block["type"].as_str() {
        Some("header") => is_text(&block["text"], &["plain_text"], 150),
        Some("section") if block["text"].is_null() => all(&block["fields"], 10, &|field| is_text(field, &any, 2000)),
        Some("section") => is_text(&block["text"], &any, 3000),
        Some("context") => all(&block["elements"], 10, &|element| is_text(element, &any, 3000)),
        Some("divider") => true,
        _ => false,
    }
}

/// What Slack says about a message, in its words.
fn verdict(request: &Received) -> Result<(), &'static str> {
    let message: Message = serde_json::from_str(&request.body).map_err(|_| "invalid_payload")?;
    let ok = |good: bool, error| if good { Ok(()) } else { Err(error) };
    ok(request.method == "POST" && request.header("content-type") == "application/json", "invalid_payload")?;
    let attachments = message.attachments.as_deref();
    ok(message.text.is_some() || message.blocks.is_some() || attachments.is_some(), "no_text")?;
    ok(message.text.is_none_or(|text| (1..=40_000).contains(&text.chars().count())), "msg_too_long")?;
    ok(message.blocks.is_none_or(|blocks| blocks.len() <= 50 && blocks.iter().all(is_block)), "invalid_blocks")?;
    let attachments = attachments.unwrap_or_default();
    ok(attachments.len() <= 100, "too_many_attachments")?;
    let good =
        |attachment: &Attachment| attachment.color.as_deref().is_none_or(is_color) && attachment.fallback.is_some();
    ok(attachments.iter().all(good), "invalid_attachments")
}

/// Slack.
fn api() -> Receiver {
    Receiver::start(|request| match verdict(request) {
        _ if request.path != PATH => Reply::Status(404, Vec::new(), "no_service".into()),
        Ok(()) => Reply::Status(200, Vec::new(), "ok".into()),
        Err(error) => Reply::Status(400, Vec::new(), error.into()),
    })
}

fn slack(server: &Receiver) -> Slack {
    Slack::webhook(Secret::plain(server.url(PATH)))
}

fn alert() -> Alert {
    Alert::firing("HighErrorRate", "12 % of <all> requests fail", Timestamp::from_seconds(1_772_366_000))
        .label("service", "cart & till")
        .annotation("runbook", "https://wiki.example/errors")
}

/// The only attachment of what was sent.
fn attachment(server: &Receiver) -> Value {
    let message = server.next().json();
    let [attachment] = message["attachments"].as_array().unwrap().as_slice() else { panic!("{message}") };
    attachment.clone()
}

#[test]
fn an_alert_has_the_colour_of_its_severity_and_is_green_when_it_is_over() {
    let server = api();
    let slack = slack(&server);
    Connector::<Alert>::check(&slack).unwrap();
    let mut colors = Vec::new();
    for severity in [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical] {
        assert_eq!(deliver(&slack, &attempt(alert().severity(severity), 1)), Ok(()));
        colors.push(attachment(&server)["color"].clone());
    }
    colors.dedup();
    assert_eq!(colors.len(), 4);
    assert_eq!(deliver(&slack, &attempt(alert(), 1)), Ok(()));
    let expected = json!({
        "color": "#ecb22e",
        "fallback": "[WARNING] HighErrorRate: 12 % of &lt;all&gt; requests fail",
        "title": "[WARNING] HighErrorRate",
        "text": "12 % of &lt;all&gt; requests fail\n*runbook:* https://wiki.example/errors",
        "fields": [{"title": "service", "value": "cart &amp; till", "short": true}],
        "ts": 1_772_366_000,
    });
    assert_eq!(attachment(&server), expected);
    let over = alert().severity(Severity::Critical).resolved(Timestamp::from_seconds(1_772_366_300));
    assert_eq!(deliver(&slack, &attempt(over, 1)), Ok(()));
    let over = attachment(&server);
    let shown = ["color", "title", "ts"].map(|name| over[name].clone());
    assert_eq!(shown, [json!("#2eb67d"), json!("[RESOLVED] HighErrorRate"), json!(1_772_366_300)]);
}

#[test]
fn a_text_and_blocks_arrive() {
    let server = api();
    let slack = slack(&server).username("shop").icon_emoji(":package:").channel("#ops");
    assert_eq!(deliver(&slack, &attempt("*Order 7* is stuck".to_owned(), 1)), Ok(()));
    let request = server.next();
    let options =
        json!({"username": "shop", "icon_emoji": ":package:", "channel": "#ops", "text": "*Order 7* is stuck"});
    assert_eq!((request.json(), request.header("idempotency-key")), (options, KEY));
    let blocks = json!([
        {"type": "header", "text": {"type": "plain_text", "text": "Order 7"}},
        {"type": "divider"},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Step*\npacking"}]},
    ]);
    let message = SlackMessage::escaped("R&D <here>").blocks(&blocks);
    assert_eq!(deliver(&slack, &attempt(message, 1)), Ok(()));
    let sent = server.next().json();
    assert_eq!((&sent["text"], &sent["blocks"]), (&json!("R&amp;D &lt;here&gt;"), &blocks));
    assert_eq!(deliver(&slack, &attempt("Ω".repeat(50_000), 1)), Ok(()));
    assert_eq!(server.next().json()["text"].as_str().unwrap().chars().count(), 40_000);
}

#[test]
fn each_fault_is_told_for_what_it_is() {
    let connect = |url: &str| Slack::webhook(Secret::plain(format!("{url}{PATH}")));
    let kinds = [(400, Permanent), (413, Permanent), (404, Unreachable), (410, Unreachable)];
    let secrets = &[PATH, "XyZsecret1234"];
    Subject { connect: &connect, item: alert(), secrets, kinds: &kinds }.assert_takes_faults();
}

#[test]
fn a_message_that_slack_refuses_is_given_up_and_a_webhook_that_is_gone_is_not_its_fault() {
    let server = api();
    let message = SlackMessage::text("a").blocks(&json!([{"type": "confetti"}]));
    let failure = deliver(&slack(&server), &attempt(message, 1)).unwrap_err();
    let said = format!("{} answered 400 Bad Request: invalid_blocks", server.url(""));
    assert_eq!((failure.kind, failure.message), (Permanent, said));
    for message in [SlackMessage::default(), SlackMessage::text("a").blocks(&json!({}))] {
        assert_eq!(deliver(&slack(&server), &attempt(message, 1)).unwrap_err().kind, Permanent);
    }
    let gone = Slack::webhook(Secret::plain(server.url("/services/T0/B0/old")));
    let failure = deliver(&gone, &attempt(alert(), 1)).unwrap_err();
    assert_eq!(failure.kind, Unreachable);
    assert!(failure.message.ends_with("404 Not Found: no_service; the webhook or its channel is gone: make a new one"));
    let mistaken = Connector::<Alert>::check(&Slack::webhook(Secret::plain("hooks.slack.example/x"))).unwrap_err();
    assert_eq!(mistaken.to_string(), "the Slack webhook's address is no URL: relative URL without a base");
}
