//! Connectors against what they deliver to: real servers, started by scripts in `dev/` on ports of their own and ended with
//! the test, however that ends. Each of them works, is away, dies half-way, is slow, refuses one item, all, and us.

#![cfg(test)]

#[cfg(feature = "email")]
#[path = "delivery/email.rs"]
mod email;
#[cfg(feature = "email")]
#[path = "delivery/mail_server.rs"]
mod mail_server;
