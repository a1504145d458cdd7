//! Sends every row to the owner of its key's shard.

use std::sync::Arc;

use headwater_state::{Error, Result, Shard};

use crate::{Batch, Keying, Message, Output, Progress, Records};

/// Computes the keys' hashes and sends every row to the output that owns its shard, in order; control goes to all.
/// With one output it only adds the hashes.
pub struct Exchange<R, G> {
    keying: Arc<G>,
    /// Shard → output.
    owners: Arc<[u16]>,
    outputs: Vec<Box<dyn Output<R>>>,
    part_of: Vec<u16>,
}

impl<R: Records, G: Keying<R>> Exchange<R, G> {
    /// An exchange among `outputs`: the rows of shard `s` go to output `owners[s]`.
    ///
    /// # Errors
    /// `Bug` where an owner is not among the outputs.
    pub fn new(keying: Arc<G>, owners: Arc<[u16]>, outputs: Vec<Box<dyn Output<R>>>) -> Result<Self> {
        if owners.is_empty() || owners.iter().any(|&owner| usize::from(owner) >= outputs.len()) {
            return Err(Error::bug(format!("shards are owned by {owners:?}, there are {} outputs", outputs.len())));
        }
        Ok(Self { keying, owners, outputs, part_of: Vec::new() })
    }

    fn batch(&mut self, mut batch: Batch<R>) -> Result<()> {
        batch.hashes.clear();
        batch.hashes.reserve(batch.len());
        self.keying.hashes(&batch.records, &mut batch.hashes)?;
        if let [only] = self.outputs.as_mut_slice() {
            return only.send(Message::Batch(batch));
        }
        let shards = self.owners.len() as u16;
        self.part_of.clear();
        let owners = &*self.owners;
        self.part_of.extend(batch.hashes.iter().map(|&hash| owners[usize::from(Shard::of(hash, shards).0)]));
        let Some(&first) = self.part_of.first() else { return Ok(()) };
        if self.part_of.iter().all(|&part| part == first) {
            return self.outputs[usize::from(first)].send(Message::Batch(batch));
        }
        let parts = batch.divide(&self.part_of, self.outputs.len())?;
        for (part, output) in parts.into_iter().zip(&mut self.outputs) {
            if !part.is_empty() {
                output.send(Message::Batch(part))?;
            }
        }
        Ok(())
    }
}

impl<R: Records, G: Keying<R>> Output<R> for Exchange<R, G> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        match message {
            Message::Batch(batch) => self.batch(batch),
            control => send_to_all(&control, self.outputs.iter_mut().map(|output| &mut **output)),
        }
    }

    fn work(&mut self) -> Result<Progress> {
        work_of_all(self.outputs.iter_mut().map(|output| &mut **output))
    }
}

/// Sends a control message to each of several outputs. A batch goes to none.
pub(crate) fn send_to_all<'a, R: 'a>(
    message: &Message<R>,
    outputs: impl Iterator<Item = &'a mut (dyn Output<R> + 'static)>,
) -> Result<()> {
    for output in outputs {
        if let Some(copy) = message.control() {
            output.send(copy)?;
        }
    }
    Ok(())
}

/// Lets each of several outputs do a piece of its work.
pub(crate) fn work_of_all<'a, R: 'a>(
    outputs: impl Iterator<Item = &'a mut (dyn Output<R> + 'static)>,
) -> Result<Progress> {
    let mut progress = Progress::Done;
    for output in outputs {
        if output.work()? == Progress::Pending {
            progress = Progress::Pending;
        }
    }
    Ok(progress)
}
