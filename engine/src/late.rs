//! Where late rows go: a sink on the second output of a window.

use std::rc::Rc;

use headwater_operators::{Late, LateOutput, LateRows, Message, Output, Progress, Records, SideOutput};

use crate::format::Encode;
use crate::graph::{Edge, GraphRef, Port, typed};
use crate::{Result, Stream, Topic};

/// Adds the sink of late rows to a graph, and connects it on each worker.
pub(crate) struct LateSink<R> {
    pub add: Box<AddLate>,
    pub connect: ConnectLate<R>,
}

type AddLate = dyn FnOnce(&GraphRef, Edge);

/// Of what comes after the second output: what late rows are given to, and what control is given to.
pub(crate) type LateEnds<R> = (Box<dyn LateOutput<R>>, Box<dyn Output<()>>);

pub(crate) type ConnectLate<R> = fn(Option<Port>) -> Result<LateEnds<R>>;

impl<T: Send + 'static> LateSink<Vec<T>> {
    pub fn new<F: Encode<Late<T>>>(topic: Topic<Late<T>, F>) -> Self {
        let add = |graph: &GraphRef, edge: Edge| Stream::<Vec<Late<T>>>::new(Rc::clone(graph), edge).sink(topic);
        Self { add: Box::new(add), connect: connect::<T> }
    }
}

fn connect<T: Send + 'static>(port: Option<Port>) -> Result<LateEnds<Vec<T>>> {
    let side = SideOutput::new(typed::<Vec<Late<T>>>(port)?);
    Ok((Box::new(LateRows(side.clone())), Box::new(Control(side))))
}

/// The control end of an output whose records are of no concern.
struct Control<S>(SideOutput<S>);

impl<S: Records> Output<()> for Control<S> {
    fn send(&mut self, message: Message<()>) -> Result<()> {
        message.control().map_or(Ok(()), |message| self.0.send(message))
    }

    fn work(&mut self) -> Result<Progress> {
        self.0.work()
    }
}
