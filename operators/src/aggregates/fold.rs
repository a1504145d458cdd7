//! Whatever a closure makes of the rows.

use std::marker::PhantomData;

use headwater_state::Value;

use crate::{Aggregate, Shared};

/// Whatever a closure makes of the rows, one after the other.
///
/// ```
/// use headwater_operators::{Aggregate, Fold};
/// let words = Fold::new(String::new, |all: &mut String, word: &&str| all.push_str(word));
/// let rows = vec!["to", "be"];
/// let mut state = words.start(&rows, 0);
/// words.update(&mut state, &rows, 1);
/// assert_eq!(words.output(&state), "tobe");
/// ```
pub struct Fold<T, I, F> {
    init: I,
    f: F,
    records: PhantomData<fn(T)>,
}

impl<T, I, F> Fold<T, I, F> {
    /// Begins with `init()` and applies `f` to it with every row.
    pub fn new<S>(init: I, f: F) -> Self
    where
        I: Fn() -> S,
        F: Fn(&mut S, &T),
    {
        Self { init, f, records: PhantomData }
    }
}

impl<T, S, I, F> Aggregate<Vec<T>> for Fold<T, I, F>
where
    T: Send + 'static,
    S: Value + Clone,
    I: Fn() -> S + Shared,
    F: Fn(&mut S, &T) + Shared,
{
    type State = S;
    type Output = S;

    #[inline]
    fn start(&self, records: &Vec<T>, row: usize) -> S {
        let mut state = (self.init)();
        (self.f)(&mut state, &records[row]);
        state
    }

    #[inline]
    fn update(&self, state: &mut S, records: &Vec<T>, row: usize) {
        (self.f)(state, &records[row]);
    }

    #[inline]
    fn output(&self, state: &S) -> S {
        state.clone()
    }

    #[inline]
    fn look<L>(&self, state: &S, look: impl FnOnce(&S) -> L) -> L {
        look(state)
    }

    fn shape(&self) -> String {
        "fold".into()
    }
}
