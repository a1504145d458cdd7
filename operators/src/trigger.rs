//! When a pane's result leaves.

use std::time::Duration;

use crate::Shared;

/// When a pane's result leaves: [`OnClose`], [`OnUpdate`], [`Once`] or [`EarlyEvery`].
pub trait Trigger<V>: Send + Sync + 'static {
    /// Which of them it is.
    const WHEN: When;

    /// For [`When::Once`]: whether the time has come.
    #[inline]
    fn holds(&self, value: &V) -> bool {
        let _ = value;
        false
    }

    /// For [`When::Early`]: how often.
    fn every(&self) -> Duration {
        Duration::ZERO
    }
}

/// The kinds of [`Trigger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When the window closes.
    Close,
    /// After each batch, for every pane that it changed.
    Update,
    /// After the first row that makes it hold.
    Once,
    /// At intervals, and when the window closes.
    Early,
}

impl When {
    /// Whether closing a window emits its panes.
    pub const fn emits_at_close(self) -> bool {
        matches!(self, Self::Close | Self::Early)
    }

    /// What the stored panes depend on.
    pub const fn shape(self) -> &'static str {
        match self {
            Self::Close => "on_close",
            Self::Update => "on_update",
            Self::Once => "once",
            Self::Early => "early_every",
        }
    }
}

/// Once per pane, when its window closes.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnClose;

impl<V> Trigger<V> for OnClose {
    const WHEN: When = When::Close;
}

/// Whenever it changed: one result per pane and batch, the last of which is final. How many come before it depends on
/// how rows were batched.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnUpdate;

impl<V> Trigger<V> for OnUpdate {
    const WHEN: When = When::Update;
}

/// Once per pane, at the first row after which a predicate holds, however rows were batched.
#[derive(Clone, Copy, Debug)]
pub struct Once<F>(pub F);

impl<V, F: Fn(&V) -> bool + Shared> Trigger<V> for Once<F> {
    const WHEN: When = When::Once;

    #[inline]
    fn holds(&self, value: &V) -> bool {
        (self.0)(value)
    }
}

/// At intervals of the wall clock where it changed, and when its window closes.
#[derive(Clone, Copy, Debug)]
pub struct EarlyEvery(pub Duration);

impl<V> Trigger<V> for EarlyEvery {
    const WHEN: When = When::Early;

    fn every(&self) -> Duration {
        self.0
    }
}
