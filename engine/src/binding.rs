//! What the names of topics stand for in a run.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use crate::sink::Sink;
use crate::source::Source;

/// Where a topic's records come from. Typed ones are made in code, the others on the command line too.
#[derive(Clone)]
pub enum Input {
    /// Files that a pattern names, one after the other in the order of their names: one partition.
    Files(String),
    /// An `Arc<dyn Source<T>>`.
    Typed(Arc<dyn Any + Send + Sync>),
}

impl Input {
    /// A source made in code: a generator, memory.
    pub fn of<T: 'static>(source: impl Source<T> + 'static) -> Self {
        let source: Arc<dyn Source<T>> = Arc::new(source);
        Self::Typed(Arc::new(source))
    }

    /// The source for records of type `T`, if it is one made in code for that type.
    pub(crate) fn typed<T: 'static>(&self) -> Option<Arc<dyn Source<T>>> {
        match self {
            Self::Files(_) => None,
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
    /// An `Arc<dyn Sink<T>>`.
    Typed(Arc<dyn Any + Send + Sync>),
}

impl Output {
    /// A sink made in code: memory.
    pub fn of<T: 'static>(sink: impl Sink<T> + 'static) -> Self {
        let sink: Arc<dyn Sink<T>> = Arc::new(sink);
        Self::Typed(Arc::new(sink))
    }

    /// The sink for records of type `T`, if it is one made in code for that type.
    pub(crate) fn typed<T: 'static>(&self) -> Option<Arc<dyn Sink<T>>> {
        match self {
            Self::Typed(any) => any.downcast_ref::<Arc<dyn Sink<T>>>().cloned(),
            Self::File(_) | Self::Stdout => None,
        }
    }
}
