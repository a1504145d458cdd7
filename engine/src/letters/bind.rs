//! Where the redrive queue and the audit of a job are: in Kafka where it writes to Kafka, else beside its state and its
//! dead letters.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::audit::{AuditSink, beside};
use super::event::Event;
use super::queue::{FILE, QueueSource};
use super::way_back::{QUEUE, SETTLED};
use crate::binding::{Input, Output};
use crate::graph::Graph;
#[cfg(feature = "kafka")]
use crate::kafka::Kafka;
use crate::plan::Bindings;
use crate::source::Records;
use crate::{Result, RunOptions};

/// Where they are.
pub(crate) enum Place {
    /// The queue in the state directory, and an audit beside each file of dead letters, by topic.
    Files { queue: PathBuf, audits: BTreeMap<String, PathBuf> },
    /// Both in the topic `J.redrive`.
    #[cfg(feature = "kafka")]
    Kafka(Kafka),
    /// The state is in memory: nobody else can reach the job.
    Nowhere,
}

impl Place {
    /// Where those of a job are that is bound so.
    pub fn of(bindings: &Bindings, graph: &Graph, state: Option<PathBuf>) -> Self {
        // Instances share what is in Kafka, and no directory.
        #[cfg(feature = "kafka")]
        if let Some(kafka) = bindings.cluster(&graph.letters) {
            return Self::Kafka(kafka.clone());
        }
        let Some(state) = state else { return Self::Nowhere };
        let audit = |topic: &String| match bindings.outputs.get(topic) {
            Some(Output::File(letters)) => Some((topic.clone(), beside(letters))),
            _ => None,
        };
        Self::Files { queue: state.join(FILE), audits: graph.letters.iter().filter_map(audit).collect() }
    }
}

/// Binds the topics that a job has for what is redriven.
///
/// # Errors
/// `Config` and `Unavailable` where the topic `J.redrive` is not there and cannot be made.
#[cfg_attr(not(feature = "kafka"), expect(unused_variables, reason = "the name is for the topic alone"))]
pub(crate) fn bind(mut bindings: Bindings, (job, graph): (&str, &Graph), options: &RunOptions) -> Result<Bindings> {
    if graph.way_back.is_none() {
        return Ok(bindings);
    }
    let (input, output) = match Place::of(&bindings, graph, options.state.clone()) {
        Place::Nowhere => (Input::of(Records::<Event>::new(Vec::new())), Output::Nowhere),
        Place::Files { queue, audits } => (Input::of(QueueSource(queue)), Output::of(AuditSink { files: audits })),
        #[cfg(feature = "kafka")]
        Place::Kafka(kafka) => {
            let topic = crate::kafka::redrive_topic(&kafka, job)?;
            // What was redriven before the job began is not about its letters.
            let queue = kafka.topic(&topic).memory(AHEAD_BYTES).from(crate::kafka::Start::Latest);
            (Input::Kafka(queue), Output::Kafka(kafka.output(&topic)))
        }
    };
    bindings.inputs.insert(QUEUE.to_owned(), input);
    bindings.outputs.insert(QUEUE.to_owned(), output);
    bindings.outputs.insert(SETTLED.to_owned(), Output::Nowhere);
    Ok(bindings)
}

/// What is fetched ahead of the queue.
#[cfg(feature = "kafka")]
const AHEAD_BYTES: usize = 1 << 20;
