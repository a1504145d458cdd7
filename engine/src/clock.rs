//! The only place of the engine's core that reads a clock.
#![expect(clippy::disallowed_methods, reason = "this is where the clock is read")]

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use headwater_operators::Timestamp;

/// The steady clock, for intervals.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock, for ticks.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Waits, without holding up the thread.
#[cfg(feature = "http")]
pub(crate) async fn pause(duration: std::time::Duration) {
    tokio::time::sleep(duration).await;
}

/// What `work` comes to, if it does within `limit`.
pub(crate) async fn within<F: Future>(limit: std::time::Duration, work: F) -> Option<F::Output> {
    tokio::time::timeout(limit, work).await.ok()
}

/// Waits, or until `enough` says so.
pub(crate) fn wait(duration: std::time::Duration, enough: impl Fn() -> bool) {
    const LOOK_UP: std::time::Duration = std::time::Duration::from_millis(20);
    let end = now() + duration;
    while now() < end && !enough() {
        std::thread::sleep(LOOK_UP.min(end.saturating_duration_since(now())));
    }
}
