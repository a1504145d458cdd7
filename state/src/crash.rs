//! Places where a crash test ends the process, or keeps it waiting.
//!
//! With the feature `failpoints`, `HEADWATER_CRASH=NAME:N` aborts at the N-th pass of the place called NAME, and
//! `HEADWATER_CRASH=NAME:N:MILLIS` waits there and says so. Without it nothing is compiled in.

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
#[allow(clippy::disallowed_methods, reason = "to stand still at a place is what is asked for")]
pub fn point(name: &str) {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    // The process ends here, so what is asked for and counted belongs to the process and not to a store.
    static ASKED: OnceLock<Option<(String, usize, Option<u64>)>> = OnceLock::new();
    static PASSED: AtomicUsize = AtomicUsize::new(0);

    let asked = ASKED.get_or_init(|| {
        let asked = std::env::var("HEADWATER_CRASH").ok()?;
        let (name, when) = asked.split_once(':')?;
        let (nth, millis) = when.split_once(':').map_or((when, None), |(nth, millis)| (nth, Some(millis)));
        Some((name.to_owned(), nth.parse().ok()?, millis.and_then(|millis| millis.parse().ok())))
    });
    if let Some((asked, nth, millis)) = asked
        && asked == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *nth
    {
        let Some(millis) = millis else { std::process::abort() };
        // Whoever asked reads it here; if nobody does, it waits all the same.
        drop(writeln!(std::io::stderr(), "waiting at {name}"));
        std::thread::sleep(std::time::Duration::from_millis(*millis));
    }
}
