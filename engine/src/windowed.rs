//! Windows, aggregates and triggers: where, what, when.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::{
    Aggregate, Avg, Count, EarlyEvery, Fold, Fork, Keying, Late, Max, Min, OnClose, OnUpdate, Once, Output, Pane,
    Records, SideOutput, Sum, Trigger, WindowAggregate, WindowOptions, Windows,
};
use headwater_state::Value;

use crate::format::Encode;
use crate::graph::{Edge, GraphRef, Node, OutputPort, Role, erase, typed};
use crate::keyed::KeyedStream;
use crate::{Stream, Topic};

/// Adds the sink of late rows to the output of a node.
type LateSink = Box<dyn FnOnce(&GraphRef, Edge)>;

/// A keyed stream in windows: says *where* in time rows are put together.
#[must_use = "a stream that goes nowhere is an error: end it with `.sink(…)`"]
pub struct WindowedStream<R: Records, G, W> {
    keyed: KeyedStream<R, G>,
    windows: W,
    id: Option<String>,
    allowed_lateness: Duration,
    late: Option<LateSink>,
}

impl<R: Records, G: Keying<R>, W: Windows> WindowedStream<R, G, W> {
    pub(crate) fn new(keyed: KeyedStream<R, G>, windows: W) -> Self {
        Self { keyed, windows, id: None, allowed_lateness: Duration::ZERO, late: None }
    }

    /// The name of what is kept: state belongs to it. Without one it is derived from the source's name.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Keeps each window for this long after its first close. A row that comes within it corrects the result: the pane
    /// is sent again at once, marked as a correction.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.allowed_lateness = lateness;
        self
    }

    /// Puts each group of rows together with any aggregate, or with a tuple of them.
    pub fn aggregate<A: Aggregate<R>>(self, aggregate: A) -> Aggregated<R, G, W, A> {
        Aggregated { windowed: self, aggregate }
    }

    /// Counts the rows.
    pub fn count(self) -> Aggregated<R, G, W, Count> {
        self.aggregate(Count)
    }
}

impl<T: Send + 'static, G: Keying<Vec<T>>, W: Windows> WindowedStream<Vec<T>, G, W> {
    /// Sends rows that come after their window has closed, or after its allowed lateness, to a topic. They are counted
    /// in any case.
    pub fn late<F: Encode<Late<T>>>(mut self, topic: Topic<Late<T>, F>) -> Self {
        self.late = Some(Box::new(move |graph, edge| {
            Stream::<Vec<Late<T>>>::new(GraphRef::clone(graph), edge).sink(topic);
        }));
        self
    }

    /// The sum of what `value` gives of each row.
    pub fn sum<N, F>(self, value: F) -> Aggregated<Vec<T>, G, W, Sum<T, F>>
    where
        F: Fn(&T) -> N + Send + Sync + 'static,
        Sum<T, F>: Aggregate<Vec<T>>,
    {
        self.aggregate(Sum::new(value))
    }

    /// The least of what `value` gives of each row.
    pub fn min<N, F>(self, value: F) -> Aggregated<Vec<T>, G, W, Min<T, F>>
    where
        F: Fn(&T) -> N + Send + Sync + 'static,
        Min<T, F>: Aggregate<Vec<T>>,
    {
        self.aggregate(Min::new(value))
    }

    /// The greatest of what `value` gives of each row.
    pub fn max<N, F>(self, value: F) -> Aggregated<Vec<T>, G, W, Max<T, F>>
    where
        F: Fn(&T) -> N + Send + Sync + 'static,
        Max<T, F>: Aggregate<Vec<T>>,
    {
        self.aggregate(Max::new(value))
    }

    /// The mean of what `value` gives of each row.
    pub fn avg<N, F>(self, value: F) -> Aggregated<Vec<T>, G, W, Avg<T, F>>
    where
        F: Fn(&T) -> N + Send + Sync + 'static,
        Avg<T, F>: Aggregate<Vec<T>>,
    {
        self.aggregate(Avg::new(value))
    }

    /// Puts rows together step by step, from `start`.
    pub fn fold<S, I, F>(self, start: I, step: F) -> Aggregated<Vec<T>, G, W, Fold<T, I, F>>
    where
        S: Value + Clone,
        I: Fn() -> S + Send + Sync + 'static,
        F: Fn(&mut S, &T) + Send + Sync + 'static,
        Fold<T, I, F>: Aggregate<Vec<T>>,
    {
        self.aggregate(Fold::new(start, step))
    }
}

/// Windows with an aggregate: says *what* is computed. A trigger says *when* it is sent.
#[must_use = "say when results are sent: `.on_close()`, `.once(…)`, `.on_update()` or `.early_every(…)`"]
pub struct Aggregated<R: Records, G, W, A> {
    windowed: WindowedStream<R, G, W>,
    aggregate: A,
}
