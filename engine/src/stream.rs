//! A stream of records that is not keyed, and the verbs on it.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use headwater_operators::time::span;
use headwater_operators::{
    Branch, EventTime, Filter, FlatMap, Inspect, KeyBy, KeyByRef, Keying, Lateness, Map, Merge, Operator, Predicate,
    Records, Shared, Timestamp,
};
use headwater_state::Key;

use crate::bad_record::BadRecords;
use crate::binding::{Output as Binding, sink_for};
use crate::build::Build;
use crate::format::{Encode, Json};
use crate::graph::{Edge, GraphRef, Node, OutputPort, Port, Role, SinkRole, erase, tee, typed};
use crate::job::chain;
use crate::keyed::KeyedStream;
use crate::letters::{self, Redecode};
use crate::sink::{Sink, move_aside};
use crate::sink_task::Writer;
use crate::{DeadLetter, Error, Result, Topic};

/// A stream of records. Verbs take it and give the next one; [`sink`](Self::sink) ends it. Where records are `Clone`,
/// a clone of the stream is the same records once more.
#[must_use = "a stream that goes nowhere is an error: end it with `.sink(…)`"]
pub struct Stream<R> {
    pub(crate) graph: GraphRef,
    pub(crate) edge: Edge,
    records: PhantomData<fn() -> R>,
}

impl<R: Records + Clone> Clone for Stream<R> {
    fn clone(&self) -> Self {
        let mut graph = self.graph.borrow_mut();
        graph.nodes[self.edge.node].outputs[self.edge.output].tee = Some(tee::<R>);
        drop(graph);
        Self::new(Rc::clone(&self.graph), self.edge)
    }
}

impl<R: Records> Stream<R> {
    pub(crate) fn new(graph: GraphRef, edge: Edge) -> Self {
        Self { graph, edge, records: PhantomData }
    }

    /// Keeps the records for which `predicate` holds.
    pub fn filter(self, predicate: impl Predicate<R> + Shared) -> Self {
        let predicate = Arc::new(predicate);
        self.step("filter", move |_| Ok(Filter::new(Arc::clone(&predicate))))
    }

    /// The records of both streams. The slower watermark counts.
    pub fn union(self, other: Self) -> Self {
        let timed = self.is_timed() && other.is_timed();
        let node = Node {
            id: self.id("union"),
            verb: "union",
            detail: String::new(),
            inputs: vec![self.edge, other.edge],
            outputs: vec![OutputPort::timed(timed)],
            tables: Vec::new(),
            setting: String::new(),
            role: Role::Step,
            build: Arc::new(|build, mut nexts| {
                let next = typed::<R>(nexts.pop())?;
                let inputs = Merge::inputs(2, next);
                Ok(inputs.into_iter().map(|input| erase::<R>(build.named(input))).collect())
            }),
        };
        let node = self.graph.borrow_mut().add(node);
        Self::new(self.graph, Edge { node, output: 0 })
    }

    /// Divides the stream: the records for which `predicate` holds, and the others.
    pub fn branch(self, predicate: impl Predicate<R> + Shared) -> (Self, Self) {
        let predicate = Arc::new(predicate);
        let timed = self.is_timed();
        let node = Node {
            id: self.id("branch"),
            verb: "branch",
            detail: String::new(),
            inputs: vec![self.edge],
            outputs: vec![OutputPort::timed(timed), OutputPort::timed(timed)],
            tables: Vec::new(),
            setting: String::new(),
            role: Role::Step,
            build: Arc::new(move |build, mut nexts| {
                let (others, those) = (typed::<R>(nexts.pop())?, typed::<R>(nexts.pop())?);
                Ok(vec![erase::<R>(build.named(Branch::new(Arc::clone(&predicate), those, others)))])
            }),
        };
        let node = self.graph.borrow_mut().add(node);
        let others = Self::new(Rc::clone(&self.graph), Edge { node, output: 1 });
        (Self::new(self.graph, Edge { node, output: 0 }), others)
    }

