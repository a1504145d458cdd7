//! What window aggregates emit.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, Window};

/// The result of one key in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pane<K, V> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: Window,
    /// What the aggregate made of the rows.
    pub value: V,
    /// Whether more may follow.
    pub kind: PaneKind,
}

/// Where a result stands among those of its pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaneKind {
    /// Before the window closed: others may follow.
    Early,
    /// The result: of the close, of `once`, or of the first row where that came after the close.
    OnTime,
    /// After the result: it counts a row that was late and still allowed.
    Correction,
}

/// A row that came after its window was gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late<T> {
    /// The row.
    pub record: T,
    /// Its event time.
    pub time: Timestamp,
    /// The window it would have counted in: the first of those that were gone.
    pub window: Window,
    /// How far the watermark was.
    pub watermark: Timestamp,
}
