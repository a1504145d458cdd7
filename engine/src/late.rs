//! Where late rows go: a sink on the second output of a window.

use std::rc::Rc;
use std::sync::Arc;

use headwater_operators::{
    Batch, Late, LateOutput, LateRows, Message, Operator, Output, Progress, Records, SideOutput, Timestamp,
};

use crate::format::Encode;
use crate::graph::{Edge, GraphRef, Port, typed};
use crate::letters::{Lettered, Signature};
use crate::{DeadLetter, Result, Stream, Topic};

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

impl<T: Lettered + Send + 'static> LateSink<Vec<T>> {
    /// As dead letters.
    pub fn letters(topic: Topic<DeadLetter>) -> Self {
        let add = |graph: &GraphRef, edge: Edge| {
            let operator = graph.borrow().nodes[edge.node].id.clone();
            let late = Stream::<Vec<Late<T>>>::new(Rc::clone(graph), edge);
            let letters = late.step("late_letter", move |build| {
                let (operator, signature) = (operator.clone(), Arc::clone(&build.signature));
                Ok(Letters { operator, signature, now: Timestamp::MIN, made: 0 })
            });
            letters.dead_letters(topic);
        };
        Self { add: Box::new(add), connect: connect::<T> }
    }
}

/// Makes dead letters of late records.
struct Letters {
    operator: String,
    signature: Arc<Signature>,
    now: Timestamp,
    made: u64,
}

impl<T: Lettered> Operator<Vec<Late<T>>, Vec<DeadLetter>> for Letters {
    fn process(&mut self, batch: Batch<Vec<Late<T>>>, out: &mut dyn Output<Vec<DeadLetter>>) -> Result<()> {
        let mut letters = Vec::with_capacity(batch.records.len());
        for late in &batch.records {
            let mut letter = DeadLetter::late(&self.operator, late)?;
            // Records that are alike are not one.
            self.made += 1;
            letter.id = format!("{}-{:x}-{}", letter.id, self.now.as_micros(), self.made);
            self.signature.sign(&mut letter, self.now);
            letters.push(letter);
        }
        out.send(Message::Batch(batch.with_records(letters)))
    }

    fn tick(&mut self, now: Timestamp, _: &mut dyn Output<Vec<DeadLetter>>) -> Result<Progress> {
        self.now = now;
        Ok(Progress::Done)
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
