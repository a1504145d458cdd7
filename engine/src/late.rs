//! Where late rows go: a sink on the second output of a window.

use std::rc::Rc;

use headwater_operators::{Late, LateOutput, LateRows, Message, Output, Progress, Records, SideOutput};

use crate::format::Encode;
use crate::graph::{Edge, GraphRef, Port, typed};
use crate::{Result, Stream, Topic};

/// Adds the sink of late rows to a graph, and connects it on each worker.
pub(crate) struct LateSink<R> {
    pub add: Box<dyn FnOnce(&GraphRef, Edge)>,
    pub connect: ConnectLate<R>,
}

/// Of what comes after the second output: what late rows are given to, and what control is given to.
pub(crate) type ConnectLate<R> = fn(Option<Port>) -> Result<(Box<dyn LateOutput<R>>, Box<dyn Output<()>>)>;

impl<T: Send + 'static> LateSink<Vec<T>> {
    pub fn new<F: Encode<Late<T>>>(topic: Topic<Late<T>, F>) -> Self {
        let add = |graph: &GraphRef, edge: Edge| Stream::<Vec<Late<T>>>::new(Rc::clone(graph), edge).sink(topic);
        Self { add: Box::new(add), connect: connect::<T> }
    }
}

fn connect<T: Send + 'static>(port: Option<Port>) -> Result<(Box<dyn LateOutput<Vec<T>>>, Box<dyn Output<()>>)> {
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
