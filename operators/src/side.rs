//! A second output of an operator, such as that of late rows.

use std::cell::RefCell;
use std::rc::Rc;

use headwater_state::Result;

use crate::{Message, Output, Progress};

/// An operator's second output. The operator sends batches to it; control reaches it through the [`Fork`] that stands
/// behind the operator. A handle: clones are the same output, within one worker.
pub struct SideOutput<S> {
    output: Rc<RefCell<Box<dyn Output<S>>>>,
}

impl<S> SideOutput<S> {
    /// The side that leads to `output`.
    pub fn new(output: Box<dyn Output<S>>) -> Self {
        Self { output: Rc::new(RefCell::new(output)) }
    }
}

impl<S> Clone for SideOutput<S> {
    fn clone(&self) -> Self {
        Self { output: Rc::clone(&self.output) }
    }
}

impl<S> Output<S> for SideOutput<S> {
    fn send(&mut self, message: Message<S>) -> Result<()> {
        self.output.borrow_mut().send(message)
    }

    fn work(&mut self) -> Result<Progress> {
        self.output.borrow_mut().work()
    }
}

/// Stands behind an operator with a side output: batches go to the main output, control to both.
pub struct Fork<R, S> {
    main: Box<dyn Output<R>>,
    side: SideOutput<S>,
}

impl<R, S> Fork<R, S> {
    /// Joins the control of `main` and `side`.
    pub fn new(main: Box<dyn Output<R>>, side: SideOutput<S>) -> Self {
        Self { main, side }
    }
}

impl<R, S> Output<R> for Fork<R, S> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        let copy = message.control();
        self.main.send(message)?;
        copy.map_or(Ok(()), |copy| self.side.send(copy))
    }

    fn work(&mut self) -> Result<Progress> {
        match (self.main.work()?, self.side.work()?) {
            (Progress::Done, Progress::Done) => Ok(Progress::Done),
            _ => Ok(Progress::Pending),
        }
    }
}
