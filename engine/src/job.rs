//! A job: a named pipeline, and what its topics stand for.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use headwater_operators::{Chain, Records};

use crate::bad_record::BadRecords;
use crate::binding::{Input, Output, source_for};
use crate::format::Decode;
use crate::graph::{BoundSource, Edge, Graph, GraphRef, Node, OutputPort, Role, SourceRole, is_internal, typed};
use crate::http::Http;
use crate::letters::{Kept, Place, Redecode};
use crate::plan::{Bindings, Plan};
use crate::progress::Phase;
use crate::run::{Control, Summary};
use crate::source::Source;
use crate::source_task::{Reader, leave};
use crate::{Error, Result, RunOptions, Stream, Topic};

/// A pipeline under a name. The name is the identity of its state.
///
/// ```
/// use headwater::prelude::*;
///
/// let job = Job::new("shout");
/// job.source(Topic::lines::<String>("words")).map(|word| word.to_uppercase()).sink(Topic::lines("shouts"));
///
/// job.bind_input("words", Input::of(Rows::new(vec!["one".to_owned(), "two".to_owned()])));
/// let shouts = Captured::<String>::new();
/// job.bind_output("shouts", Output::of(shouts.clone()));
/// job.run(&RunOptions::default(), &Control::default())?;
/// assert_eq!(shouts.take(), ["ONE", "TWO"]);
/// # Ok::<(), headwater::Error>(())
/// ```
pub struct Job {
    name: String,
    version: Option<String>,
    graph: GraphRef,
    bindings: RefCell<Bindings>,
}

