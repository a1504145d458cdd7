//! The least and the greatest value.

use std::cmp::Ordering;
use std::marker::PhantomData;

use headwater_state::{Text, Value};

use crate::{Aggregate, MergeAggregate, Shared, Timestamp};

/// A value with a least and a greatest: integers, floats, `bool`, `char`, text, [`Timestamp`].
///
/// Among floats a NaN is no value: it is the least or greatest only where nothing else came. `-0.0` is less than `0.0`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no least and greatest here",
    note = "return an integer, float, `bool`, `char`, `String` or `Timestamp` from the closure; for another order use `Fold`"
)]
pub trait Ordered: Value + Clone {
    /// How the two compare. Called only where neither is [missing](Self::missing).
    fn order(&self, other: &Self) -> Ordering;

    /// Whether it is no value at all.
    #[inline]
    fn missing(&self) -> bool {
        false
    }
}

macro_rules! ordered {
    ($($type:ty)*) => {
        $(impl Ordered for $type {
            #[inline]
            fn order(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        })*
    };
}

ordered!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 bool char String Text Timestamp);

macro_rules! ordered_float {
    ($($type:ty)*) => {
        $(impl Ordered for $type {
            #[inline]
            fn order(&self, other: &Self) -> Ordering {
                self.total_cmp(other)
            }

            #[inline]
            fn missing(&self) -> bool {
                self.is_nan()
            }
        })*
    };
}

ordered_float!(f32 f64);

/// Puts `value` in the place of `state` where it is `wanted` of the two.
#[inline]
fn keep<V: Ordered>(state: &mut V, value: V, wanted: Ordering) {
    if !value.missing() && (state.missing() || value.order(state) == wanted) {
        *state = value;
    }
}

macro_rules! extreme {
    ($(#[$doc:meta])* $name:ident, $wanted:expr, $shape:literal) => {
        $(#[$doc])*
        pub struct $name<T, F> {
            f: F,
            records: PhantomData<fn(T)>,
        }

        impl<T, F> $name<T, F> {
            /// Of what `f` takes from each row.
            pub fn of<V: Ordered>(f: F) -> Self
            where
                F: Fn(&T) -> V,
            {
                Self { f, records: PhantomData }
            }
        }

        impl<T, V, F> Aggregate<Vec<T>> for $name<T, F>
        where
            T: Send + 'static,
            V: Ordered,
            F: Fn(&T) -> V + Shared,
        {
            type State = V;
            type Output = V;

            #[inline]
            fn start(&self, records: &Vec<T>, row: usize) -> V {
                (self.f)(&records[row])
            }

            #[inline]
            fn update(&self, state: &mut V, records: &Vec<T>, row: usize) {
                keep(state, (self.f)(&records[row]), $wanted);
            }

            #[inline]
            fn output(&self, state: &V) -> V {
                state.clone()
            }

            #[inline]
            fn look<L>(&self, state: &V, look: impl FnOnce(&V) -> L) -> L {
                look(state)
            }

            fn shape(&self) -> String {
                $shape.into()
            }
        }

        impl<T, V, F> MergeAggregate<Vec<T>> for $name<T, F>
        where
            T: Send + 'static,
            V: Ordered,
            F: Fn(&T) -> V + Shared,
        {
            fn merge(&self, state: &mut V, other: V) {
                keep(state, other, $wanted);
            }
        }
    };
}

extreme! {
    /// The least value that a closure takes from a row. See [`Ordered`] for floats.
    ///
    /// ```
    /// use headwater_operators::{Aggregate, Min};
    /// let least = Min::of(|value: &f64| *value);
    /// let rows = vec![f64::NAN, 2.0, 1.0];
    /// let mut state = least.start(&rows, 0);
    /// least.update(&mut state, &rows, 1);
    /// least.update(&mut state, &rows, 2);
    /// assert_eq!(least.output(&state), 1.0);
    /// ```
    Min, Ordering::Less, "min"
}

extreme! {
    /// The greatest value that a closure takes from a row. See [`Ordered`] for floats.
    ///
    /// ```
    /// use headwater_operators::{Aggregate, Max};
    /// let longest = Max::of(|word: &String| word.len() as u64);
    /// let rows = vec!["a".to_owned(), "bcd".to_owned()];
    /// let mut state = longest.start(&rows, 0);
    /// longest.update(&mut state, &rows, 1);
    /// assert_eq!(longest.output(&state), 3);
    /// ```
    Max, Ordering::Greater, "max"
}
