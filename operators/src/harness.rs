//! Runs operators in a test: one worker, no thread, a clock set by hand, and crashes at will.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use headwater_state::{BlockLog, Commit, Epoch, LocalOptions, LocalState, MemoryStore, Note, Shard, recover};

use crate::{Activity, Batch, Chain, Error, Message, Operator, Origin, Output, Progress, Records, Result, Timestamp};

/// What a [`Harness`] is run with.
#[derive(Clone, Copy, Debug)]
pub struct HarnessOptions {
    /// How many shards keys are divided into.
    pub shards: u16,
    /// How many bytes of decoded values may stay in memory.
    pub memory_bytes: usize,
    /// How many rows go into one batch.
    pub batch_rows: usize,
}

impl Default for HarnessOptions {
    fn default() -> Self {
        Self { shards: 4, memory_bytes: 64 << 20, batch_rows: 1024 }
    }
}

/// Runs operators in a test: pushes messages in, collects what comes out, commits and crashes.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use headwater_operators::{Count, Counter, KeyBy, OnClose, Timestamp, Tumbling, WindowAggregate, harness::Harness};
///
/// let counts = WindowAggregate {
///     id: "counts".to_owned(),
///     keying: Arc::new(KeyBy::new(|n: &u32| n % 2)),
///     windows: Arc::new(Tumbling::seconds(10)),
///     aggregate: Arc::new(Count),
///     trigger: Arc::new(OnClose),
///     allowed_lateness: Duration::ZERO,
/// };
/// let mut harness = Harness::of(move |local| counts.open(local, None, Counter::new()))?;
/// let at = Timestamp::from_seconds;
/// harness.timed([(at(1), 1), (at(2), 2)])?;
/// harness.commit()?;
/// harness.timed([(at(3), 3)])?;
/// harness.crash()?;                      // 3 was not committed: it is as if it had never come
/// harness.timed([(at(4), 4)])?;
/// harness.watermark(at(10))?;
/// let mut panes: Vec<_> = harness.take().into_iter().map(|pane| (pane.key, pane.value)).collect();
/// panes.sort();
/// assert_eq!(panes, [(0, 2), (1, 1)]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub struct Harness<I, O> {
    build: Box<Build<I, O>>,
    options: HarnessOptions,
    store: MemoryStore,
    notes: Vec<Note>,
    local: LocalState,
    pipeline: Box<dyn Output<I>>,
    collected: Collected<O>,
    origins: Vec<Arc<str>>,
}

type Build<I, O> = dyn Fn(&LocalState, Box<dyn Output<O>>) -> Result<Box<dyn Output<I>>>;

