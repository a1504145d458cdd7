//! What a record has beside its value when it is written to a broker: a key, headers, a timestamp.

use std::fmt;
use std::sync::Arc;

use headwater_operators::Timestamp;
use headwater_state::Text;

use crate::format::Header;

/// What can be the key of a Kafka record.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key of a Kafka record",
    note = "a key is text, bytes, or an `Option` of them; of a number it is `.to_string()`, or `.to_be_bytes()`, which is \
            what Java's serializers write"
)]
pub trait KeyBytes {
    /// Appends its bytes. Whether there is a key: one without bytes is a key, too.
    fn append(&self, out: &mut Vec<u8>) -> bool;
}

// What it is written for is in the message above; a list of types says less.
#[diagnostic::do_not_recommend]
impl KeyBytes for [u8] {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(self);
        true
    }
}

#[diagnostic::do_not_recommend]
impl KeyBytes for str {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        self.as_bytes().append(out)
    }
}

#[diagnostic::do_not_recommend]
impl KeyBytes for Text {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        self.as_bytes().append(out)
    }
}

#[diagnostic::do_not_recommend]
impl KeyBytes for String {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        self.as_bytes().append(out)
    }
}

#[diagnostic::do_not_recommend]
impl KeyBytes for Vec<u8> {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        self.as_slice().append(out)
    }
}

#[diagnostic::do_not_recommend]
impl<const N: usize> KeyBytes for [u8; N] {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        self.as_slice().append(out)
    }
}

#[diagnostic::do_not_recommend]
impl<K: KeyBytes + ?Sized> KeyBytes for &K {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        (**self).append(out)
    }
}

#[diagnostic::do_not_recommend]
impl<K: KeyBytes> KeyBytes for Option<K> {
    fn append(&self, out: &mut Vec<u8>) -> bool {
        self.as_ref().is_some_and(|key| key.append(out))
    }
}

type AppendKey<T> = dyn Fn(&T, &mut Vec<u8>) -> bool + Send + Sync;
type MakeHeaders<T> = dyn Fn(&T) -> Vec<Header> + Send + Sync;
type TakeTimestamp<T> = dyn Fn(&T) -> Timestamp + Send + Sync;

/// How they are made of a record; what is not said, the record does not have.
pub(crate) struct Fields<T> {
    pub key: Option<Arc<AppendKey<T>>>,
    pub headers: Option<Arc<MakeHeaders<T>>>,
    pub timestamp: Option<Arc<TakeTimestamp<T>>>,
}

impl<T> Default for Fields<T> {
    fn default() -> Self {
        Self { key: None, headers: None, timestamp: None }
    }
}

impl<T> Clone for Fields<T> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), headers: self.headers.clone(), timestamp: self.timestamp.clone() }
    }
}

impl<T> fmt::Debug for Fields<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said =
            [("key", self.key.is_some()), ("headers", self.headers.is_some()), ("timestamp", self.timestamp.is_some())];
        f.debug_set().entries(said.iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: impl KeyBytes) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        key.append(&mut out).then_some(out)
    }

    #[test]
    fn an_empty_key_is_a_key_and_none_is_not() {
        assert_eq!(key("ann"), Some(b"ann".to_vec()));
        assert_eq!(key(Text::from("ann")), key(String::from("ann")));
        assert_eq!(key(7_u32.to_be_bytes()), Some(vec![0, 0, 0, 7]));
        assert_eq!(key(""), Some(Vec::new()));
        assert_eq!(key(Some(vec![0xff])), Some(vec![0xff]));
        assert_eq!(key(None::<&str>), None);
    }
}
