//! Where the log goes: standard error, or, while the view has the terminal, a buffer that the view shows.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Starts logging. A program that has set up `tracing` in its own way keeps it.
pub(super) fn to_stderr(filter: &str) {
    let terminal = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter_or_env(filter))
        .with_target(false)
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        .with_writer(io::stderr);
    // Whoever looks at a terminal knows what time it is.
    if terminal {
        log.without_time().try_init().ok()
    } else {
        log.try_init().ok()
    };
}

#[cfg(feature = "live")]
pub(super) fn to_view(filter: &str, tail: crate::live::LogTail) {
    let log = tracing_subscriber::fmt().compact().with_env_filter(filter_or_env(filter)).with_target(false);
    log.with_ansi(false).without_time().with_writer(tail).try_init().ok();
}

fn filter_or_env(filter: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter))
}
