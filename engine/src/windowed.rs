//! Windows, aggregates and triggers: where, what, when.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::{
    Aggregate, Avg, Count, EarlyEvery, Fold, Keying, Late, Max, Min, Number, OnClose, OnUpdate, Once, Ordered, Pane,
    Records, Shared, Sum, Trigger, WindowAggregate, Windows,
};
use headwater_state::Value;

use crate::format::Encode;
use crate::keyed::KeyedStream;
use crate::late::LateSink;
use crate::letters::Lettered;
use crate::stream::Stream;
use crate::window_node;
use crate::{DeadLetter, Topic};

/// A keyed stream in windows: says *where* in time rows are put together.
#[must_use = "a stream that goes nowhere is an error: end it with `.sink(…)`"]
pub struct WindowedStream<R: Records, G> {
    pub(crate) keyed: KeyedStream<R, G>,
    pub(crate) windows: Arc<dyn Windows>,
    pub(crate) id: Option<String>,
    pub(crate) allowed_lateness: Duration,
    pub(crate) late: Option<LateSink<R>>,
}

impl<R: Records, G: Keying<R>> WindowedStream<R, G> {
    pub(crate) fn new(keyed: KeyedStream<R, G>, windows: Arc<dyn Windows>) -> Self {
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
    pub fn aggregate<A: Aggregate<R>>(self, aggregate: A) -> Aggregated<R, G, A> {
        Aggregated { windowed: self, aggregate }
    }

    /// Counts the rows.
    pub fn count(self) -> Aggregated<R, G, Count> {
        self.aggregate(Count)
    }
}

impl<T: Send + 'static, G: Keying<Vec<T>>> WindowedStream<Vec<T>, G> {
    /// Sends rows that come after their window has closed, or after its allowed lateness, to a topic. They are counted
    /// in any case.
    pub fn late<F: Encode<Late<T>>>(mut self, topic: Topic<Late<T>, F>) -> Self {
        self.late = Some(LateSink::new(topic));
        self
    }

    /// The same as dead letters, in the format that all of them have. There is one such topic or one of [`late`](Self::late).
    /// Of a topic that is read as [received](crate::Topic::received), letters have key, headers and origin.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let job = Job::new("totals");
    /// job.source(Topic::json::<(String, Timestamp)>("orders"))
    ///     .event_time(|(_, at)| *at, Lateness::minutes(1))
    ///     .key_by_ref(|(user, _)| user)
    ///     .window(Tumbling::hours(1))
    ///     .late_dead_letters(Topic::json("dead-letters"))
    ///     .count()
    ///     .on_close()
    ///     .map(|pane| (pane.key, pane.value))
    ///     .sink(Topic::json("totals"));
    /// assert_eq!(job.output_topics(), ["dead-letters", "totals"]);
    /// # job.check()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn late_dead_letters(mut self, topic: Topic<DeadLetter>) -> Self
    where
        T: Lettered,
    {
        self.late = Some(LateSink::letters(topic));
        self
    }

    /// The sum of what `value` gives of each row.
    pub fn sum<N: Number, F: Fn(&T) -> N + Shared>(self, value: F) -> Aggregated<Vec<T>, G, Sum<T, F>>
    where
        Sum<T, F>: Aggregate<Vec<T>>,
    {
        self.aggregate(Sum::of(value))
    }

    /// The least of what `value` gives of each row.
    pub fn min<V: Ordered, F: Fn(&T) -> V + Shared>(self, value: F) -> Aggregated<Vec<T>, G, Min<T, F>> {
        self.aggregate(Min::of(value))
    }

    /// The greatest of what `value` gives of each row.
    pub fn max<V: Ordered, F: Fn(&T) -> V + Shared>(self, value: F) -> Aggregated<Vec<T>, G, Max<T, F>> {
        self.aggregate(Max::of(value))
    }

    /// The mean of what `value` gives of each row.
    pub fn avg<N: Number, F: Fn(&T) -> N + Shared>(self, value: F) -> Aggregated<Vec<T>, G, Avg<T, F>>
    where
        Avg<T, F>: Aggregate<Vec<T>>,
    {
        self.aggregate(Avg::of(value))
    }

    /// Puts rows together step by step, from what `start` gives.
    pub fn fold<S, I, F>(self, start: I, step: F) -> Aggregated<Vec<T>, G, Fold<T, I, F>>
    where
        S: Value + Clone,
        I: Fn() -> S + Shared,
        F: Fn(&mut S, &T) + Shared,
    {
        self.aggregate(Fold::new(start, step))
    }
}

/// Windows with an aggregate: says *what* is computed. A trigger says *when* it is sent.
#[must_use = "say when results are sent: `.on_close()`, `.once(…)`, `.on_update()` or `.early_every(…)`"]
pub struct Aggregated<R: Records, G, A> {
    windowed: WindowedStream<R, G>,
    aggregate: A,
}

/// The stream of what a window aggregate sends.
pub type PaneStream<R, G, A> = Stream<Vec<Pane<<G as Keying<R>>::Key, <A as Aggregate<R>>::Output>>>;

impl<R: Records, G: Keying<R>, A: Aggregate<R>> Aggregated<R, G, A> {
    /// The name of what is kept: state belongs to it. Without one it is derived from the source's name.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.windowed.id = Some(id.into());
        self
    }

    /// Sends each result once, when its window closes.
    pub fn on_close(self) -> PaneStream<R, G, A> {
        self.when(OnClose)
    }

    /// Sends each result whenever it has changed: once per key and batch.
    pub fn on_update(self) -> PaneStream<R, G, A> {
        self.when(OnUpdate)
    }

    /// Sends each result once, after the row with which `condition` first holds: at once, and exactly then, however
    /// rows are batched.
    pub fn once(self, condition: impl Fn(&A::Output) -> bool + Shared) -> PaneStream<R, G, A> {
        self.when(Once(condition))
    }

    /// Sends what has changed at this interval of the wall clock, and every result when its window closes.
    pub fn early_every(self, interval: Duration) -> PaneStream<R, G, A> {
        self.when(EarlyEvery(interval))
    }

    fn when<T: Trigger<A::Output>>(self, trigger: T) -> PaneStream<R, G, A> {
        let WindowedStream { keyed, windows, id, allowed_lateness, late } = self.windowed;
        let stream = keyed.stream;
        let id = id.unwrap_or_else(|| stream.graph.borrow().origin(stream.edge));
        let operator = WindowAggregate {
            id,
            keying: keyed.keying,
            windows,
            aggregate: Arc::new(self.aggregate),
            trigger: Arc::new(trigger),
            allowed_lateness,
        };
        window_node::add(stream, operator, late)
    }
}
