//! What PagerDuty is told.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use headwater_operators::{Alert, AlertStatus, Failure, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::http::shortened;

/// The published bounds, in characters.
const SUMMARY_CHARS: usize = 1024;
const DEDUP_KEY_CHARS: usize = 255;

/// An event. What it holds is PagerDuty's: <https://developer.pagerduty.com/docs/send-alert-event>.
///
/// ```
/// use headwater::connectors::{PagerDutyAction, PagerDutyEvent};
/// use headwater::prelude::*;
///
/// let alert = Alert::firing("QueueStuck", "no order for 5 minutes", Timestamp::from_seconds(0)).label("shop", "north");
/// let event = PagerDutyEvent::from(&alert);
/// assert_eq!((event.action, event.dedup_key.as_str()), (PagerDutyAction::Trigger, r#"QueueStuck{shop="north"}"#));
/// let seen = PagerDutyEvent::acknowledge(event.dedup_key);
/// assert_eq!(seen.action, PagerDutyAction::Acknowledge);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagerDutyEvent {
    /// What it does to the incident.
    pub action: PagerDutyAction,
    /// Which incident: events with the same key are of one. A key of more than 255 characters is sent as its beginning
    /// and its SHA-256.
    pub dedup_key: String,
    /// One line for people. What is over 1,024 characters is cut.
    pub summary: String,
    /// What is affected: a host, a service. Empty: the connector's.
    pub source: String,
    /// How bad it is.
    pub severity: Severity,
    /// Since when.
    pub timestamp: Option<Timestamp>,
    /// Which part of what is affected; empty where that is not known.
    pub component: String,
    /// What it belongs to; empty where it is nothing.
    pub group: String,
    /// What kind of event it is; empty where it has none.
    pub class: String,
    /// More for people.
    pub details: BTreeMap<String, String>,
}

/// What an event does to its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PagerDutyAction {
    /// Opens it, or adds to it where it is open.
    Trigger,
    /// Somebody is at it: nobody else is woken.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl PagerDutyEvent {
    /// Opens an incident.
    pub fn trigger(dedup_key: impl Into<String>, severity: Severity, summary: impl Into<String>) -> Self {
        Self {
            action: PagerDutyAction::Trigger,
            dedup_key: dedup_key.into(),
            summary: summary.into(),
            source: String::new(),
            severity,
            timestamp: None,
            component: String::new(),
            group: String::new(),
            class: String::new(),
            details: BTreeMap::new(),
        }
    }

    /// Says that somebody is at it.
    pub fn acknowledge(dedup_key: impl Into<String>) -> Self {
        Self { action: PagerDutyAction::Acknowledge, ..Self::trigger(dedup_key, Severity::default(), "") }
    }

    /// Closes an incident.
    pub fn resolve(dedup_key: impl Into<String>) -> Self {
        Self { action: PagerDutyAction::Resolve, ..Self::trigger(dedup_key, Severity::default(), "") }
    }

    /// As it is sent, but for what the connector knows.
    pub(super) fn body<'a>(&'a self, source: &'a str) -> Result<Body<'a>, Failure> {
        if self.dedup_key.is_empty() {
            return Err(Failure::permanent("the event has no dedup_key: no incident could be told from another"));
        }
        if self.action == PagerDutyAction::Trigger && self.summary.is_empty() {
            return Err(Failure::permanent("the event has no summary"));
        }
        let payload = (self.action == PagerDutyAction::Trigger).then(|| Payload {
            summary: shortened(&self.summary, SUMMARY_CHARS),
            source: if self.source.is_empty() { source } else { &self.source },
            severity: self.severity,
            timestamp: self.timestamp.filter(|time| !matches!(*time, Timestamp::MIN | Timestamp::MAX)),
            component: &self.component,
            group: &self.group,
            class: &self.class,
            custom_details: &self.details,
        });
        let dedup_key = bounded(&self.dedup_key);
        Ok(Body { routing_key: "", event_action: self.action, dedup_key, payload, client: None, client_url: None })
    }
}

/// A key that is no longer than it may be, and still another for another key.
fn bounded(key: &str) -> Cow<'_, str> {
    const HEX: usize = 64;
    if key.chars().count() <= DEDUP_KEY_CHARS {
        return Cow::Borrowed(key);
    }
    let mut short: String = key.chars().take(DEDUP_KEY_CHARS - HEX).collect();
    for byte in Sha256::digest(key.as_bytes()) {
        write!(short, "{byte:02x}").expect("a string takes all that is written");
    }
    Cow::Owned(short)
}

impl From<&PagerDutyEvent> for PagerDutyEvent {
    fn from(event: &PagerDutyEvent) -> Self {
        event.clone()
    }
}

impl From<&Alert> for PagerDutyEvent {
    /// Triggers while it fires, and resolves what it triggered. Its name is the class, labels and annotations are the
    /// details.
    fn from(alert: &Alert) -> Self {
        if alert.status == AlertStatus::Resolved {
            return Self::resolve(alert.identity());
        }
        let details = alert.labels.iter().chain(&alert.annotations);
        Self {
            timestamp: Some(alert.starts_at),
            class: alert.name.clone(),
            details: details.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..Self::trigger(alert.identity(), alert.severity, &alert.summary)
        }
    }
}

#[derive(Serialize)]
pub(super) struct Body<'a> {
    pub routing_key: &'a str,
    event_action: PagerDutyAction,
    dedup_key: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_url: Option<&'a str>,
}

#[derive(Serialize)]
struct Payload<'a> {
    summary: String,
    source: &'a str,
    /// The same words as PagerDuty's.
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    component: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    class: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    custom_details: &'a BTreeMap<String, String>,
}
