//! Bounds what is under way: bytes admitted at the sources and not yet finished.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_operators::Credit;

/// Bytes that may be under way in the whole process. Channels between workers hold no more than what is derived
/// from them.
const UNDER_WAY_BYTES_MAX: usize = 32 << 20;

/// The bytes under way, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    bytes: AtomicUsize,
    /// How many hold everything back.
    holds: AtomicUsize,
}

impl Admission {
    /// Whether a source may read more.
    pub fn is_open(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < UNDER_WAY_BYTES_MAX && self.holds.load(Ordering::Relaxed) == 0
    }

    /// Whether something holds the sources back that may last.
    pub fn is_held(&self) -> bool {
        self.holds.load(Ordering::Relaxed) > 0
    }

    /// Counts a batch's bytes as under way until the last clone of the credit is dropped.
    pub fn admit(self: &Arc<Self>, bytes: usize) -> Credit {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Credit::holding(Admitted { admission: Arc::clone(self), bytes })
    }
}

/// Holds the sources back while it is set.
pub(crate) struct Hold {
    admission: Arc<Admission>,
    is_set: bool,
}

impl Hold {
    pub fn new(admission: &Arc<Admission>) -> Self {
        Self { admission: Arc::clone(admission), is_set: false }
    }

    pub fn set(&mut self, is_set: bool) {
        match (self.is_set, is_set) {
            (false, true) => self.admission.holds.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.admission.holds.fetch_sub(1, Ordering::Relaxed),
            _ => return,
        };
        self.is_set = is_set;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set(false);
    }
}

struct Admitted {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.admission.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
