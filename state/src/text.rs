//! Short text within the row, without a pointer to follow.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use compact_str::CompactString;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::key::{decode_delimited, encode_delimited, hash_bytes, utf8};
use crate::{Key, Result};

/// Text that takes 24 bytes in a row and allocates only when it is longer than that.
///
/// Use it for the identifiers and names in row types: reading, moving, hashing and dropping a row then touches no
/// heap. It behaves as a [`str`] and is read and written as one. As a [`Key`] it has the bytes, the hash and the shape
/// of a [`String`], so that a table's key can be changed from one to the other.
///
/// ```
/// use headwater_state::Text;
///
/// let user = Text::from("user-000042");
/// assert_eq!(user, "user-000042");
/// assert!(user.starts_with("user-"));
/// assert_eq!(size_of::<Text>(), 24);
/// assert_eq!(size_of::<Option<Text>>(), 24);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(CompactString);

impl Text {
    /// The longest text, in bytes, that is kept without allocating.
    pub const INLINE_BYTES_MAX: usize = 24;

    /// Empty text.
    pub const fn new() -> Self {
        Self(CompactString::const_new(""))
    }

    /// The text of a constant; it is never copied to the heap.
    ///
    /// ```
    /// use headwater_state::Text;
    /// const UNKNOWN: Text = Text::constant("unknown");
    /// assert_eq!(UNKNOWN, "unknown");
    /// ```
    pub const fn constant(text: &'static str) -> Self {
        Self(CompactString::const_new(text))
    }

    /// The text itself.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Appends to it. With [`fmt::Write`] it can also be formatted into.
    ///
    /// ```
    /// use std::fmt::Write;
    /// use headwater_state::Text;
    ///
    /// let mut text = Text::new();
    /// text.push_str("shop ");
    /// write!(text, "{:03}", 7)?;
    /// assert_eq!(text, "shop 007");
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn push_str(&mut self, more: &str) {
        self.0.push_str(more);
    }
}

impl Deref for Text {
    type Target = str;
    #[inline]
    fn deref(&self) -> &str {
        self.0.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// `Hash`, `Eq` and `Ord` are those of `str`, so that maps keyed by `Text` can be asked with a `&str`.
impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for Text {
    #[inline]
    fn from(text: &str) -> Self {
        Self(CompactString::new(text))
    }
}

impl From<String> for Text {
    /// Keeps the allocation of text that does not fit inline.
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0.into()
    }
}

impl FromStr for Text {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(text.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.push_str(more);
        Ok(())
    }
}

macro_rules! equal_to {
    ($($other:ty),*) => {
        $(
            impl PartialEq<$other> for Text {
                #[inline]
                fn eq(&self, other: &$other) -> bool {
                    self.as_str() == AsRef::<str>::as_ref(other)
                }
            }
            impl PartialEq<Text> for $other {
                #[inline]
                fn eq(&self, other: &Text) -> bool {
                    AsRef::<str>::as_ref(self) == other.as_str()
                }
            }
        )*
    };
}

equal_to!(str, &str, String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// Short text is copied straight from the input: no `String` in between.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    #[inline]
    fn visit_str<E>(self, text: &str) -> std::result::Result<Text, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> std::result::Result<Text, E> {
        Ok(text.into())
    }
}

#[diagnostic::do_not_recommend]
impl Key for Text {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
    #[inline]
    fn encode_part(&self, out: &mut Vec<u8>) {
        encode_delimited(self.as_bytes(), out);
    }
    fn decode(bytes: &[u8]) -> Result<Self> {
        utf8(bytes).map(Self::from)
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self> {
        utf8(&decode_delimited(bytes)?).map(Self::from)
    }
    fn shape() -> String {
        String::shape()
    }
    #[inline]
    fn hash64(&self) -> u64 {
        hash_bytes(self.as_bytes())
    }
    #[inline]
    fn heap_bytes(&self) -> usize {
        if self.0.is_heap_allocated() { self.0.capacity() } else { 0 }
    }
}
