//! Exactly once against a real broker, under faults.
//!
//! What is tested is behind a proxy that knows Kafka's protocol, and its outputs can be checked.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "brokers and jobs are other processes, with a clock of their own")]

#[path = "../../engine/tests/kafka/broker.rs"]
#[allow(dead_code, reason = "the engine's own tests use the rest")]
mod broker;
#[path = "support/chain.rs"]
mod chain;
#[path = "kafka_faults/checker.rs"]
mod checker;
#[path = "kafka_faults/checker_tests.rs"]
mod checker_tests;
#[path = "kafka_faults/cluster.rs"]
mod cluster;
#[path = "kafka_faults/frames.rs"]
mod frames;
#[path = "kafka_faults/proxy.rs"]
mod proxy;
#[path = "kafka_faults/proxy_tests.rs"]
mod proxy_tests;
