//! Builds one worker's share of a pipeline, from the sinks back to the sources.

use std::any::Any;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::Sender;
use std::time::Duration;

use headwater_operators::{Message, Output, Progress, Records};
use headwater_state::LocalState;

use crate::admission::Admission;
use crate::graph::{Node, Port, Role, consumers};
use crate::letters::Signature;
use crate::progress::Progress as Board;
use crate::report::{Counts, Inbound, Report};
use crate::source_task::SourceTask;
use crate::{Error, Result};

/// Takes a message from a peer, as the `Message<R>` that only the stage knows.
pub(crate) type Deliver = Box<dyn FnMut(usize, Box<dyn Any + Send>) -> Result<()>>;

/// Adds what an operator counts.
pub(crate) type Gauge = Box<dyn Fn(&mut Counts)>;

/// What nodes need to build themselves on a worker, and where they leave what the worker drives.
pub(crate) struct Build {
    pub worker: usize,
    pub workers: usize,
    pub local: LocalState,
    pub peers: Vec<Sender<Inbound>>,
    pub reports: Sender<Report>,
    pub board: Arc<Board>,
    pub admission: Arc<Admission>,
    /// What dead letters are signed with.
    pub signature: Arc<Signature>,
    /// How many partitions of inputs have not ended, over all workers.
    pub open_inputs: Arc<AtomicUsize>,
    pub idle_after: Duration,
    /// Committed positions of source partitions, by `topic/partition`.
    pub positions: Arc<HashMap<String, String>>,
    /// The last commit ended every input.
    pub ended_before: bool,
    /// The job's name.
    pub job: String,
    /// Whether outboxes deliver.
    pub delivers: bool,
    /// The node being built.
    pub node: usize,
    /// Its id.
    pub node_id: String,
    /// The number of its first partition, counted over all sources.
    pub first_partition: u32,
    pub gate: Rc<Gate>,
    pub sources: Vec<Box<dyn SourceTask>>,
    /// Inputs of exchanges, by node.
    pub stages: HashMap<usize, Deliver>,
    pub gauges: Vec<Gauge>,
    /// The node at work, so that a panic can name it.
    pub current: Rc<Cell<usize>>,
}

/// What has reached the sinks of a worker.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub sinks: Cell<usize>,
    pub barriers: Cell<usize>,
    pub ends: Cell<usize>,
    /// Rows written in the running epoch.
    pub rows: Cell<usize>,
}

impl Build {
    /// Builds every node.
    ///
    /// # Errors
    /// What a node's build returns: inputs and outputs that are not as committed.
    pub fn run(&mut self, nodes: &[Node], partitions: &[u32]) -> Result<()> {
        let consumers = consumers(nodes);
        let mut ports: HashMap<(usize, usize), Port> = HashMap::new();
        for (at, node) in nodes.iter().enumerate().rev() {
            self.node = at;
            self.node_id.clone_from(&node.id);
            self.first_partition = partitions.get(at).copied().unwrap_or(0);
            let mut nexts = Vec::new();
            for (output, port) in node.outputs.iter().enumerate() {
                let taken = consumers.get(&crate::graph::Edge { node: at, output });
                let mut following: Vec<Port> =
                    taken.into_iter().flatten().filter_map(|consumer| ports.remove(consumer)).collect();
                match (following.len(), port.tee) {
                    (0, _) if port.optional => {}
                    (1, _) => nexts.extend(following.pop()),
                    (_, Some(tee)) => nexts.push(tee(following)?),
                    _ => return Err(Error::bug(format!("output {output} of {} cannot be shared", node.id))),
                }
            }
            let inputs = (node.build)(self, nexts)?;
            ports.extend(inputs.into_iter().enumerate().map(|(place, port)| ((at, place), port)));
            if matches!(node.role, Role::Sink(_) | Role::Outbox(_)) {
                self.gate.sinks.set(self.gate.sinks.get() + 1);
            }
        }
        Ok(())
    }

    /// Puts the name of the node being built on everything that passes through `output`.
    pub fn named<R: 'static>(&self, output: impl Output<R> + 'static) -> Box<dyn Output<R>> {
        Box::new(Named { node: self.node, current: Rc::clone(&self.current), output })
    }
}

/// Notes which node is at work.
struct Named<O> {
    node: usize,
    current: Rc<Cell<usize>>,
    output: O,
}

impl<R, O: Output<R>> Output<R> for Named<O> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        let before = self.current.replace(self.node);
        self.output.send(message)?;
        self.current.set(before);
        Ok(())
    }

    fn work(&mut self) -> Result<Progress> {
        let before = self.current.replace(self.node);
        let progress = self.output.work()?;
        self.current.set(before);
        Ok(progress)
    }
}

/// Sends messages to the same stage of another worker.
pub(crate) struct Remote {
    pub stage: usize,
    pub from: usize,
    pub peer: Sender<Inbound>,
}

impl<R: Records> Output<R> for Remote {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        let message = Inbound::Message { stage: self.stage, from: self.from, message: Box::new(message) };
        // A worker that is gone has reported why, and this one is about to be told to stop.
        self.peer.send(message).map_err(|_| Error::unavailable("another worker has stopped"))
    }

    fn work(&mut self) -> Result<Progress> {
        Ok(Progress::Done)
    }
}
