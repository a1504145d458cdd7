//! What the names of topics stand for in a run.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::{Decode, Encode};
#[cfg(feature = "kafka")]
use crate::kafka::{KafkaOutput, KafkaSink, KafkaSource, KafkaTopic};
use crate::sink::{FileSink, NowhereSink, Sink, StdoutSink};
#[cfg(feature = "kafka")]
use crate::source::Several;
use crate::source::{FileSource, Source};
use crate::{Error, Result, Topic};

/// Where a topic's records come from. Typed ones are made in code, the others on the command line too.
#[derive(Clone)]
pub enum Input {
    /// Files that a pattern names, one after the other in the order of their names: one partition.
    Files(String),
    /// A topic of a Kafka cluster.
    #[cfg(feature = "kafka")]
    Kafka(KafkaTopic),
    /// An `Arc<dyn Source<T>>`.
    Typed(Arc<dyn Any + Send + Sync>),
}

impl Input {
    /// A source made in code: a generator, memory.
    pub fn of<T: 'static>(source: impl Source<T> + 'static) -> Self {
        let source: Arc<dyn Source<T>> = Arc::new(source);
        Self::Typed(Arc::new(source))
    }

    /// Whether it is sent records before it asks for them.
    pub(crate) fn fetches_ahead(&self) -> bool {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => true,
            Self::Files(_) | Self::Typed(_) => false,
        }
    }

    /// The same, with so much memory for what it is sent.
    pub(crate) fn within(self, _ahead_bytes: usize) -> Self {
        match self {
            #[cfg(feature = "kafka")]
            Self::Kafka(topic) => Self::Kafka(topic.memory(_ahead_bytes)),
            other => other,
        }
    }

    /// What it is, where that can be said without its records' type.
    pub(crate) fn describe(&self) -> Option<String> {
        match self {
            Self::Files(pattern) => Some(format!("files {pattern}")),
            #[cfg(feature = "kafka")]
            Self::Kafka(topic) => Some(topic.to_string()),
            Self::Typed(_) => None,
        }
    }

    /// The source for records of type `T`, if it is one made in code for that type.
    pub(crate) fn typed<T: 'static>(&self) -> Option<Arc<dyn Source<T>>> {
        match self {
            Self::Files(_) => None,
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
            Self::Typed(any) => any.downcast_ref::<Arc<dyn Source<T>>>().cloned(),
        }
    }
}

/// Where a topic's records go.
#[derive(Clone)]
pub enum Output {
    /// A file with a line per record.
    File(PathBuf),
    /// Standard output, after each commit.
    Stdout,
    /// A topic of a Kafka cluster.
    #[cfg(feature = "kafka")]
    Kafka(KafkaOutput),
    /// Nowhere: records are counted, and shown by the live view.
    Nowhere,
    /// An `Arc<dyn Sink<T>>`.
    Typed(Arc<dyn Any + Send + Sync>),
}

impl Output {
    /// A sink made in code: memory.
    pub fn of<T: 'static>(sink: impl Sink<T> + 'static) -> Self {
        let sink: Arc<dyn Sink<T>> = Arc::new(sink);
        Self::Typed(Arc::new(sink))
    }

    /// What it is, where that can be said without its records' type.
    pub(crate) fn describe(&self) -> Option<String> {
        match self {
            Self::File(path) => Some(format!("file {}", path.display())),
            Self::Stdout => Some("standard output".to_owned()),
            #[cfg(feature = "kafka")]
            Self::Kafka(topic) => Some(topic.to_string()),
            Self::Nowhere | Self::Typed(_) => None,
        }
    }

    /// The sink for records of type `T`, if it is one made in code for that type.
    pub(crate) fn typed<T: 'static>(&self) -> Option<Arc<dyn Sink<T>>> {
        match self {
            Self::Typed(any) => any.downcast_ref::<Arc<dyn Sink<T>>>().cloned(),
            #[cfg(feature = "kafka")]
            Self::Kafka(_) => None,
            Self::File(_) | Self::Stdout | Self::Nowhere => None,
        }
    }
}

/// The source that `topic` is read from, bound to `input`.
///
/// # Errors
/// `Config` where the binding is one made in code for other records.
pub fn source_for<T: 'static, F: Decode<T>>(input: &Input, topic: &str, format: F) -> Result<Arc<dyn Source<T>>> {
    match input {
        Input::Files(pattern) => Ok(Arc::new(FileSource::new(pattern, format))),
        #[cfg(feature = "kafka")]
        Input::Kafka(kafka) => Ok(kafka_source(kafka, format)),
        Input::Typed(_) => input.typed().ok_or_else(|| other_records::<T>(topic, "source")),
    }
}

/// The source of a topic, or of several as one.
#[cfg(feature = "kafka")]
fn kafka_source<T: 'static, F: Decode<T>>(kafka: &KafkaTopic, format: F) -> Arc<dyn Source<T>> {
    let source = |topic: &KafkaTopic| KafkaSource::new(topic.clone(), format.clone());
    match kafka.each().as_slice() {
        [first, others @ ..] if !others.is_empty() => {
            let named = |topic: &KafkaTopic| -> (String, Box<dyn Source<T>>) {
                (topic.name().to_owned(), Box::new(source(topic)))
            };
            Arc::new(Several::new(kafka.to_string(), Box::new(source(first)), others.iter().map(named).collect()))
        }
        _ => Arc::new(source(kafka)),
    }
}

/// The sink that `topic` is written to, bound to `output`.
///
/// # Errors
/// `Config` where the binding is one made in code for other records, or a Kafka topic that cannot be written;
/// `Unavailable` where no broker of its cluster answers.
pub fn sink_for<T: 'static, F: Encode<T>>(output: &Output, topic: &Topic<T, F>) -> Result<Arc<dyn Sink<T>>> {
    let format = topic.format.clone();
    match output {
        Output::File(path) => Ok(Arc::new(FileSink::new(path, format))),
        Output::Stdout => Ok(Arc::new(StdoutSink::new(format))),
        #[cfg(feature = "kafka")]
        Output::Kafka(kafka) => {
            let sink = KafkaSink::new(kafka.clone(), topic);
            sink.look()?;
            Ok(Arc::new(sink))
        }
        Output::Nowhere => Ok(Arc::new(NowhereSink::new(format))),
        Output::Typed(_) => output.typed().ok_or_else(|| other_records::<T>(topic.name(), "sink")),
    }
}

fn other_records<T>(topic: &str, what: &str) -> Error {
    let expected = std::any::type_name::<T>();
    Error::config(format!("topic {topic} has records of type {expected}, and is bound to a {what} of another type"))
}

/// A path that says the same from every working directory.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
