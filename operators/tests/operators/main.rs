//! The operators, each in order, late, and cut by a crash; and what must hold however rows are batched, divided among
//! workers, committed and cut.

#![cfg(test)]

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
mod stateless;
mod time;
mod triggers;