    /// Groups rows by a key: each goes to the worker that owns the key's shard.
    pub fn key_by_rows<G: Keying<R>>(self, keying: G) -> KeyedStream<R, G> {
        KeyedStream::exchange(self, keying)
    }

    pub(crate) fn is_timed(&self) -> bool {
        self.graph.borrow().output(self.edge).timed
    }

    /// The id of a step that keeps no state.
    pub(crate) fn id(&self, verb: &str) -> String {
        format!("{}/{verb}", self.graph.borrow().origin(self.edge))
    }

    pub(crate) fn mistake(&self, mistake: String) {
        self.graph.borrow_mut().mistakes.push(mistake);
    }

    /// Adds a step with one input and one output that keeps no state.
    pub(crate) fn step<O, P>(
        self,
        verb: &'static str,
        make: impl Fn(&mut Build) -> Result<P> + Send + Sync + 'static,
    ) -> Stream<O>
    where
        O: Records,
        P: Operator<R, O> + 'static,
    {
        let node = Node {
            id: self.id(verb),
            verb,
            detail: String::new(),
            inputs: vec![self.edge],
            outputs: vec![OutputPort::timed(self.is_timed())],
            tables: Vec::new(),
            setting: String::new(),
            role: Role::Step,
            build: Arc::new(move |build, mut nexts| {
                let next = typed::<O>(nexts.pop())?;
                let operator = make(build)?;
                Ok(vec![chain(build, operator, next)])
            }),
        };
        let node = self.graph.borrow_mut().add(node);
        Stream::new(self.graph, Edge { node, output: 0 })
    }
}

