//! The examples that reach the world outside, as processes, against servers: what arrives, whatever happens meanwhile.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "a test kills at times that the clock says")]

#[path = "../../engine/tests/delivery/alertmanager_server.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod alertmanager_server;
#[path = "../../engine/tests/kafka/broker.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod broker;
#[path = "../../engine/tests/delivery/dev_server.rs"]
mod dev_server;
#[path = "support/ends.rs"]
mod ends;
#[path = "support/fate.rs"]
mod fate;
#[path = "services/http.rs"]
mod http;
#[path = "support/letters.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod letters;
#[path = "../../engine/tests/delivery/mail_server.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod mail_server;
#[path = "services/mails.rs"]
mod mails;
#[path = "services/orders.rs"]
mod orders;
#[path = "support/process.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod process;
#[path = "services/receiver.rs"]
mod receiver;
#[path = "support/seed.rs"]
mod seed;
#[path = "services/steps.rs"]
mod steps;
#[path = "services/takeover.rs"]
mod takeover;
#[path = "support/transactions.rs"]
mod transactions;
