//! A checked pipeline with its topics bound: what workers are built from. Unlike a job it can be shared by threads.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use headwater_state::{Manifest, TableSpec};

use crate::attempt::MemoryShares;
use crate::binding::{Input, Output, absolute};
use crate::graph::{Graph, Node, Role, TakeMeasures, is_internal};
#[cfg(feature = "kafka")]
use crate::kafka::{KafkaOutput, KafkaTopic};
use crate::{Error, Result};

/// What the topics of a job stand for.
#[derive(Clone, Default)]
pub(crate) struct Bindings {
    pub inputs: HashMap<String, Input>,
    pub outputs: HashMap<String, Output>,
}

impl Bindings {
    /// Gives the inputs that fetch ahead their share of a job's memory.
    pub fn within(self, memory_bytes: usize) -> Self {
        let ahead = MemoryShares::of(memory_bytes).ahead;
        let fetching = self.inputs.values().filter(|input| input.fetches_ahead()).count().max(1);
        let inputs = self.inputs.into_iter().map(|(topic, input)| (topic, input.within(ahead / fetching)));
        Self { inputs: inputs.collect(), outputs: self.outputs }
    }

    /// The cluster whose transactions the job commits with: that of its outputs, if each result is wanted once.
    ///
    /// # Errors
    /// `Config` where outputs are in several clusters: no transaction spans them.
    #[cfg(feature = "kafka")]
    pub fn transactions(&self, options: &crate::RunOptions) -> Result<Option<crate::kafka::Kafka>> {
        if options.transactions.is_some() || options.delivery == crate::Delivery::AtLeastOnce {
            return Ok(options.transactions.clone());
        }
        let mut found: Option<&KafkaOutput> = None;
        for output in self.outputs.values() {
            let Output::Kafka(output) = output else { continue };
            match found {
                Some(other) if !other.cluster().shares_broker(output.cluster()) => {
                    return Err(Error::config(format!(
                        "outputs {other} and {output} are in two clusters, and no transaction spans them; write to one, or \
                         choose --delivery at-least-once"
                    )));
                }
                _ => found = Some(output),
            }
        }
        Ok(found.map(|output| output.cluster().clone()))
    }

    /// A cluster that has an output: that of one of the `first` topics, where one is in Kafka.
    #[cfg(feature = "kafka")]
    pub fn cluster(&self, first: &[String]) -> Option<&crate::kafka::Kafka> {
        // In the order of their names, so that every process finds the same.
        let mut others: Vec<&String> = self.outputs.keys().collect();
        others.sort_unstable();
        first.iter().chain(others).find_map(|topic| match self.outputs.get(topic)? {
            Output::Kafka(output) => Some(output.cluster()),
            _ => None,
        })
    }

    #[cfg(feature = "kafka")]
    fn kafka_inputs(&self) -> Vec<KafkaTopic> {
        let kafka = |input: &Input| if let Input::Kafka(topic) = input { topic.each() } else { Vec::new() };
        self.inputs.values().flat_map(kafka).collect()
    }

    #[cfg(feature = "kafka")]
    fn kafka_outputs(&self) -> Vec<String> {
        let kafka =
            |output: &Output| if let Output::Kafka(topic) = output { Some(topic.name().to_owned()) } else { None };
        self.outputs.values().filter_map(kafka).collect()
    }
}

