//! Keys: canonical bytes that are stable across releases, because state and routing hang on them.

use std::borrow::Cow;
use std::cell::Cell;

use crate::{Error, Result};

/// A value that rows can be grouped by: equal keys have equal bytes, and the bytes never change between releases.
///
/// `str` is its raw UTF-8, integers are big-endian with the sign bit flipped, so that the order of the bytes is the
/// order of the values. In a tuple or struct every component but the last is *delimited*: a zero byte within it is
/// written as `00 ff` and its end as `00 01`. Floats and maps are not keys: they have no canonical bytes.
///
/// Derive it for structs and for enums without fields:
///
/// ```
/// use headwater_state::{Key, Text};
///
/// #[derive(Clone, PartialEq, Eq, Key)]
/// struct Card {
///     user: Text,
///     number: u32,
/// }
///
/// let card = Card { user: "ada".into(), number: 7 };
/// let mut bytes = Vec::new();
/// card.encode(&mut bytes);
/// assert_eq!(bytes, b"ada\x00\x01\x00\x00\x00\x07");
/// assert!(Card::decode(&bytes)? == card);
/// assert_eq!(Card::shape(), "(user:text,number:u32)");
/// # Ok::<(), headwater_state::Error>(())
/// ```
/// A tuple struct with one field, `struct UserId(u64)`, has that field's bytes, hash and shape.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    note = "keys are text, integers, bool, and tuples or structs of these (`#[derive(Key)]`); floats and maps have no canonical bytes"
)]
pub trait Key: Clone + Eq + Send + Sync + 'static {
    /// Appends the bytes of a key that stands alone or last.
    fn encode(&self, out: &mut Vec<u8>);

    /// Appends the bytes of a component that others follow, so that a reader knows where it ends.
    fn encode_part(&self, out: &mut Vec<u8>);

    /// Reads a key that takes all of `bytes`.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Kind::Corrupt) where the bytes are not of this type.
    fn decode(bytes: &[u8]) -> Result<Self>;

    /// Reads one delimited component and moves `bytes` past it.
    ///
    /// # Errors
    /// [`Corrupt`](crate::Kind::Corrupt) where the bytes are not of this type.
    fn decode_part(bytes: &mut &[u8]) -> Result<Self>;

    /// The structure of the type, part of a table's fingerprint. Never a type's name.
    fn shape() -> String;

    /// A hash of the canonical bytes (XXH3, 64 bits, seed 0): routes the key to its shard.
    #[inline]
    fn hash64(&self) -> u64 {
        hash_written(|out| self.encode(out))
    }

    /// Bytes on the heap, for the memory budget.
    #[inline]
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// The hash of a key's canonical bytes: XXH3 with 64 bits and seed 0, whose result is fixed by its specification.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a thread keeps to write keys into while it hashes them.
const SCRATCH_BYTES_MAX: usize = 4096;

/// Hashes what `write` writes. A hash within `write` finds the scratch taken and uses a vector of its own.
#[inline]
fn hash_written(write: impl FnOnce(&mut Vec<u8>)) -> u64 {
    let mut bytes = SCRATCH.take();
    bytes.clear();
    write(&mut bytes);
    let hash = hash_bytes(&bytes);
    if bytes.capacity() <= SCRATCH_BYTES_MAX {
        SCRATCH.set(bytes);
    }
    hash
}

/// Appends `bytes` delimited: `00` becomes `00 ff`, the end is `00 01`.
#[inline]
pub fn encode_delimited(bytes: &[u8], out: &mut Vec<u8>) {
    let mut parts = bytes.split(|byte| *byte == 0);
    if let Some(first) = parts.next() {
        out.extend_from_slice(first);
    }
    for part in parts {
        out.extend_from_slice(&[0, 0xff]);
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&[0, 1]);
}

/// Reads what [`encode_delimited`] wrote and moves `bytes` past it. Borrows where no zero byte is within.
///
/// # Errors
/// [`Corrupt`](crate::Kind::Corrupt) where no end is found.
pub fn decode_delimited<'a>(bytes: &mut &'a [u8]) -> Result<Cow<'a, [u8]>> {
    let (part, ended) = next_zero(bytes)?;
    if ended {
        return Ok(Cow::Borrowed(part));
    }
    let mut out = part.to_vec();
    loop {
        out.push(0);
        let (part, ended) = next_zero(bytes)?;
        out.extend_from_slice(part);
        if ended {
            return Ok(Cow::Owned(out));
        }
    }
}

/// What is in front of the next zero byte, and whether that is the end; moves `bytes` past both.
#[inline]
fn next_zero<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], bool)> {
    let zero = bytes.iter().position(|byte| *byte == 0).ok_or_else(without_end)?;
    let (part, rest) = bytes.split_at(zero);
    let (tail, ended) = match rest {
        [0, 1, tail @ ..] => (tail, true),
        [0, 0xff, tail @ ..] => (tail, false),
        _ => return Err(without_end()),
    };
    *bytes = tail;
    Ok((part, ended))
}

fn without_end() -> Error {
    Error::corrupt("key component without an end")
}