impl<T: Send + 'static> Stream<Vec<T>> {
    /// Makes another record of each.
    pub fn map<U: Send + 'static>(self, f: impl Fn(T) -> U + Shared) -> Stream<Vec<U>> {
        let f = Arc::new(f);
        self.step("map", move |_| Ok(Map::new(Arc::clone(&f))))
    }

    /// Makes any number of records of each.
    pub fn flat_map<I>(self, f: impl Fn(T) -> I + Shared) -> Stream<Vec<I::Item>>
    where
        I: IntoIterator + 'static,
        I::Item: Send + 'static,
    {
        let f = Arc::new(f);
        self.step("flat_map", move |_| Ok(FlatMap::new(Arc::clone(&f))))
    }

    /// Looks at each record. What it does outside is not part of any commit: it may happen again after a crash.
    pub fn inspect(self, f: impl Fn(&T) + Shared) -> Self {
        let f = Arc::new(f);
        self.step("inspect", move |_| Ok(Inspect::new(Arc::clone(&f))))
    }

    /// Says when each record happened, and how far out of order records may come: the watermark follows the newest
    /// record at this distance.
    pub fn event_time(self, time: impl Fn(&T) -> Timestamp + Shared, lateness: Lateness) -> Self {
        let times = Arc::new(time);
        let id = self.id("event_time");
        let operator = id.clone();
        let node = Node {
            id,
            verb: "event_time",
            detail: format!("lateness {}", span(lateness.duration())),
            inputs: vec![self.edge],
            outputs: vec![OutputPort::timed(true)],
            tables: Vec::new(),
            setting: String::new(),
            role: Role::Step,
            build: Arc::new(move |build, mut nexts| {
                let next = typed::<Vec<T>>(nexts.pop())?;
                let event_time = EventTime::new(&*operator, Arc::clone(&times), lateness, &build.local, next);
                Ok(vec![erase::<Vec<T>>(build.named(event_time))])
            }),
        };
        let node = self.graph.borrow_mut().add(node);
        Self::new(self.graph, Edge { node, output: 0 })
    }

    /// Groups records by a key that a closure makes of each.
    pub fn key_by<K: Key, F: Fn(&T) -> K + Shared>(self, key: F) -> KeyedStream<Vec<T>, KeyBy<T, F>> {
        self.key_by_rows(KeyBy::new(key))
    }

    /// Groups records by a key within each: nothing is copied per record.
    pub fn key_by_ref<K: Key, F: Fn(&T) -> &K + Shared>(self, key: F) -> KeyedStream<Vec<T>, KeyByRef<T, F>> {
        self.key_by_rows(KeyByRef::new(key))
    }

    /// What becomes of records that cannot be decoded. Follows `source` at once; without it the job stops at one.
    pub fn on_bad_record(self, policy: BadRecords) -> Self {
        let role = self.graph.borrow().nodes[self.edge.node].role.clone();
        let Role::Source(source) = role else {
            self.mistake("`.on_bad_record(…)` must follow `source(…)` at once: only there records are decoded".into());
            return self;
        };
        crate::job::set_policy(&self, policy.clone());
        let (BadRecords::DeadLetter(topic), Some(redecode)) = (policy, source.redecode.downcast_ref::<Redecode<T>>())
        else {
            return self;
        };
        let letters = Stream::new(Rc::clone(&self.graph), Edge { node: self.edge.node, output: 1 });
        let (stream, again) = letters::into(self, &source.topic, Arc::clone(redecode));
        letters.union(again).dead_letters(topic);
        stream
    }

    /// Ends the stream in a topic.
    pub fn sink<F: Encode<T>>(self, topic: Topic<T, F>) {
        let bound: Arc<OnceLock<Bound<T>>> = Arc::default();
        let too_large = if let BadRecords::DeadLetter(topic) = &*topic.too_large { Some(topic.clone()) } else { None };
        let name = topic.name().to_owned();
        let lost = move || Error::bug(format!("topic {name} was not bound"));
        let role = SinkRole {
            topic: topic.name().to_owned(),
            bind: {
                let bound = Arc::clone(&bound);
                let topic = topic.clone();
                Arc::new(move |output: &Binding| {
                    let sink = sink_for(output, &topic)?;
                    let description = sink.describe();
                    // A job that runs twice keeps what it was bound to first.
                    drop(bound.set((sink, output.clone())));
                    Ok(description)
                })
            },
            move_aside: {
                let (bound, lost) = (Arc::clone(&bound), lost.clone());
                Arc::new(move || match &bound.get().ok_or_else(&lost)?.1 {
                    Binding::File(path) => match move_aside(path)? {
                        Some(aside) => Ok(Some((path.clone(), aside))),
                        None => Ok(None),
                    },
                    // Records in a Kafka topic stay: others may have read them.
                    #[cfg(feature = "kafka")]
                    Binding::Kafka(_) => Ok(None),
                    Binding::Stdout | Binding::Nowhere | Binding::Typed(_) => Ok(None),
                })
            },
            open: {
                let (bound, lost) = (Arc::clone(&bound), lost.clone());
                Arc::new(move |committed, transaction| bound.get().ok_or_else(&lost)?.0.open_in(committed, transaction))
            },
        };
        let node = Node {
            id: topic.name().to_owned(),
            verb: "sink",
            detail: String::new(),
            inputs: vec![self.edge],
            outputs: if too_large.is_some() { vec![OutputPort::timed(false)] } else { Vec::new() },
            tables: Vec::new(),
            setting: String::new(),
            role: Role::Sink(role),
            build: Arc::new(move |build: &mut Build, mut nexts: Vec<Port>| {
                let dead_letters = if nexts.is_empty() { None } else { Some(typed(nexts.pop())?) };
                let writer = bound.get().ok_or_else(&lost)?.0.writer();
                let writer = Writer::new(build, writer, dead_letters);
                Ok(vec![erase::<Vec<T>>(build.named(writer))])
            }),
        };
        let node = self.graph.borrow_mut().add(node);
        if let Some(dead_letters) = too_large {
            Stream::<Vec<DeadLetter>>::new(self.graph, Edge { node, output: 0 }).dead_letters(dead_letters);
        }
    }
}

impl Stream<Vec<DeadLetter>> {
    /// Ends the stream in a topic of dead letters: as `.sink`, and `dead-letters list` and the others look into it.
    pub fn dead_letters(self, topic: Topic<DeadLetter>) {
        self.graph.borrow_mut().letters.push(topic.name().to_owned());
        self.sink::<Json>(topic);
    }
}

/// The sink that a topic was bound to, and by what.
type Bound<T> = (Arc<dyn Sink<T>>, Binding);
