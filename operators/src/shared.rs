//! What the closures of a pipeline must be.

/// A value that all workers use at once. It needs no impl: whatever may be sent to and shared between threads, and
/// borrows nothing, is one.
#[diagnostic::on_unimplemented(
    message = "a closure of a pipeline runs on all worker threads, and this one captures what one thread alone may have",
    note = "capture an `Arc` for an `Rc`, an atomic or a `Mutex` for a `Cell` or `RefCell`, or make the value inside"
)]
pub trait Shared<This = Self>: Send + Sync + 'static {}

// Of the bounds the compiler would speak in its own words, and at length. If what a closure returns were shared in its
// place (`This` says that it is not), it would propose to call it.
#[diagnostic::do_not_recommend]
impl<F: Send + Sync + 'static> Shared<F> for F {}
