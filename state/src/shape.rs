//! The structure of a value's type as text: what makes a changed type visible before it misreads old bytes.
//!
//! | type | text |
//! |---|---|
//! | numbers, `bool`, `char`, `()` | their names |
//! | `String`, `Text`, `&str` · bytes | `text` · `bytes` |
//! | `Option<T>` · sequences and sets · maps | `T?` · `[T]` · `map<K,V>` |
//! | tuples · of more than four equal parts, arrays | `(A,B)` · `[T;5]` |
//! | structs | `{name:A,other:B}` |
//! | enums | `<Unit\|Newtype:A\|Tuple:(A,B)\|Struct:{a:A}>` |
//! | the type itself, n levels up | `^n` |
//! | what cannot be known | `opaque` |
//!
//! Newtypes, boxes and references are what they hold. Names of types do not count: a type may be renamed or moved.
//! Names of fields and variants do, although stored values do not hold them: a renamed field means something else.

mod access;
mod explore;
mod fields;
mod leaf;
mod node;

/// The structure of `V` as serde reads it from a binary format.
///
/// It is found by reading values of `V` from nothing, again and again, and noting what is asked for. It never fails:
/// what a type that checks its values, or asks for a self-describing format, hides from this is `opaque`.
///
/// ```
/// use headwater_state::shape;
///
/// #[derive(serde::Deserialize)]
/// struct Total { count: u64, last: Option<String> }
///
/// assert_eq!(shape::of::<Total>(), "{count:u64,last:text?}");
/// ```
pub fn of<V: serde::de::DeserializeOwned>() -> String {
    explore::explore::<V>().to_string()
}