impl Job {
    /// A job without a pipeline. The name says whose state it is: letters, digits, `-`, `_` and `.`.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let graph = Graph::default();
        let job = Self { graph: Rc::new(RefCell::new(graph)), bindings: RefCell::default(), name, version: None };
        let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if job.name.is_empty() || !job.name.chars().all(good) {
            let mistake = format!("the job's name `{}` must be made of letters, digits, `-`, `_` and `.`", job.name);
            job.graph.borrow_mut().mistakes.push(mistake);
        }
        job
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says which version of the pipeline this is: dead letters tell it.
    ///
    /// ```
    /// let job = headwater::Job::new("orders").version(env!("CARGO_PKG_VERSION"));
    /// assert_eq!(job.name(), "orders");
    /// ```
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// The stream of a topic's records.
    pub fn source<T: Send + 'static, F: Decode<T>>(&self, topic: Topic<T, F>) -> Stream<Vec<T>> {
        add_source(&self.graph, topic)
    }

    /// Says what a source topic is read from. A binding on the command line goes before this one.
    pub fn bind_input(&self, topic: &str, input: Input) {
        self.bindings.borrow_mut().inputs.insert(topic.to_owned(), input);
    }

    /// Says what a sink topic is written to. A binding on the command line goes before this one.
    pub fn bind_output(&self, topic: &str, output: Output) {
        self.bindings.borrow_mut().outputs.insert(topic.to_owned(), output);
    }

    /// Whether something is bound to a sink topic.
    pub(crate) fn has_output(&self, topic: &str) -> bool {
        self.bindings.borrow().outputs.contains_key(topic)
    }

    /// Lets go of what would go to standard output: the live view has the terminal.
    #[cfg(feature = "live")]
    pub(crate) fn keep_off_stdout(&self) {
        for output in self.bindings.borrow_mut().outputs.values_mut() {
            if matches!(output, Output::Stdout) {
                *output = Output::Nowhere;
            }
        }
    }

    /// The topics that the pipeline reads.
    pub fn input_topics(&self) -> Vec<String> {
        let topics = |node: &Node| if let Role::Source(role) = &node.role { Some(role.topic.clone()) } else { None };
        let graph = self.graph.borrow();
        graph.nodes.iter().filter_map(topics).filter(|topic| !is_internal(topic)).collect()
    }

    /// The topics that the pipeline writes.
    pub fn output_topics(&self) -> Vec<String> {
        let topics = |node: &Node| if let Role::Sink(role) = &node.role { Some(role.topic.clone()) } else { None };
        let graph = self.graph.borrow();
        graph.nodes.iter().filter_map(topics).filter(|topic| !is_internal(topic)).collect()
    }

    /// The topics that the pipeline writes dead letters to.
    pub fn letter_topics(&self) -> Vec<String> {
        self.graph.borrow().letters.clone()
    }

    /// Binds the topics of dead letters that are nowhere else, as a run with this state does.
    pub(crate) fn bind_letters(&self, state: &Path) {
        self.bind_dead_letters(&mut self.bindings.borrow_mut(), Some(state));
    }

    /// Where dead letters come back.
    pub(crate) fn letter_place(&self, state: Option<std::path::PathBuf>) -> Place {
        Place::of(&self.bindings.borrow(), &self.graph.borrow(), state)
    }

    /// What a sink topic is bound to.
    pub(crate) fn output_of(&self, topic: &str) -> Option<Output> {
        self.bindings.borrow().outputs.get(topic).cloned()
    }

    /// Whether dead letters of an operator can be put back into it.
    pub(crate) fn takes_back(&self, operator: &str) -> bool {
        self.graph.borrow().way_back.as_ref().is_some_and(|way_back| way_back.leads_to(operator))
    }

    /// The topics of what outboxes do not deliver.
    pub(crate) fn outbox_dead_letters(&self) -> Vec<String> {
        let topics = |node: &Node| if let Role::Outbox(role) = &node.role { role.dead_letters.clone() } else { None };
        self.graph.borrow().nodes.iter().filter_map(topics).collect()
    }

    /// What is not delivered goes beside the state, or to Kafka where other outputs do, unless it is said where.
    fn bind_dead_letters(&self, bindings: &mut Bindings, state: Option<&Path>) {
        let beside =
            |topic: &str| state.map_or(Output::Nowhere, |state| Output::File(state.join(format!("{topic}.jsonl"))));
        // Where commits are in Kafka, another instance must find what this one has written.
        #[cfg(feature = "kafka")]
        let cluster = bindings.cluster(&[]).cloned();
        #[cfg(feature = "kafka")]
        let beside = |topic: &str| {
            cluster.as_ref().map_or_else(|| beside(topic), |cluster| Output::Kafka(cluster.output(topic)))
        };
        for topic in self.outbox_dead_letters() {
            let output = beside(&topic);
            bindings.outputs.entry(topic).or_insert(output);
        }
    }

    /// Finds every mistake of the pipeline that can be found before it runs.
    ///
    /// # Errors
    /// `Config` with the list.
    pub fn check(&self) -> Result<()> {
        self.graph.borrow().check()
    }

    /// The pipeline as text: steps, ids, keys, windows, tables, and what its topics are read from and written to.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn explain(&self) -> Result<String> {
        self.check()?;
        Ok(crate::explain::explain(&self.name, &self.graph.borrow(), &self.bindings.borrow()))
    }

    /// Runs the pipeline until its inputs end or `control` asks to stop.
    ///
    /// # Errors
    /// `Config` where the pipeline, a binding or the state does not fit; `Record` for a bad record; `Unavailable`
    /// where something outside stayed away; `Corrupt` where stored bytes are not what was written; `Bug` for a panic.
    /// In every case what was committed stays, and the next run goes on from there.
    pub fn run(&self, options: &RunOptions, control: &Control) -> Result<Summary> {
        control.progress.enter(Phase::Opening);
        // A port that is taken is said before anything else is touched.
        let http = Http::start(&self.name, options.http, control)?;
        let mut bindings = self.bindings.borrow().clone().within(options.memory_bytes);
        self.bind_dead_letters(&mut bindings, options.state.as_deref());
        self.check()?;
        let bindings = crate::letters::bind(bindings, (&self.name, &self.graph.borrow()), options)?;
        #[cfg(feature = "kafka")]
        let options = &RunOptions { transactions: bindings.transactions(options)?, ..options.clone() };
        #[cfg(feature = "kafka")]
        if options.transactions.is_some() {
            crate::kafka::check_job_name(&self.name)?;
        }
        let plan = || {
            let mut plan = Plan::new(&self.name, &self.graph.borrow(), &bindings)?;
            plan.version.clone_from(&self.version);
            for (topic, description) in &plan.descriptions {
                tracing::debug!(topic, bound_to = description, "topic");
            }
            http.watch(&plan);
            Ok(plan)
        };
        crate::run::run(&plan, options, control)
    }
}

