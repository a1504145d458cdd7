//! Carries attempts from the outbox's worker to the thread that delivers, when their epoch has committed.

use std::sync::Arc;
use std::time::Instant;

use headwater_operators::Attempt;
use headwater_state::crash;

use super::dispatcher::Dispatcher;
use crate::sink::{Chunk, SinkCommitter};
use crate::{Error, Result, clock};

/// What an epoch decided on: attempts to be made, and items whose attempts are settled.
pub(super) struct Parcel<T> {
    pub attempts: Vec<Attempt<T>>,
    pub settled: Vec<u64>,
}

impl<T> Default for Parcel<T> {
    fn default() -> Self {
        Self { attempts: Vec::new(), settled: Vec::new() }
    }
}

/// The committing end of an outbox.
pub(super) struct Courier<T> {
    dispatcher: Arc<Dispatcher<T>>,
    parcel: Parcel<T>,
    began: Instant,
}

impl<T> Courier<T> {
    pub fn new(dispatcher: Arc<Dispatcher<T>>) -> Self {
        Self { dispatcher, parcel: Parcel::default(), began: clock::now() }
    }
}

impl<T: Send + Sync + 'static> SinkCommitter for Courier<T> {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        let parcel = chunk.typed.and_then(|typed| typed.downcast::<Parcel<T>>().ok());
        let parcel = parcel.ok_or_else(|| Error::bug("an outbox was sent what it does not take"))?;
        self.parcel.attempts.extend(parcel.attempts);
        self.parcel.settled.extend(parcel.settled);
        Ok(())
    }

    fn prepare(&mut self) -> Result<String> {
        self.began = clock::now();
        Ok(String::new())
    }

    fn committed(&mut self) -> Result<()> {
        let Parcel { attempts, settled } = std::mem::take(&mut self.parcel);
        if !attempts.is_empty() {
            crash::point("outbox.committed");
        }
        self.dispatcher.committed(self.began, &settled, attempts);
        if !settled.is_empty() {
            crash::point("outbox.remembered");
        }
        Ok(())
    }

    fn close(&mut self) {
        self.dispatcher.close();
    }

    fn linger(&mut self, deadline: Instant) -> bool {
        self.dispatcher.linger(deadline)
    }
}
