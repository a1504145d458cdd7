//! A stream whose rows are with the owner of their key.

use std::sync::Arc;

use headwater_operators::{
    Clock, Exchange, Keying, Merge, Message, Output, Process, Records, Shared, StepFns, Timestamp, Turn, Windows,
};
use headwater_state::Value;

use crate::attempt::owner;
use crate::build::{Build, Remote};
use crate::graph::{Edge, GraphRef, Node, OutputPort, Port, Role, erase, typed};
use crate::job::chain;
use crate::windowed::WindowedStream;
use crate::{Error, Result, Stream};

/// A stream whose rows are grouped by a key, each with the worker that owns it.
#[must_use = "a stream that goes nowhere is an error: end it with `.sink(…)`"]
pub struct KeyedStream<R: Records, G> {
    pub(crate) stream: Stream<R>,
    pub(crate) keying: Arc<G>,
}

/// Where records are `Clone`: the same rows once more, without a second way to their owners.
impl<R: Records + Clone, G> Clone for KeyedStream<R, G> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone(), keying: Arc::clone(&self.keying) }
    }
}

impl<R: Records, G: Keying<R>> KeyedStream<R, G> {
    /// Puts an exchange behind `stream`.
    pub(crate) fn exchange(stream: Stream<R>, keying: G) -> Self {
        let keying = Arc::new(keying);
        let by = Arc::clone(&keying);
        let node = Node {
            id: stream.id("key_by"),
            verb: "key_by",
            detail: String::new(),
            inputs: vec![stream.edge],
            outputs: vec![OutputPort::timed(stream.is_timed())],
            tables: Vec::new(),
            setting: String::new(),
            role: Role::Step,
            build: Arc::new(move |build, nexts| connect::<R, G>(build, nexts, &by)),
        };
        let graph: GraphRef = stream.graph;
        let node = graph.borrow_mut().add(node);
        Self { stream: Stream::new(graph, Edge { node, output: 0 }), keying }
    }

    /// Puts each row into windows of event time.
    pub fn window<W: Windows>(self, windows: W) -> WindowedStream<R, G> {
        WindowedStream::new(self, Arc::new(windows))
    }

    /// The rows as they are, each with the owner of its key: in the order that rows of one key came.
    pub fn records(self) -> Stream<R> {
        self.stream
    }
}

impl<T: Send + 'static, G: Keying<Vec<T>>> KeyedStream<Vec<T>, G> {
    /// State and timers per key in your own hands, for what no other verb does. `id` names what is kept. `on_record`
    /// gets each record with its key's state, `on_timer` each timer that it set; a [`Turn`] emits, keeps and sets them.
    ///
    /// Timers of [`Clock::Event`] fire once the watermark has passed them: those of one instant may come before or
    /// after records of a later time, so look at the times where that matters. Timers of [`Clock::Wall`] fire within a
    /// commit interval of their time. Both are state: they are kept across restarts.
    ///
    /// ```
    /// use headwater::prelude::*;
    ///
    /// let job = Job::new("visits");
    /// job.source(Topic::lines::<String>("visitors"))
    ///     .key_by_ref(|visitor| visitor)
    ///     .process(
    ///         "visits",
    ///         |turn: &mut Turn<'_, String, u64, String>, _| {
    ///             let visits = turn.state().unwrap_or(&0) + 1;
    ///             *turn.state_mut() = Some(visits);
    ///             let greeting = format!("visit {visits} of {}", turn.key());
    ///             turn.emit(greeting);
    ///             Ok(())
    ///         },
    ///         |_, _, _| Ok(()),
    ///     )
    ///     .sink(Topic::lines("greetings"));
    /// # job.check()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn process<S: Value, O: Send + 'static>(
        self,
        id: impl Into<String>,
        on_record: impl Fn(&mut Turn<'_, G::Key, S, O>, &T) -> Result<()> + Shared,
        on_timer: impl Fn(&mut Turn<'_, G::Key, S, O>, Timestamp, Clock) -> Result<()> + Shared,
    ) -> Stream<Vec<O>> {
        let id = id.into();
        let process = Process::new(id.clone(), self.keying, Arc::new(StepFns::new(on_record, on_timer)));
        let stream = self.stream;
        let node = Node {
            id,
            verb: "process",
            detail: String::new(),
            inputs: vec![stream.edge],
            outputs: vec![OutputPort::timed(stream.is_timed())],
            tables: process.tables::<Vec<T>>(),
            setting: String::new(),
            role: Role::Step,
            build: Arc::new(move |build, mut nexts| {
                let next = typed::<Vec<O>>(nexts.pop())?;
                let opened = process.open::<Vec<T>>(&build.local)?;
                Ok(vec![chain(build, opened, next)])
            }),
        };
        let node = stream.graph.borrow_mut().add(node);
        Stream::new(stream.graph, Edge { node, output: 0 })
    }
}

/// One worker's end of an exchange: its rows go to all workers, and those of all workers come to it.
fn connect<R: Records, G: Keying<R>>(build: &mut Build, mut nexts: Vec<Port>, keying: &Arc<G>) -> Result<Vec<Port>> {
    let next = typed::<R>(nexts.pop())?;
    let inputs = Merge::inputs(build.workers, next);
    let mut outputs: Vec<Box<dyn Output<R>>> = Vec::with_capacity(build.workers);
    let mut remote = Vec::with_capacity(build.workers);
    for (worker, input) in inputs.into_iter().enumerate() {
        if worker == build.worker {
            outputs.push(Box::new(input));
            remote.push(None);
        } else {
            let peer = build.peers[worker].clone();
            outputs.push(Box::new(Remote { stage: build.node, from: build.worker, peer }));
            remote.push(Some(input));
        }
    }
    let deliver = move |from: usize, message: Box<dyn std::any::Any + Send>| {
        let input = remote.get_mut(from).and_then(Option::as_mut);
        match (input, message.downcast::<Message<R>>()) {
            (Some(input), Ok(message)) => input.send(*message),
            _ => Err(Error::bug(format!("worker {from} sent what the exchange does not take"))),
        }
    };
    build.stages.insert(build.node, Box::new(deliver));
    let owners: Arc<[u16]> = (0..build.local.shards_total()).map(|shard| owner(shard, build.workers) as u16).collect();
    let exchange = Exchange::new(Arc::clone(keying), owners, outputs)?;
    Ok(vec![erase::<R>(build.named(exchange))])
}
