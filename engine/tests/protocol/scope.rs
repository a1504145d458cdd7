//! How far a search goes: what there is to do, and what goes wrong on the way.

/// What may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// kill -9. A restart may follow at any time, or never.
    Kill,
    /// SIGSTOP until the session is over. SIGCONT may follow at any time, or never.
    Freeze,
    /// The broker aborts an open transaction for its age.
    TimeOut,
    /// The group moves a shard to another member.
    Move,
    /// A message of the transaction is not delivered.
    Undelivered,
    /// A commit or its offsets: lost, late, doubled, without an answer; or markers that come late.
    Request,
}

use Fault::{Freeze, Kill, Move, Request, TimeOut, Undelivered};

#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub name: &'static str,
    pub instances: usize,
    /// How many faults, and of which kinds.
    pub faults: u8,
    pub kinds: &'static [Fault],
    /// Records of each shard's source partition. A shard without any is left out.
    pub inputs: [u8; 2],
    /// Whether a timer of shard 0 fires, which deletes a key and moves no offset.
    pub has_timer: bool,
    /// Whether shard 0 is kept in a store, which is what trimming waits for.
    pub has_store: bool,
    /// Whether a rebuild that could be avoided breaks a promise.
    pub counts_costs: bool,
}

const EVERY_KIND: &[Fault] = &[Kill, Freeze, TimeOut, Move, Undelivered, Request];

/// Everything there is, and any one fault.
pub const ANY_FAULT: Scope = Scope {
    name: "any fault",
    instances: 2,
    faults: 1,
    kinds: EVERY_KIND,
    inputs: [1, 1],
    has_timer: true,
    has_store: true,
    counts_costs: true,
};

/// Two shards in one transaction, and any two faults.
pub const TWO_SHARDS: Scope = Scope { name: "two shards", faults: 2, has_timer: false, has_store: false, ..ANY_FAULT };

/// One shard, and any three faults.
pub const ONE_SHARD: Scope = Scope { name: "one shard", faults: 3, inputs: [1, 0], ..TWO_SHARDS };

/// A shard that comes back to an old store, with enough to do for a trim in between.
pub const OLD_STORES: Scope =
    Scope { name: "old stores", faults: 2, kinds: &[Move, Kill], inputs: [2, 0], ..ANY_FAULT };

/// The same, with zombies that trim.
pub const LATE_TRIMS: Scope = Scope { name: "late trims", kinds: &[Move, Freeze], ..OLD_STORES };
