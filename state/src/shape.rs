//! The structure of a value's type as text: what makes a changed type visible before it misreads old bytes.

/// The structure of `V` as serde sees it.
pub fn of<V: serde::de::DeserializeOwned>() -> String {
    String::new()
}
