//! A table's name and types in one constant, and the namespaces within it.

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Key, Shard};

/// A value that a table can hold: anything that serde can write and read back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in state",
    label = "not a state value",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it; it must own what it holds and be `Send`"
)]
pub trait Value: Serialize + DeserializeOwned + Send + 'static {}

impl<V: Serialize + DeserializeOwned + Send + 'static> Value for V {}

/// Names stored data and its types.
///
/// ```
/// use headwater_state::Table;
/// const COUNTS: Table<(String, u32), u64> = Table::new("counts");
/// assert_eq!(COUNTS.name(), "counts");
/// ```
pub struct Table<K, V> {
    name: std::borrow::Cow<'static, str>,
    windowed: bool,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), windowed: self.windowed, types: PhantomData }
    }
}

impl<K, V> Table<K, V> {
    /// The table called `name`: lower-case letters, digits, `-`, `_`, `.` and `/`, at most 100 bytes.
    pub const fn new(name: &'static str) -> Self {
        Self { name: std::borrow::Cow::Borrowed(name), windowed: false, types: PhantomData }
    }

    /// A table whose name is made of an operator's id.
    pub fn named(name: String) -> Self {
        Self { name: std::borrow::Cow::Owned(name), windowed: false, types: PhantomData }
    }

    /// The same table with its keys under windows: every namespace is one of [`Namespace::window`].
    #[must_use]
    pub fn in_windows(self) -> Self {
        Self { windowed: true, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its keys are under windows.
    pub fn is_windowed(&self) -> bool {
        self.windowed
    }
}

impl<K: Key, V: Value> Table<K, V> {
    /// Its name and the structure of its types, as the manifest keeps them.
    pub fn spec(&self) -> TableSpec {
        let key = if self.windowed { format!("window × {}", K::shape()) } else { K::shape() };
        TableSpec { name: self.name.to_string(), key, value: crate::shape::of::<V>() }
    }
}

/// What the manifest keeps of a table: a change of either type is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct TableSpec {
    /// The table's name.
    pub name: String,
    /// The structure of its key.
    pub key: String,
    /// The structure of its value.
    pub value: String,
}

/// A part of a table that can be dropped whole: the panes of one window. Plain tables have one, [`Namespace::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Option<i64>);

impl Namespace {
    /// The only namespace of a plain table.
    pub const NONE: Self = Self(None);

    /// The namespace of the window that ends at `end`, in microseconds since the epoch.
    pub const fn window(end: i64) -> Self {
        Self(Some(end))
    }

    /// The end of its window, in microseconds since the epoch.
    pub const fn end(self) -> Option<i64> {
        self.0
    }

    /// Appends its stored bytes: nothing, or eight bytes in the order of time.
    pub fn encode(self, out: &mut Vec<u8>) {
        if let Some(end) = self.0 {
            end.encode(out);
        }
    }

    /// The first stored key of this namespace in `shard`: what every key of it begins with.
    pub fn prefix(self, shard: Shard) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(10);
        shard.0.encode(&mut bytes);
        self.encode(&mut bytes);
        bytes
    }
}

/// The smallest key greater than every key that begins with `prefix`.
pub fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Every byte was 0xff: no shard number is, so this is only for completeness.
    vec![u8::MAX; prefix.len() + 1]
}
