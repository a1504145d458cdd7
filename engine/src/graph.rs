//! A pipeline as a graph: what the DSL writes down, what is checked and explained, and what workers are built from.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use headwater_operators::{Output, Records, Tee};
use headwater_state::TableSpec;

use crate::bad_record::BadRecords;
use crate::binding;
use crate::build::Build;
use crate::letters::WayBack;
use crate::outbox::Ownership;
use crate::sink::{SinkCommitter, Transaction};
use crate::source::Measure;
use crate::{Error, Result};

/// A `Box<dyn Output<R>>` whose `R` both ends of an edge know.
pub(crate) type Port = Box<dyn Any>;

/// Given what comes after each output of a node, makes what comes before each of its inputs.
pub(crate) type BuildNode = Arc<dyn Fn(&mut Build, Vec<Port>) -> Result<Vec<Port>> + Send + Sync>;

/// The graph of a job while it is being written.
#[derive(Default)]
pub(crate) struct Graph {
    pub nodes: Vec<Node>,
    /// Mistakes found while writing it, reported by `check`.
    pub mistakes: Vec<String>,
    /// The topics that dead letters are written to.
    pub letters: Vec<String>,
    /// How dead letters come back, where one may.
    pub way_back: Option<WayBack>,
}

/// A handle that streams share with their job.
pub(crate) type GraphRef = Rc<RefCell<Graph>>;

/// One step.
#[derive(Clone)]
pub(crate) struct Node {
    /// Unique in the job; names state, errors and metrics.
    pub id: String,
    /// The word in the DSL.
    pub verb: &'static str,
    /// What `explain` says beside it.
    pub detail: String,
    /// Where its inputs come from.
    pub inputs: Vec<Edge>,
    /// Its outputs.
    pub outputs: Vec<OutputPort>,
    /// The tables it keeps.
    pub tables: Vec<TableSpec>,
    /// What must not change while the tables stay: the window.
    pub setting: String,
    pub role: Role,
    pub build: BuildNode,
}

/// One end of an edge: an output of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    pub node: usize,
    pub output: usize,
}

/// An output, and how it is shared where several nodes take it.
#[derive(Clone)]
pub(crate) struct OutputPort {
    /// Its records have an event time.
    pub timed: bool,
    /// It may be left unused.
    pub optional: bool,
    pub tee: Option<fn(Vec<Port>) -> Result<Port>>,
}

impl OutputPort {
    pub fn timed(timed: bool) -> Self {
        Self { timed, optional: false, tee: None }
    }
}

/// What a node is to the engine.
#[derive(Clone)]
pub(crate) enum Role {
    Source(SourceRole),
    Sink(SinkRole),
    Outbox(OutboxRole),
    Step,
}

pub(crate) type BindSource = dyn Fn(&binding::Input) -> Result<BoundSource> + Send + Sync;
type BindSink = dyn Fn(&binding::Output) -> Result<String> + Send + Sync;
type MoveAside = dyn Fn() -> Result<Option<(PathBuf, PathBuf)>> + Send + Sync;
type OpenSink = dyn Fn(Option<&str>, Option<&Transaction>) -> Result<Box<dyn SinkCommitter>> + Send + Sync;

#[derive(Clone)]
pub(crate) struct SourceRole {
    pub topic: String,
    pub policy: Arc<Mutex<BadRecords>>,
    /// A [`Redecode`](crate::letters::Redecode) of its records.
    pub redecode: Arc<dyn Any + Send + Sync>,
    /// Binds the topic, and says what to and which partitions it has.
    pub bind: Arc<BindSource>,
}

pub(crate) struct BoundSource {
    pub description: String,
    pub partitions: Vec<String>,
    pub measures: Arc<TakeMeasures>,
    /// As [`Source::has_changed`](crate::source::Source::has_changed).
    pub has_changed: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Takes the measures of a source.
pub(crate) type TakeMeasures = dyn Fn() -> Vec<Measure> + Send + Sync;

#[derive(Clone)]
pub(crate) struct SinkRole {
    pub topic: String,
    /// Binds the topic, and says what to.
    pub bind: Arc<BindSink>,
    /// Moves what is at the bound place aside, for `--fresh`: from where to where.
    pub move_aside: Arc<MoveAside>,
    /// Opens the committing end, after `bind`.
    pub open: Arc<OpenSink>,
}

type OpenOutbox = dyn Fn(Ownership) -> Result<Box<dyn SinkCommitter>> + Send + Sync;

#[derive(Clone)]
pub(crate) struct OutboxRole {
    pub id: String,
    /// The topic of what is not delivered, where it goes to one.
    pub dead_letters: Option<String>,
    /// Finds what is wrong with the connector before anything runs, and says what it is.
    pub check: Arc<dyn Fn() -> Result<String> + Send + Sync>,
    /// Opens the committing end.
    pub open: Arc<OpenOutbox>,
    pub measures: Arc<TakeMeasures>,
}

impl Graph {
    pub fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub fn output(&self, edge: Edge) -> &OutputPort {
        &self.nodes[edge.node].outputs[edge.output]
    }

    /// The names of the sources that `edge` hangs on, joined: what ids are derived from.
    pub fn origin(&self, edge: Edge) -> String {
        let node = &self.nodes[edge.node];
        match &node.role {
            Role::Source(source) => source.topic.clone(),
            // What is put back changes no name.
            _ if node.verb == "redrive" => node.inputs.first().map_or_else(String::new, |&input| self.origin(input)),
            _ if !node.tables.is_empty() => node.id.clone(),
            _ => {
                let mut names: Vec<String> = node.inputs.iter().map(|&input| self.origin(input)).collect();
                names.dedup();
                names.join("+")
            }
        }
    }

