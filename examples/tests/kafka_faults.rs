//! Exactly once against a real broker, under faults.
//!
//! A job whose every output can be checked runs as two processes, one of them as a standby, behind a proxy that knows
//! Kafka's protocol. `HEADWATER_TORTURE=1` runs the long form (`make torture`); `HEADWATER_SEED=n` repeats a run, and
//! `HEADWATER_FAULTS=Kill,Freeze HEADWATER_HITS=9` does only some kinds, each so often.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "brokers and jobs are other processes, with a clock of their own")]

#[path = "../../engine/tests/kafka/broker.rs"]
#[allow(dead_code, reason = "the engine's own tests use the rest")]
mod broker;
#[path = "kafka_faults/campaign.rs"]
mod campaign;
#[path = "support/chain.rs"]
mod chain;
#[path = "kafka_faults/checker.rs"]
mod checker;
#[path = "kafka_faults/checker_tests.rs"]
mod checker_tests;
#[path = "kafka_faults/cluster.rs"]
mod cluster;
#[path = "kafka_faults/crash_points.rs"]
mod crash_points;
#[path = "kafka_faults/feed.rs"]
mod feed;
#[path = "kafka_faults/frames.rs"]
mod frames;
#[path = "kafka_faults/job.rs"]
mod job;
#[path = "kafka_faults/kinds.rs"]
mod kinds;
#[path = "kafka_faults/monitor.rs"]
mod monitor;
#[path = "support/mount.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod mount;
#[path = "support/process.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod process;
#[path = "kafka_faults/proxy.rs"]
mod proxy;
#[path = "kafka_faults/proxy_tests.rs"]
mod proxy_tests;
#[path = "kafka_faults/reader.rs"]
mod reader;
#[path = "kafka_faults/rest.rs"]
mod rest;
#[path = "support/seed.rs"]
mod seed;
