//! Keyed state for stream processing: tables that are written back in bulk, behind a log of delta blocks.
//!
//! Reading order: [`Table`] names data and its types; [`Key`] gives canonical bytes; [`block`] is an epoch's changes
//! as bytes; [`Store`] and [`BlockLog`] hold them; [`WriteBehind`] brings the one up to date from the other.

pub mod block;
mod bulk;
mod crash;
mod envelope;
mod error;
pub mod faulty;
mod key;
mod memory;
#[cfg(feature = "rocks")]
mod rocks;
pub mod shape;
mod shard;
mod store;
mod table;
mod write_behind;

pub use bulk::{Bulk, TableBulk};
pub use error::{Error, Kind, Result};
pub use headwater_state_derive::*;
pub use key::{Key, decode_delimited, encode_delimited, hash_bytes};
pub use memory::MemoryStore;
#[cfg(feature = "rocks")]
pub use rocks::{RocksOptions, RocksStore};
pub use shard::{Epoch, Shard};
pub use store::{Block, BlockLog, Commit, Store};
pub use table::{Namespace, Table, TableSpec, Value, end_of_prefix};
pub use write_behind::{WriteBehind, WriteBehindOptions, recover, recover_in_slices};