impl<I: Records, O: 'static> Harness<I, O> {
    /// Runs one operator, which `open` makes now and again after each crash.
    ///
    /// # Errors
    /// What `open` returns.
    pub fn of<P: Operator<I, O> + 'static>(open: impl Fn(&LocalState) -> Result<P> + 'static) -> Result<Self> {
        Self::new(move |local, next| Ok(Box::new(Chain::new(open(local)?, next))))
    }

    /// Runs what `build` puts in front of the given output, now and again after each crash.
    ///
    /// # Errors
    /// What `build` returns.
    pub fn new(
        build: impl Fn(&LocalState, Box<dyn Output<O>>) -> Result<Box<dyn Output<I>>> + 'static,
    ) -> Result<Self> {
        Self::with(HarnessOptions::default(), build)
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Errors
    /// What `build` returns.
    pub fn with(
        options: HarnessOptions,
        build: impl Fn(&LocalState, Box<dyn Output<O>>) -> Result<Box<dyn Output<I>>> + 'static,
    ) -> Result<Self> {
        let (store, notes, collected) = (MemoryStore::new(), Vec::new(), Collected::new());
        let local = local_state(&store, options, &notes)?;
        let pipeline = build(&local, Box::new(collected.clone()))?;
        let build = Box::new(build);
        Ok(Self { build, options, store, notes, local, pipeline, collected, origins: Vec::new() })
    }

    /// Pushes a message in and nothing else: what is pending stays so until [`work`](Self::work).
    ///
    /// # Errors
    /// The operators'.
    pub fn push(&mut self, message: Message<I>) -> Result<()> {
        self.pipeline.send(message)
    }

    /// Does one bounded piece of what is pending.
    ///
    /// # Errors
    /// The operators'.
    pub fn work(&mut self) -> Result<Progress> {
        self.pipeline.work()
    }

    /// Works until nothing is pending.
    ///
    /// # Errors
    /// The operators', and `Bug` where it never ends.
    pub fn settle(&mut self) -> Result<()> {
        const PIECES_MAX: usize = 1_000_000;
        for _ in 0..PIECES_MAX {
            if self.work()? == Progress::Done {
                return Ok(());
            }
        }
        Err(Error::bug(format!("work was still pending after {PIECES_MAX} pieces")))
    }

    fn push_and_settle(&mut self, message: Message<I>) -> Result<()> {
        self.push(message)?;
        self.settle()
    }

    /// Announces a source partition; rows come from the one announced first.
    ///
    /// # Errors
    /// The operators'.
    pub fn origin(&mut self, name: &str) -> Result<()> {
        self.origins.push(name.into());
        self.activity(name, Activity::Active)
    }

    /// Says what a source partition is doing.
    ///
    /// # Errors
    /// The operators', and `Config` where it was not announced.
    pub fn activity(&mut self, name: &str, activity: Activity) -> Result<()> {
        let known = (0..).zip(&self.origins).find(|(_, known)| &***known == name);
        let Some((id, known)) = known else { return Err(Error::config(format!("no origin was announced as {name}"))) };
        let origin = Origin { id, name: Arc::clone(known) };
        self.push_and_settle(Message::Origin(origin, activity))
    }

    /// The watermark reaches `watermark`.
    ///
    /// # Errors
    /// The operators'.
    pub fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.push_and_settle(Message::Watermark(watermark))
    }

    /// The wall clock says `now`.
    ///
    /// # Errors
    /// The operators'.
    pub fn tick(&mut self, now: Timestamp) -> Result<()> {
        self.push_and_settle(Message::Tick(now))
    }

    /// The input ends. A watermark at the end of time comes first where `build` made no event time.
    ///
    /// # Errors
    /// The operators'.
    pub fn end(&mut self) -> Result<()> {
        self.push_and_settle(Message::End)
    }

    /// Ends the epoch and commits it: its outputs stay, whatever happens.
    ///
    /// # Errors
    /// The operators' and the store's.
    pub fn commit(&mut self) -> Result<()> {
        let epoch = self.local.epoch();
        self.push(Message::Barrier(epoch))?;
        let changes = self.local.finish_epoch()?;
        self.store.append(&Commit { epoch, blocks: changes.blocks, marker: Vec::new() })?;
        self.local.begin_epoch();
        self.notes = changes.notes;
        self.collected.commit();
        Ok(())
    }

    /// Brings the tables up to the last commit, so that values may leave the memory.
    ///
    /// # Errors
    /// The store's.
    pub fn write_back(&mut self) -> Result<()> {
        recover(&self.store, &self.store).map(|_| ())
    }

    /// Drops everything since the last commit, outputs not yet taken included, and opens the operators again. Source
    /// partitions are announced again.
    ///
    /// # Errors
    /// The operators' and the store's.
    pub fn crash(&mut self) -> Result<()> {
        self.collected.abort();
        self.local = local_state(&self.store, self.options, &self.notes)?;
        self.pipeline = (self.build)(&self.local, Box::new(self.collected.clone()))?;
        for name in self.origins.clone() {
            self.activity(&name, Activity::Active)?;
        }
        Ok(())
    }

    /// Takes the messages that came out.
    pub fn take_messages(&mut self) -> Vec<Message<O>> {
        self.collected.take_messages()
    }

    /// The worker's state.
    pub fn local(&self) -> &LocalState {
        &self.local
    }

    /// The committed notes.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The store that outlives a crash.
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }
}

