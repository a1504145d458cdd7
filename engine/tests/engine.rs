//! The engine as a whole: what pipelines do, and what their authors are told.
#![cfg(test)]

#[path = "engine/alerts.rs"]
mod alerts;
#[path = "engine/backlog.rs"]
mod backlog;
#[path = "engine/bad_records.rs"]
mod bad_records;
#[path = "engine/broken_off.rs"]
mod broken_off;
#[path = "engine/compile_fail.rs"]
mod compile_fail;
#[path = "engine/determinism.rs"]
mod determinism;
#[path = "engine/flaky.rs"]
mod flaky;
#[path = "engine/http.rs"]
mod http;
#[path = "engine/idle.rs"]
mod idle;
#[path = "engine/late.rs"]
mod late;
#[path = "engine/left_over.rs"]
mod left_over;
#[path = "engine/mistakes.rs"]
mod mistakes;
#[path = "engine/numbers.rs"]
mod numbers;
#[path = "engine/outbox.rs"]
mod outbox;
#[path = "engine/process.rs"]
mod process;
#[path = "engine/redrive.rs"]
mod redrive;
#[path = "engine/restart.rs"]
mod restart;
#[path = "engine/scrape.rs"]
mod scrape;
#[path = "engine/shapes.rs"]
mod shapes;
#[path = "engine/watching.rs"]
mod watching;
