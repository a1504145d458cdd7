//! Connectors against what they deliver to: what arrives, and what is said where nothing does.

#![cfg(test)]

#[cfg(feature = "alertmanager")]
#[path = "delivery/alertmanager.rs"]
mod alertmanager;
#[cfg(feature = "http-client")]
#[path = "delivery/faults.rs"]
mod faults;
#[cfg(all(feature = "pagerduty", feature = "slack"))]
#[path = "delivery/outbox.rs"]
mod outbox;
#[cfg(feature = "pagerduty")]
#[path = "delivery/pagerduty.rs"]
mod pagerduty;
#[cfg(feature = "http-client")]
#[path = "delivery/receiver.rs"]
mod receiver;
#[cfg(feature = "slack")]
#[path = "delivery/slack.rs"]
mod slack;
#[cfg(feature = "webhook")]
#[path = "delivery/webhook.rs"]
mod webhook;
