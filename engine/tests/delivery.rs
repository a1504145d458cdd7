//! Connectors against what they deliver to: real servers, started by scripts in `dev/` on ports of their own and ended with
//! the test, however that ends. Each of them works, is away, dies half-way, is slow, refuses one item, all, and us.

#![cfg(test)]

#[cfg(feature = "alertmanager")]
#[path = "delivery/alertmanager.rs"]
mod alertmanager;
#[cfg(feature = "alertmanager")]
#[path = "delivery/alertmanager_server.rs"]
mod alertmanager_server;
#[cfg(any(feature = "alertmanager", feature = "email"))]
#[path = "delivery/dev_server.rs"]
mod dev_server;
#[cfg(feature = "email")]
#[path = "delivery/email.rs"]
mod email;
#[cfg(feature = "http-client")]
#[path = "delivery/faults.rs"]
mod faults;
#[cfg(feature = "email")]
#[path = "delivery/mail_server.rs"]
#[allow(dead_code, reason = "tests of the examples use the rest")]
mod mail_server;
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
