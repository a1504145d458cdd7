//! The flagship as `make demo` runs it, in a terminal: how it leaves it.
#![cfg(test)]
#![allow(clippy::disallowed_methods, reason = "a test of processes waits for them, with a bound")]

#[path = "terminal/given_back.rs"]
mod given_back;
#[path = "support/process.rs"]
mod process;
#[path = "terminal/pty.rs"]
mod pty;
