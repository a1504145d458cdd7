//! Brings tables level with a log: while commits are read, earlier ones are merged and written, each on a thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope};

use headwater_state::{Bulk, Commit, Store};

use super::session::bytes_of;
use crate::{Error, Result};

/// Bytes of blocks that are merged and written at once. There are three times as many in memory: the threads hand them
/// over without a queue.
const SLICE_BYTES: usize = 64 << 20;
/// So many slices are applied before tables are put in order. More of them would make reading slow, and writing wait.
const UNTIDY_MAX: usize = 32;

/// Takes commits on their way into the tables.
pub(super) struct Filling {
    slice: Vec<Commit>,
    bytes: usize,
    slices: SyncSender<Vec<Commit>>,
}

/// Has `read` give commits, oldest first. What it gave is in the tables when this returns.
///
/// # Errors
/// What writing reports, else what `read` does.
pub(super) fn fill(store: &dyn Store, read: impl FnOnce(&mut Filling) -> Result<()>) -> Result<()> {
    scope(|scope| {
        let (slices, to_merge) = sync_channel(0);
        let (merged, to_write) = sync_channel(0);
        let merging = start(scope, "merge", move || merge(&to_merge, &merged))?;
        let writing = start(scope, "fill", move || write(store, &to_write))?;
        let mut filling = Filling { slice: Vec::new(), bytes: 0, slices };
        let read = read(&mut filling).and_then(|()| filling.flush());
        drop(filling);
        // Where one of them failed, those before it could not go on.
        join(writing)?;
        join(merging)?;
        read
    })
}

impl Filling {
    /// Takes the next commit; waits while those before are still on their way.
    ///
    /// # Errors
    /// `Unavailable` where writing has failed; [`fill`] says why.
    pub fn add(&mut self, commit: Commit) -> Result<()> {
        self.bytes += bytes_of(&commit);
        self.slice.push(commit);
        if self.bytes < SLICE_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let slice = std::mem::take(&mut self.slice);
        if slice.is_empty() {
            return Ok(());
        }
        self.slices.send(slice).map_err(|_| Error::unavailable("the tables take no more"))
    }
}

/// Merges slices until there are no more, or nobody takes them.
fn merge(slices: &Receiver<Vec<Commit>>, merged: &SyncSender<Bulk>) -> Result<()> {
    for slice in slices {
        if merged.send(Bulk::merge(&slice)?).is_err() {
            break;
        }
    }
    Ok(())
}

/// Applies what was merged.
fn write(store: &dyn Store, merged: &Receiver<Bulk>) -> Result<()> {
    let mut tidies = true;
    for (number, bulk) in merged.iter().enumerate() {
        // One or two slices are less than it costs to say so.
        let wanted = !(2..UNTIDY_MAX).contains(&number);
        if tidies != wanted {
            store.tidies(wanted)?;
            tidies = wanted;
        }
        store.apply(&bulk)?;
    }
    if tidies { Ok(()) } else { store.tidies(true) }
}

fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    run: impl FnOnce() -> Result<()> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<()>>> {
    let failed = |error| Error::unavailable(format!("start the {name} thread")).caused_by(error);
    Builder::new().name(name.to_owned()).spawn_scoped(scope, run).map_err(failed)
}

fn join(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().unwrap_or_else(|_| Err(Error::bug("a thread that fills the tables panicked")))
}

#[cfg(test)]
mod tests {
    use headwater_state::{Epoch, MemoryStore, Store as _};

    use super::*;
    use crate::Kind;

    fn empty(epoch: u64) -> Commit {
        Commit { epoch: Epoch(epoch), blocks: Vec::new(), marker: Vec::new() }
    }

    #[test]
    fn tables_reach_the_last_commit_that_was_given() {
        let store = MemoryStore::default();
        fill(&store, |filling| (1..=3).try_for_each(|epoch| filling.add(empty(epoch)))).unwrap();
        assert_eq!(store.durable(), Epoch(3));
    }

    #[test]
    fn what_merging_says_is_the_error() {
        let store = MemoryStore::default();
        let wrong_order = fill(&store, |filling| {
            filling.add(empty(2))?;
            filling.add(empty(1))
        });
        assert_eq!(wrong_order.unwrap_err().kind(), Kind::Bug);
    }

    #[test]
    fn what_was_read_before_an_error_may_be_written() {
        let store = MemoryStore::default();
        let fenced = fill(&store, |filling| {
            filling.add(empty(1))?;
            Err(Error::new(Kind::Fenced, "another one came"))
        });
        assert_eq!(fenced.unwrap_err().kind(), Kind::Fenced);
    }
}
