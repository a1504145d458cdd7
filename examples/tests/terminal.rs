//! The flagship as `make demo` runs it, in a terminal and without one: how soon it shows something, and how it leaves the
//! terminal.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "a test of processes waits for them, with a bound")]

#[path = "terminal/first_alert.rs"]
mod first_alert;
#[path = "terminal/given_back.rs"]
mod given_back;
#[path = "support/process.rs"]
mod process;
#[path = "terminal/pty.rs"]
mod pty;
