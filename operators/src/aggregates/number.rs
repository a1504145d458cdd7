//! Numbers that can be summed.

use headwater_state::Value;

/// A number that can be summed. Sums of integers are 128 bits wide and so exact: no count of 64-bit numbers overflows
/// them. Sums of floats are `f64`, rounded at each step: their last digits depend on the order of the rows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a number that can be summed",
    note = "return an integer, `f32` or `f64` from the closure"
)]
pub trait Number: Copy + Send + 'static {
    /// What many of them add up to.
    type Sum: Value + Copy + Sync;

    /// The number as a sum of one.
    fn widen(self) -> Self::Sum;

    /// Two sums together.
    fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;

    /// A sum as a float, rounded.
    fn approximate(sum: Self::Sum) -> f64;
}

macro_rules! number {
    ($($number:ty)* => $sum:ty, $add:expr) => {
        $(impl Number for $number {
            type Sum = $sum;

            #[inline]
            fn widen(self) -> $sum {
                self.into()
            }

            #[inline]
            fn add(a: $sum, b: $sum) -> $sum {
                $add(a, b)
            }

            #[inline]
            fn approximate(sum: $sum) -> f64 {
                sum as f64
            }
        })*
    };
}

number!(i8 i16 i32 i64 u8 u16 u32 u64 => i128, i128::wrapping_add);
number!(f32 f64 => f64, std::ops::Add::add);
