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
}

impl Admission {
    /// Whether a source may read more.
    pub fn is_open(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) < UNDER_WAY_BYTES_MAX
    }

    /// Counts a batch's bytes as under way until the last clone of the credit is dropped.
    pub fn admit(self: &Arc<Self>, bytes: usize) -> Credit {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Credit::holding(Admitted { admission: Arc::clone(self), bytes })
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