impl<T: Send + 'static, O: 'static> Harness<Vec<T>, O> {
    /// Sends records that have no time yet.
    ///
    /// # Errors
    /// The operators'.
    pub fn rows(&mut self, rows: impl IntoIterator<Item = T>) -> Result<()> {
        self.timed(rows.into_iter().map(|row| (Timestamp::MIN, row)))
    }

    /// Sends records with their times.
    ///
    /// # Errors
    /// The operators'.
    pub fn timed(&mut self, rows: impl IntoIterator<Item = (Timestamp, T)>) -> Result<()> {
        let mut rows = rows.into_iter();
        loop {
            let (times, records): (Vec<_>, Vec<_>) = rows.by_ref().take(self.options.batch_rows.max(1)).unzip();
            if times.is_empty() {
                return Ok(());
            }
            self.push_and_settle(Message::Batch(Batch::new(records, times)))?;
        }
    }
}

impl<I: Records, T: 'static> Harness<I, Vec<T>> {
    /// Takes the records that came out.
    pub fn take(&mut self) -> Vec<T> {
        self.collected.take()
    }
}

fn local_state(store: &MemoryStore, options: HarnessOptions, notes: &[Note]) -> Result<LocalState> {
    let committed = recover(store, store)?.map_or(Epoch(0), |(epoch, _)| epoch);
    let HarnessOptions { shards, memory_bytes, .. } = options;
    let owned = (0..shards).map(Shard).collect();
    let options = LocalOptions { shards, owned, committed, memory_bytes };
    Ok(LocalState::new(Arc::new(store.clone()), options, notes.to_vec()))
}

/// Collects what is sent to it. A handle: clones collect together.
pub struct Collected<R> {
    held: Rc<RefCell<Held<R>>>,
}

struct Held<R> {
    messages: Vec<Message<R>>,
    /// How many of them are committed.
    committed: usize,
}

/// An output that collects what is sent to it, and the handle to take that from.
pub fn collector<R>() -> (Collected<R>, Collected<R>) {
    let collected = Collected::new();
    (collected.clone(), collected)
}

impl<R> Collected<R> {
    fn new() -> Self {
        Self { held: Rc::new(RefCell::new(Held { messages: Vec::new(), committed: 0 })) }
    }

    /// What was collected so far stays.
    pub fn commit(&self) {
        let mut held = self.held.borrow_mut();
        held.committed = held.messages.len();
    }

    /// Forgets what was collected since the last commit.
    pub fn abort(&self) {
        let mut held = self.held.borrow_mut();
        let committed = held.committed;
        held.messages.truncate(committed);
    }

    /// Takes the messages that came.
    pub fn take_messages(&self) -> Vec<Message<R>> {
        let mut held = self.held.borrow_mut();
        held.committed = 0;
        std::mem::take(&mut held.messages)
    }
}

impl<T> Collected<Vec<T>> {
    /// Takes the records that came; control messages are dropped.
    pub fn take(&self) -> Vec<T> {
        let batches = self.take_messages().into_iter().filter_map(|message| match message {
            Message::Batch(batch) => Some(batch.records),
            _ => None,
        });
        batches.flatten().collect()
    }
}

impl<R> Clone for Collected<R> {
    fn clone(&self) -> Self {
        Self { held: Rc::clone(&self.held) }
    }
}

impl<R> Output<R> for Collected<R> {
    fn send(&mut self, message: Message<R>) -> Result<()> {
        self.held.borrow_mut().messages.push(message);
        Ok(())
    }

    fn work(&mut self) -> Result<Progress> {
        Ok(Progress::Done)
    }
}