macro_rules! integer_key {
    ($($signed:ty as $unsigned:ty),*; $($plain:ty),*) => {
        $(
            #[diagnostic::do_not_recommend]
            impl Key for $signed {
                #[inline]
                fn encode(&self, out: &mut Vec<u8>) {
                    ((*self as $unsigned) ^ (1 << (<$unsigned>::BITS - 1))).encode(out);
                }
                #[inline]
                fn encode_part(&self, out: &mut Vec<u8>) {
                    self.encode(out);
                }
                fn decode(bytes: &[u8]) -> Result<Self> {
                    Ok((<$unsigned as Key>::decode(bytes)? ^ (1 << (<$unsigned>::BITS - 1))) as $signed)
                }
                fn decode_part(bytes: &mut &[u8]) -> Result<Self> {
                    Ok((<$unsigned as Key>::decode_part(bytes)? ^ (1 << (<$unsigned>::BITS - 1))) as $signed)
                }
                fn shape() -> String {
                    stringify!($signed).into()
                }
                #[inline]
                fn hash64(&self) -> u64 {
                    ((*self as $unsigned) ^ (1 << (<$unsigned>::BITS - 1))).hash64()
                }
            }
        )*
        $(
            #[diagnostic::do_not_recommend]
            impl Key for $plain {
                #[inline]
                fn encode(&self, out: &mut Vec<u8>) {
                    out.extend_from_slice(&self.to_be_bytes());
                }
                #[inline]
                fn encode_part(&self, out: &mut Vec<u8>) {
                    self.encode(out);
                }
                fn decode(bytes: &[u8]) -> Result<Self> {
                    let bytes = bytes.try_into().map_err(|_| wrong_length(stringify!($plain), bytes.len()))?;
                    Ok(Self::from_be_bytes(bytes))
                }
                fn decode_part(bytes: &mut &[u8]) -> Result<Self> {
                    let (head, tail) = bytes
                        .split_at_checked(size_of::<Self>())
                        .ok_or_else(|| wrong_length(stringify!($plain), bytes.len()))?;
                    *bytes = tail;
                    Self::decode(head)
                }
                fn shape() -> String {
                    stringify!($plain).into()
                }
                #[inline]
                fn hash64(&self) -> u64 {
                    hash_bytes(&self.to_be_bytes())
                }
            }
        )*
    };
}

integer_key!(i8 as u8, i16 as u16, i32 as u32, i64 as u64, i128 as u128; u8, u16, u32, u64, u128);

fn wrong_length(shape: &str, length: usize) -> Error {
    Error::corrupt(format!("key of type {shape} has the wrong length: {length}"))
}

#[diagnostic::do_not_recommend]
impl Key for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn encode_part(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }
    fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::corrupt(format!("key of type bool is neither 0 nor 1: {bytes:?}"))),
        }
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self> {
        u8::decode_part(bytes).and_then(|byte| Self::decode(&[byte]))
    }
    fn shape() -> String {
        "bool".into()
    }
}

/// The key of a stream that is not divided: everything is one group.
#[diagnostic::do_not_recommend]
impl Key for () {
    fn encode(&self, _: &mut Vec<u8>) {}
    fn encode_part(&self, _: &mut Vec<u8>) {}
    fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() { Ok(()) } else { Err(wrong_length("()", bytes.len())) }
    }
    fn decode_part(_: &mut &[u8]) -> Result<Self> {
        Ok(())
    }
    fn shape() -> String {
        "()".into()
    }
}

#[diagnostic::do_not_recommend]
impl Key for String {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
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
        "text".into()
    }
    #[inline]
    fn hash64(&self) -> u64 {
        hash_bytes(self.as_bytes())
    }
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| Error::corrupt("key of type text is not UTF-8").caused_by(error))
}

macro_rules! tuple_key {
    ($($first:ident $index:tt),*; $last:ident $last_index:tt) => {
        #[diagnostic::do_not_recommend]
        impl<$($first: Key,)* $last: Key> Key for ($($first,)* $last,) {
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$index.encode_part(out);)*
                self.$last_index.encode(out);
            }
            fn encode_part(&self, out: &mut Vec<u8>) {
                $(self.$index.encode_part(out);)*
                self.$last_index.encode_part(out);
            }
            fn decode(mut bytes: &[u8]) -> Result<Self> {
                Ok(($($first::decode_part(&mut bytes)?,)* $last::decode(bytes)?,))
            }
            fn decode_part(bytes: &mut &[u8]) -> Result<Self> {
                Ok(($($first::decode_part(bytes)?,)* $last::decode_part(bytes)?,))
            }
            fn shape() -> String {
                let parts: Vec<String> = vec![$($first::shape(),)* $last::shape()];
                format!("({})", parts.join(","))
            }
            fn heap_bytes(&self) -> usize {
                $(self.$index.heap_bytes() +)* self.$last_index.heap_bytes()
            }
        }
    };
}

tuple_key!(A 0; B 1);
tuple_key!(A 0, B 1; C 2);
tuple_key!(A 0, B 1, C 2; D 3);
tuple_key!(A 0, B 1, C 2, D 3; E 4);
