//! Keyed state for stream processing: tables that are written back in bulk, behind a log of delta blocks.
//!
//! Reading order: [`Table`] names data and its types; [`Key`] gives canonical bytes; [`block`] is an epoch's changes
//! as bytes; [`Store`] and [`BlockLog`] hold them; [`WriteBehind`] brings the one up to date from the other.

// Code that `derive(Key)` generates names the crate by its name, here too.
extern crate self as headwater_state;

pub mod block;
mod bulk;
mod codec;
#[cfg(feature = "rocks")]
pub mod crash;
mod envelope;
mod error;
mod evict;
pub mod faulty;
mod key;
mod local;
mod manifest;
mod memory;
#[cfg(feature = "rocks")]
mod rocks;
mod rotation;
mod save;
mod scan;
pub mod shape;
mod shard;
mod space;
mod state;
mod store;
mod table;
mod text;
mod write_behind;

pub use bulk::{Bulk, TableBulk};
#[cfg(feature = "failpoints")]
pub use crash::CRASH_POINTS;
pub use error::{Error, Kind, Result};
pub use headwater_state_derive::Key;
pub use key::{Key, decode_delimited, encode_delimited, hash_bytes};
pub use local::{EpochChanges, LocalOptions, LocalState, Note};
pub use manifest::{Changes, Manifest};
pub use memory::MemoryStore;
#[cfg(feature = "rocks")]
pub use rocks::{RocksOptions, RocksStore};
pub use rotation::Rotation;
pub use save::save_file;
pub use scan::Scan;
pub use shard::{Epoch, Shard};
pub use state::{Lookup, RowKeys, SlotId, State};
pub use store::{Block, BlockLog, Commit, ReplayLog, Store};
pub use table::{Namespace, Table, TableSpec, Value, end_of_prefix};
pub use text::Text;
pub use write_behind::{WriteBehind, WriteBehindOptions, recover, recover_in_slices};