    /// Every mistake of the pipeline, in one error.
    ///
    /// # Errors
    /// `Config` with the list.
    pub fn check(&self) -> Result<()> {
        let mut mistakes = self.mistakes.clone();
        self.check_ids(&mut mistakes);
        self.check_ends(&mut mistakes);
        self.check_times(&mut mistakes);
        self.check_topics(&mut mistakes);
        if self.nodes.is_empty() {
            mistakes.push("the job has no source: begin with `job.source(Topic::json::<T>(\"name\"))`".into());
        }
        match mistakes.as_slice() {
            [] => Ok(()),
            [one] => Err(Error::config(one.clone())),
            many => {
                Err(Error::config(format!("the pipeline has {} mistakes:\n  - {}", many.len(), many.join("\n  - "))))
            }
        }
    }

    fn check_ids(&self, mistakes: &mut Vec<String>) {
        let mut seen: HashMap<&str, &Node> = HashMap::new();
        for node in self.nodes.iter().filter(|node| !node.tables.is_empty()) {
            if node.id.is_empty() {
                mistakes.push(format!("the id of a {} is empty: give it one with `.id(\"…\")`", node.verb));
            }
            if let Some(other) = seen.insert(&node.id, node) {
                mistakes.push(format!(
                    "two operators with state have the id `{}` (a {} and a {}): give each its own with `.id(\"…\")`",
                    node.id, other.verb, node.verb
                ));
            }
        }
    }

    fn check_ends(&self, mistakes: &mut Vec<String>) {
        let consumers = self.consumers();
        for (at, node) in self.nodes.iter().enumerate() {
            for (output, port) in node.outputs.iter().enumerate() {
                let used = consumers.contains_key(&Edge { node: at, output });
                if !used && !port.optional {
                    mistakes.push(format!(
                        "the stream after `{}` ({}) goes nowhere: end it with `.sink(…)`",
                        node.verb, node.id
                    ));
                }
            }
        }
    }

    /// Event time is given once on each way from a source.
    fn check_times(&self, mistakes: &mut Vec<String>) {
        let gives_time = |node: &Node| node.verb == "event_time";
        // Nodes come after those they take from.
        let mut behind = vec![false; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            let is_behind = node.inputs.iter().any(|input| behind[input.node]);
            if is_behind && gives_time(node) {
                mistakes
                    .push(format!("`{}` gives event time to records that have it: keep one `.event_time(…)`", node.id));
            }
            behind[at] = is_behind || gives_time(node);
        }
    }

    fn check_topics(&self, mistakes: &mut Vec<String>) {
        let (mut seen, mut outboxes) = (HashMap::new(), Vec::new());
        for node in &self.nodes {
            let (topic, what, remedy) = match &node.role {
                Role::Source(role) => (&role.topic, "read by two sources", "clone the stream instead"),
                Role::Sink(role) => (&role.topic, "written by two sinks", "unite the streams with `.union(…)` first"),
                Role::Outbox(role) => {
                    outboxes.push(&role.id);
                    continue;
                }
                Role::Step => continue,
            };
            if seen.insert((what, topic), ()).is_some() {
                mistakes.push(format!("topic `{topic}` is {what}: {remedy}"));
            }
        }
        for outbox in outboxes {
            // A dead letter that comes back would go to both, and figures would be of both.
            if seen.keys().any(|(_, topic)| *topic == outbox) {
                mistakes.push(format!("outbox `{outbox}` has the name of a topic of the job: give it another"));
            }
        }
    }

    /// Which inputs take each output: (node, place among its inputs).
    pub fn consumers(&self) -> HashMap<Edge, Vec<(usize, usize)>> {
        consumers(&self.nodes)
    }
}

/// Whether a topic or a step is the engine's own: its users neither bind nor see it.
pub(crate) fn is_internal(name: &str) -> bool {
    name.starts_with('.')
}

/// Which inputs take each output: (node, place among its inputs).
pub(crate) fn consumers(nodes: &[Node]) -> HashMap<Edge, Vec<(usize, usize)>> {
    let mut consumers: HashMap<Edge, Vec<(usize, usize)>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        for (place, &edge) in node.inputs.iter().enumerate() {
            consumers.entry(edge).or_default().push((at, place));
        }
    }
    consumers
}

/// Puts a typed output where its type is not known.
pub(crate) fn erase<R: 'static>(output: Box<dyn Output<R>>) -> Port {
    Box::new(output)
}

/// Takes a typed output out again.
///
/// # Errors
/// `Bug` where it is of another type.
pub(crate) fn typed<R: 'static>(port: Option<Port>) -> Result<Box<dyn Output<R>>> {
    let port = port.ok_or_else(|| Error::bug("an edge of the pipeline leads nowhere"))?;
    port.downcast::<Box<dyn Output<R>>>()
        .map(|output| *output)
        .map_err(|_| Error::bug(format!("an edge of the pipeline is not of {}", std::any::type_name::<R>())))
}

/// Shares an output among several that take it.
pub(crate) fn tee<R: Records + Clone>(ports: Vec<Port>) -> Result<Port> {
    let outputs = ports.into_iter().map(|port| typed::<R>(Some(port))).collect::<Result<Vec<_>>>()?;
    Ok(erase::<R>(Box::new(Tee::new(outputs))))
}