/// Adds a source of a topic to a graph.
pub(crate) fn add_source<T: Send + 'static, F: Decode<T>>(graph: &GraphRef, topic: Topic<T, F>) -> Stream<Vec<T>> {
    let bound: Bound<T> = Arc::default();
    let policy: Arc<Mutex<BadRecords>> = Arc::default();
    let name = topic.name().to_owned();
    let format = topic.format.clone();
    let redecode: Redecode<T> = Arc::new(move |letter| format.decode_record(&Kept::new(letter)));
    let role = SourceRole {
        topic: name.clone(),
        policy: Arc::clone(&policy),
        redecode: Arc::new(redecode),
        bind: bind(&bound, topic),
    };
    let build = {
        let name = name.clone();
        Arc::new(move |build: &mut crate::build::Build, mut nexts: Vec<crate::graph::Port>| {
            let dead_letters = if nexts.len() > 1 { Some(typed(nexts.pop())?) } else { None };
            let records = typed::<Vec<T>>(nexts.pop())?;
            let source = bound.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let source = source.ok_or_else(|| Error::bug(format!("topic {name} was not bound")))?;
            let policy = policy.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let reader = Reader::open(build, &*source, &name, (records, dead_letters), policy)?;
            leave(build, reader);
            Ok(Vec::new())
        })
    };
    let edge = graph.borrow_mut().add_source(name, role, build);
    Stream::new(Rc::clone(graph), edge)
}

/// The source that a topic is bound to, once it is.
type Bound<T> = Arc<Mutex<Option<Arc<dyn Source<T>>>>>;

/// Binds a source, and says what to.
fn bind<T: Send + 'static, F: Decode<T>>(bound: &Bound<T>, topic: Topic<T, F>) -> Arc<crate::graph::BindSource> {
    let bound = Arc::clone(bound);
    Arc::new(move |input: &Input| {
        let source = source_for(input, topic.name(), topic.format.clone())?;
        let (measured, asked) = (Arc::clone(&source), Arc::clone(&source));
        let description = BoundSource {
            description: source.describe(),
            partitions: source.partitions()?,
            measures: Arc::new(move || measured.measures()),
            has_changed: Arc::new(move || asked.has_changed()),
        };
        // A job that runs twice finds what there is then: new files, new partitions.
        *bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
        Ok(description)
    })
}

/// Says what becomes of the records of a source that cannot be read; nothing where the stream is no source's.
pub(crate) fn set_policy<R: Records>(stream: &Stream<R>, policy: BadRecords) {
    if let Role::Source(role) = &stream.graph.borrow().nodes[stream.edge.node].role {
        *role.policy.lock().unwrap_or_else(PoisonError::into_inner) = policy;
    }
}

impl Graph {
    /// Adds a source with its two outputs: records and dead letters.
    pub(crate) fn add_source(&mut self, id: String, role: SourceRole, build: crate::graph::BuildNode) -> Edge {
        let dead_letters = OutputPort { optional: true, ..OutputPort::timed(false) };
        let node = self.add(Node {
            id,
            verb: "source",
            detail: String::new(),
            inputs: Vec::new(),
            outputs: vec![OutputPort::timed(false), dead_letters],
            tables: Vec::new(),
            setting: String::new(),
            role: Role::Source(role),
            build,
        });
        Edge { node, output: 0 }
    }
}

/// Puts an operator in front of `next`, under the name of the node being built.
pub(crate) fn chain<I: Records, O: Records>(
    build: &crate::build::Build,
    operator: impl headwater_operators::Operator<I, O> + 'static,
    next: Box<dyn headwater_operators::Output<O>>,
) -> crate::graph::Port {
    crate::graph::erase::<I>(build.named(Chain::new(operator, next)))
}