pub(crate) struct Plan {
    pub job: String,
    /// The version of the job, where it says one.
    pub version: Option<String>,
    pub nodes: Vec<Node>,
    /// Per node the number of its first source partition, counted over all sources.
    pub first_partitions: Vec<u32>,
    /// The topics of dead letters.
    pub letters: Vec<String>,
    /// How many partitions its inputs have, the redrive queue not counted.
    pub input_partitions: usize,
    /// Per source topic and sink topic what it is bound to.
    pub descriptions: Vec<(String, String)>,
    /// The Kafka topics that are read.
    #[cfg(feature = "kafka")]
    pub kafka_inputs: Vec<KafkaTopic>,
    /// The names of those that are written, which are in one cluster.
    #[cfg(feature = "kafka")]
    pub kafka_outputs: Vec<String>,
    /// What each source measures of itself, by topic.
    #[cfg_attr(not(feature = "http"), expect(dead_code, reason = "only the metrics page asks for it"))]
    pub measures: Vec<(String, Arc<TakeMeasures>)>,
    /// Per source, whether it has other partitions by now.
    changes: Vec<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Plan {
    /// Checks a graph and binds its topics.
    ///
    /// # Errors
    /// `Config` with every mistake of the pipeline, or with the topic that cannot be bound.
    pub fn new(job: &str, graph: &Graph, bindings: &Bindings) -> Result<Self> {
        graph.check()?;
        check_names(graph, bindings)?;
        check_files(bindings)?;
        #[cfg(feature = "kafka")]
        check_kafka(bindings)?;
        let mut first_partitions = Vec::with_capacity(graph.nodes.len());
        let (mut descriptions, mut measures, mut changes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut partitions, mut input_partitions) = (0, 0);
        for node in &graph.nodes {
            first_partitions.push(partitions);
            match &node.role {
                Role::Source(source) => {
                    let input = bindings.inputs.get(&source.topic).ok_or_else(|| unbound("input", &source.topic))?;
                    let bound = (source.bind)(input)?;
                    partitions += bound.partitions.len() as u32;
                    if !is_internal(&source.topic) {
                        input_partitions += bound.partitions.len();
                    }
                    descriptions.push((source.topic.clone(), bound.description));
                    measures.push((source.topic.clone(), bound.measures));
                    changes.push(bound.has_changed);
                }
                Role::Sink(sink) => {
                    let output = bindings.outputs.get(&sink.topic).ok_or_else(|| unbound("output", &sink.topic))?;
                    descriptions.push((sink.topic.clone(), (sink.bind)(output)?));
                }
                Role::Outbox(outbox) => {
                    let description =
                        (outbox.check)().map_err(|error| error.within(format!("outbox {}", outbox.id)))?;
                    descriptions.push((outbox.id.clone(), description));
                    measures.push((outbox.id.clone(), Arc::clone(&outbox.measures)));
                }
                Role::Step => {}
            }
        }
        Ok(Self {
            job: job.to_owned(),
            version: None,
            nodes: graph.nodes.clone(),
            first_partitions,
            letters: graph.letters.clone(),
            input_partitions,
            descriptions,
            #[cfg(feature = "kafka")]
            kafka_inputs: bindings.kafka_inputs(),
            #[cfg(feature = "kafka")]
            kafka_outputs: bindings.kafka_outputs(),
            measures,
            changes,
        })
    }

    /// Whether a source may have other partitions than are planned.
    pub fn is_outdated(&self) -> bool {
        self.changes.iter().any(|has_changed| has_changed())
    }

    /// What the state of this plan must look like.
    pub fn manifest(&self, job_id: String, shards: u16) -> Manifest {
        let mut manifest = Manifest::new(&self.job, job_id, shards);
        for node in &self.nodes {
            for table in &node.tables {
                manifest = manifest.table(table.clone());
            }
        }
        manifest.settings = self.settings();
        manifest
    }

    /// The names of all tables.
    pub fn tables(&self) -> Vec<String> {
        self.nodes.iter().flat_map(|node| &node.tables).map(|TableSpec { name, .. }| name.clone()).collect()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let stateful = self.nodes.iter().filter(|node| !node.tables.is_empty());
        stateful
            .flat_map(|node| node.tables.iter().map(|table| (table.name.clone(), node.setting.clone())))
            .filter(|(_, setting)| !setting.is_empty())
            .collect()
    }
}

fn unbound(what: &str, topic: &str) -> Error {
    let kafka = if cfg!(feature = "kafka") { ", or `--brokers HOST:PORT`" } else { "" };
    Error::config(format!("topic `{topic}` is bound to nothing: give it `--{what} {topic}=FILE`{kafka}"))
}

/// Refuses an output that is read as an input, or written as another output.
fn check_files(bindings: &Bindings) -> Result<()> {
    let outputs: BTreeMap<&str, &Path> = bindings
        .outputs
        .iter()
        .filter_map(|(topic, output)| match output {
            Output::File(path) => Some((topic.as_str(), path.as_path())),
            _ => None,
        })
        .collect();
    for (at, (topic, path)) in outputs.iter().enumerate() {
        for (source, input) in &bindings.inputs {
            if let Input::Files(pattern) = input
                && crate::source::names(pattern, path)
            {
                return Err(Error::config(format!(
                    "output {topic}={} is one of the files that input {source}={pattern} names: the job would read what it \
                     writes; choose another",
                    path.display()
                )));
            }
        }
        let same = |other: &Path| absolute(other) == absolute(path);
        if let Some((other, _)) = outputs.iter().skip(at + 1).find(|(_, other)| same(other)) {
            return Err(Error::config(format!(
                "outputs {topic} and {other} are one file, {}; give each its own",
                path.display()
            )));
        }
    }
    Ok(())
}

/// Refuses a Kafka topic that is read as an input, or written as another output. Clusters are told apart by their
/// brokers' addresses: one that has two names is taken for two.
#[cfg(feature = "kafka")]
fn check_kafka(bindings: &Bindings) -> Result<()> {
    let mut outputs: Vec<(&str, &KafkaOutput)> = Vec::new();
    for (topic, output) in &bindings.outputs {
        if let Output::Kafka(kafka) = output {
            outputs.push((topic, kafka));
        }
    }
    outputs.sort_by_key(|(topic, _)| *topic);
    for (at, (topic, output)) in outputs.iter().enumerate() {
        for (source, input) in &bindings.inputs {
            // The job says in its redrive queue what it has refused.
            if let Input::Kafka(input) = input
                && !is_internal(source)
                && input.each().iter().any(|input| input.name() == output.name())
                && input.cluster().shares_broker(output.cluster())
            {
                return Err(Error::config(format!(
                    "output {topic} is Kafka topic {}, which input {source} is read from: the job would read what it \
                     writes; choose another with --output {topic}=kafka:TOPIC",
                    output.name()
                )));
            }
        }
        let same =
            |other: &KafkaOutput| other.name() == output.name() && other.cluster().shares_broker(output.cluster());
        if let Some((other, _)) = outputs.iter().skip(at + 1).find(|(_, other)| same(other)) {
            return Err(Error::config(format!(
                "outputs {topic} and {other} are one Kafka topic, {}; give each its own",
                output.name()
            )));
        }
    }
    Ok(())
}

/// Refuses bindings of topics that the pipeline does not have.
fn check_names(graph: &Graph, bindings: &Bindings) -> Result<()> {
    let topics = |sources: bool| -> Vec<&str> {
        graph
            .nodes
            .iter()
            .filter_map(|node| match &node.role {
                Role::Source(role) if sources => Some(role.topic.as_str()),
                Role::Sink(role) if !sources => Some(role.topic.as_str()),
                _ => None,
            })
            .collect()
    };
    let unknown = |what: &str, name: &str, known: &[&str]| {
        Err(Error::config(format!("the job has no {what} called `{name}`; it has: {}", known.join(", "))))
    };
    let (sources, sinks) = (topics(true), topics(false));
    if let Some(name) = bindings.inputs.keys().find(|name| !sources.contains(&name.as_str())) {
        return unknown("source", name, &sources);
    }
    if let Some(name) = bindings.outputs.keys().find(|name| !sinks.contains(&name.as_str())) {
        return unknown("sink", name, &sinks);
    }
    Ok(())
}
