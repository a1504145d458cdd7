//! Several aggregates at once.

use crate::{Aggregate, MergeAggregate, Records};

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<R: Records, $($name: Aggregate<R>),*> Aggregate<R> for ($($name,)*) {
            type State = ($($name::State,)*);
            type Output = ($($name::Output,)*);

            #[inline]
            fn start(&self, records: &R, row: usize) -> Self::State {
                ($(self.$index.start(records, row),)*)
            }

            #[inline]
            fn update(&self, state: &mut Self::State, records: &R, row: usize) {
                $(self.$index.update(&mut state.$index, records, row);)*
            }

            #[inline]
            fn output(&self, state: &Self::State) -> Self::Output {
                ($(self.$index.output(&state.$index),)*)
            }

            fn shape(&self) -> String {
                format!("({})", [$(self.$index.shape()),*].join(", "))
            }
        }

        impl<R: Records, $($name: MergeAggregate<R>),*> MergeAggregate<R> for ($($name,)*) {
            fn merge(&self, state: &mut Self::State, other: Self::State) {
                $(self.$index.merge(&mut state.$index, other.$index);)*
            }
        }
    };
}

tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
