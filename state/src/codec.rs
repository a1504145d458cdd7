//! Values as stored bytes, and back.

use postcard::ser_flavors::Flavor;

use crate::space::{Space, slot_bytes};
use crate::{Error, Key, Result, Value};

/// Encodes the dirty slots of a space, and tells of those that are empty. Returns by how much the estimate of its memory
/// grew.
pub(crate) fn encode<K: Key, V: Value>(
    writer: &mut crate::block::BlockWriter,
    table: &str,
    space: &mut Space<K, V>,
    mut emptied: impl FnMut(u32),
) -> postcard::Result<isize> {
    writer.section(table, space.namespace);
    let mut grown = 0;
    for &at in &space.dirty {
        let slot = &mut space.slots[at as usize];
        let before = slot_bytes(slot);
        match &slot.value {
            None => {
                writer.delete_with(|out| slot.key.encode(out));
                slot.encoded_bytes = 0;
                emptied(at);
            }
            Some(value) => {
                let mut result = Ok(());
                let length = writer.put_with(
                    |out| slot.key.encode(out),
                    |out| result = postcard::serialize_with_flavor(value, Append(out)),
                );
                result?;
                slot.encoded_bytes = length as u32;
            }
        }
        grown += slot_bytes(slot) as isize - before as isize;
    }
    Ok(grown)
}

/// The stored form of a value.
pub(crate) fn encode_value<V: Value>(table: &str, value: &V) -> Result<Vec<u8>> {
    postcard::to_stdvec(value)
        .map_err(|error| Error::config(format!("a value of table {table} cannot be encoded")).caused_by(error))
}

/// Reads a stored value.
pub(crate) fn decode<V: Value>(table: &str, bytes: &[u8]) -> Result<V> {
    postcard::from_bytes(bytes)
        .map_err(|error| Error::corrupt(format!("a value of table {table} cannot be read")).caused_by(error))
}

/// Lets postcard append to a block without a copy.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
