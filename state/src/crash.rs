//! Places where a crash test ends the process.
//!
//! With the feature `failpoints`, `HEADWATER_CRASH=NAME:N` aborts at the N-th pass of the place called NAME. Without
//! it nothing is compiled in.

/// The names of all places.
#[cfg(feature = "failpoints")]
pub const CRASH_POINTS: [&str; 6] =
    ["log.append.before", "log.append.after", "trim", "bulk.sst.written", "bulk.ingested", "bulk.before_position"];

/// A place that a crash can be asked for.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn point(_: &str) {}

/// A place that a crash can be asked for.
#[cfg(feature = "failpoints")]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    // The process ends here, so what is asked for and counted belongs to the process and not to a store.
    static ASKED: OnceLock<Option<(String, usize)>> = OnceLock::new();
    static PASSED: AtomicUsize = AtomicUsize::new(0);

    let asked = ASKED.get_or_init(|| {
        let asked = std::env::var("HEADWATER_CRASH").ok()?;
        let (name, nth) = asked.split_once(':')?;
        Some((name.to_owned(), nth.parse().ok()?))
    });
    if let Some((asked, nth)) = asked
        && asked == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        std::process::abort();
    }
}
