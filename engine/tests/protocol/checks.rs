//! The promises, as checks made wherever something is committed.

use crate::world::{Entry, Status, TICK, Table, Work, World};

/// The table after exactly these events, whatever their order.
fn table_of(events: u8) -> Table {
    let first = u8::from(events & 1 != 0 && events & TICK == 0);
    [first, u8::from(events & 2 != 0), u8::from(events & TICK != 0)]
}

fn inputs_of(events: u8) -> u8 {
    small_count(events & !TICK)
}

fn small_count(mask: u8) -> u8 {
    u8::try_from(mask.count_ones()).unwrap()
}

/// The changes of an entry on top of a table.
pub fn apply(table: &mut Table, entry: &Entry) {
    for (value, change) in table.iter_mut().zip(entry.changes) {
        match change {
            0 => {}
            1 => *value = 0,
            put => *value = put - 2,
        }
    }
}

pub fn outputs_are_new(world: &World, shard: usize, events: u8) -> Result<(), String> {
    match world.truth[shard] & events {
        0 => Ok(()),
        again => Err(format!("doubled: outputs {again:03b} of shard {shard} are committed twice")),
    }
}

/// Epochs follow a claim of their writer.
pub fn writer_is_owner(world: &World, shard: usize, id: u8) -> Result<(), String> {
    let log = &world.logs[shard];
    let is_epoch = |entry: &&Entry| entry.writer == id && entry.status == Status::Open && !entry.is_claim;
    let Some(_) = log.entries().iter().find(is_epoch) else { return Ok(()) };
    match log.last_decided() {
        Some(last) if last.writer != id => {
            Err(format!("two owners: {id} commits shard {shard}, which {} has claimed", last.writer))
        }
        _ => Ok(()),
    }
}

/// Outputs, changelog and offsets of a shard say the same.
pub fn shard_is_whole(world: &World, shard: usize, id: usize) -> Result<(), String> {
    let pending = &world.pending[id];
    let commit = if pending.shards & 1 << shard == 0 { world.commits[shard] } else { pending.commits[shard] };
    let events = world.truth[shard];
    let inputs = inputs_of(events);
    if commit.source != inputs {
        return Err(format!("torn: shard {shard} has outputs of {inputs} inputs, but the offset {}", commit.source));
    }
    let token = world.logs[shard].last_decided().map_or(0, |entry| entry.token);
    if commit.token != token {
        return Err(format!("torn: the last marker of shard {shard} is not the one that its offset names"));
    }
    log_is_truth(world, shard)
}

/// An empty table and the log from its start give the committed state.
pub fn log_is_truth(world: &World, shard: usize) -> Result<(), String> {
    let mut table = Table::default();
    let entries = world.logs[shard].entries().iter();
    entries.filter(|entry| entry.status != Status::Open).for_each(|entry| apply(&mut table, entry));
    let expected = table_of(world.truth[shard]);
    if table == expected {
        return Ok(());
    }
    Err(format!("lost: the log of shard {shard} restores {table:?}, its outputs say {expected:?}"))
}

/// What an instance holds after its commit is what is committed.
pub fn memory_is_truth(world: &World, shard: usize, work: &Work) -> Result<(), String> {
    let (expected, inputs) = (table_of(world.truth[shard]), inputs_of(world.truth[shard]));
    if (work.table, work.source) == (expected, inputs) {
        return Ok(());
    }
    let held = (work.table, work.source);
    Err(format!("wrong state: shard {shard} is {held:?} in its owner's memory, committed {:?}", (expected, inputs)))
}

pub fn all_is_committed(world: &World) -> bool {
    let counted = |(truth, inputs): (&u8, u8)| inputs_of(*truth) == inputs;
    world.truth.iter().zip(world.inputs).all(counted) && !world.txns.iter().any(|txn| txn.has_outputs())
}
