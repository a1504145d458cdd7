//! The operators, each in order, late, and cut by a crash; and what must hold however rows are batched, divided among
//! workers, committed and cut.

#![cfg(test)]

mod alert_groups;
mod alert_model;
mod alert_steps;
mod alerts;
mod close;
mod cluster;
#[cfg(feature = "columns")]
mod columns;
mod event_time;
mod exchange;
mod lateness;
mod model;
mod outbox;
mod process;
mod properties;
mod silence;
mod stateless;
mod time;
mod triggers;
