//! Makes the attempts that are committed, on a thread of its own.
//!
//! It lives as long as the job, over all its attempts to run: where the engine goes back to the last commit while an item
//! is on its way, what came of that is still known afterwards.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_operators::{Answer, Attempt, Failure, Outcome, Timestamp};
use headwater_state::crash;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::figures::Figures;
use crate::connectors::Connector;
use crate::job_state::SharedLog;
use crate::report::Inbound;
use crate::{Error, Result, clock};

/// An attempt that is broken off has ended within this time, unless its connector blocks the thread.
const BREAK_OFF_TIME: Duration = Duration::from_secs(1);

/// Who else may deliver the same items.
pub(crate) enum Ownership {
    /// Nobody: the state directory is locked.
    Exclusive,
    /// Another instance, once this one is thought to be gone.
    Shared(Arc<dyn SharedLog>),
}

impl Ownership {
    /// Whether nobody else delivers, going by a commit that was begun at `confirmed`.
    fn is_fresh(&self, confirmed: Option<Instant>) -> bool {
        match self {
            Self::Exclusive => true,
            Self::Shared(log) => {
                confirmed.is_some_and(|confirmed| clock::now() - confirmed < log.owned_for()) && log.check().is_ok()
            }
        }
    }
}

/// An attempt: of which item, its number, and when it was decided on.
type Made = (u64, u32, Timestamp);

fn made<T>(attempt: &Attempt<T>) -> Made {
    (attempt.seq, attempt.number, attempt.at)
}

/// What the outbox, the coordinator and the thread that delivers share.
pub(super) struct Dispatcher<T> {
    board: Mutex<Board<T>>,
    wake: Notify,
    pub figures: Figures,
}

struct Board<T> {
    ownership: Ownership,
    /// When the last commit was begun.
    confirmed: Option<Instant>,
    /// Committed, and not begun.
    queue: VecDeque<Attempt<T>>,
    /// By item: attempts that were committed and whose outcome is not.
    known: HashMap<u64, Known>,
    /// Those among them whose outcome is there and the outbox has not heard of.
    untold: Vec<u64>,
    running: usize,
    /// What breaks attempts off that are under way.
    breaks: HashMap<Made, AbortHandle>,
    /// Nothing more is begun.
    closing: bool,
    /// And what was begun is broken off.
    broken_off: bool,
    /// The thread is to end.
    over: bool,
    /// The worker that owns the outbox.
    worker: Option<Sender<Inbound>>,
}

struct Known {
    number: u32,
    at: Timestamp,
    outcome: Option<Outcome>,
}

impl<T: Send + Sync + 'static> Dispatcher<T> {
    /// Starts the thread that delivers through `connector`. It ends with [`end`](Self::end).
    ///
    /// # Errors
    /// `Unavailable` where it cannot be started.
    pub fn start<C: Connector<T>>(id: &str, connector: Arc<C>, limits: Limits) -> Result<Arc<Self>> {
        let refused = |error| Error::unavailable("start a thread that delivers").caused_by(error);
        let dispatcher = Arc::new(Self {
            board: Mutex::new(Board {
                ownership: Ownership::Exclusive,
                confirmed: None,
                queue: VecDeque::new(),
                known: HashMap::new(),
                untold: Vec::new(),
                running: 0,
                breaks: HashMap::new(),
                closing: false,
                broken_off: false,
                over: false,
                worker: None,
            }),
            wake: Notify::new(),
            figures: Figures::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let shared = Arc::clone(&dispatcher);
        let body = move || runtime.block_on(deliver_all(shared, connector, limits));
        std::thread::Builder::new().name(format!("deliver-{id}")).spawn(body).map_err(refused)?;
        Ok(dispatcher)
    }

    fn board(&self) -> MutexGuard<'_, Board<T>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new attempt to run begins, as the owner that `ownership` says.
    pub fn open(&self, ownership: Ownership) {
        let mut board = self.board();
        (board.ownership, board.confirmed) = (ownership, None);
        (board.closing, board.broken_off) = (false, false);
    }

    /// The outbox is open, and these are its attempts under way. Those of which nothing is known here: what became of
    /// them nobody knows.
    pub fn reopen(&self, worker: Sender<Inbound>, under_way: &[Made]) -> Vec<Made> {
        let mut board = self.board();
        board.worker = Some(worker);
        let decided: HashSet<Made> = under_way.iter().copied().collect();
        board.known.retain(|seq, known| decided.contains(&(*seq, known.number, known.at)));
        board.queue.retain(|attempt| decided.contains(&made(attempt)));
        board.untold = board.known.iter().filter(|(_, known)| known.outcome.is_some()).map(|(seq, _)| *seq).collect();
        under_way.iter().filter(|(seq, ..)| !board.known.contains_key(seq)).copied().collect()
    }

    /// What came of attempts since this was asked last.
    pub fn answers(&self) -> Vec<Answer> {
        let mut board = self.board();
        let mut untold = std::mem::take(&mut board.untold);
        // The order in which they are settled is that in which they came into the outbox.
        untold.sort_unstable();
        let answer = |seq: u64| {
            let known = board.known.get(&seq)?;
            Some(Answer { seq, number: known.number, at: known.at, outcome: known.outcome.clone()? })
        };
        untold.into_iter().filter_map(answer).collect()
    }

    /// Whether nothing more is begun.
    pub fn is_closing(&self) -> bool {
        self.board().closing
    }

    /// A commit that was begun at `began` is done: the outcomes in `settled` are in it, and `attempts` may be made.
    pub fn committed(&self, began: Instant, settled: &[u64], attempts: Vec<Attempt<T>>) {
        let mut board = self.board();
        board.confirmed = Some(began);
        for seq in settled {
            board.known.remove(seq);
        }
        for attempt in attempts {
            board.known.insert(attempt.seq, Known { number: attempt.number, at: attempt.at, outcome: None });
            board.queue.push_back(attempt);
        }
        drop(board);
        self.wake.notify_one();
    }

    /// Begins nothing more.
    pub fn close(&self) {
        self.board().closing = true;
        self.wake.notify_one();
    }

    /// Waits until nothing is under way, until `deadline` at most, and breaks off what is then. Whether there are outcomes
    /// that are to be committed.
    pub fn linger(&self, deadline: Instant) -> bool {
        let is_quiet = || {
            let board = self.board();
            board.running == 0 && board.queue.is_empty()
        };
        clock::wait(deadline.saturating_duration_since(clock::now()), is_quiet);
        if !is_quiet() {
            let mut board = self.board();
            board.broken_off = true;
            board.breaks.drain().for_each(|(_, attempt)| attempt.abort());
            drop(board);
            // A connector that blocks its thread cannot be helped.
            clock::wait(BREAK_OFF_TIME, is_quiet);
        }
        !self.board().untold.is_empty()
    }

    /// An attempt is under way, and `attempt` breaks it off.
    fn begun(&self, made: Made, attempt: AbortHandle) {
        let mut board = self.board();
        if board.broken_off {
            attempt.abort();
        } else {
            board.breaks.insert(made, attempt);
        }
    }

    /// Ends the thread; what is under way is broken off.
    pub fn end(&self) {
        self.board().over = true;
        self.wake.notify_one();
    }

    /// The next attempt to make; `Ok(None)` where there is none now, `Err` where there is none any more.
    fn next(&self, concurrency: usize) -> Result<Option<Attempt<T>>, Over> {
        let mut board = self.board();
        if board.over {
            return Err(Over);
        }
        while board.running < concurrency {
            let Some(attempt) = board.queue.pop_front() else { return Ok(None) };
            if !board.closing && board.ownership.is_fresh(board.confirmed) {
                board.running += 1;
                return Ok(Some(attempt));
            }
            if !board.closing {
                tracing::warn!(
                    "an attempt is put off: the last commit is too old to be sure that this is the active instance"
                );
            }
            board.answer(made(&attempt), Outcome::NotMade);
        }
        Ok(None)
    }

    fn done(&self, made: Made, outcome: Outcome) {
        let mut board = self.board();
        board.running -= 1;
        board.breaks.remove(&made);
        board.answer(made, outcome);
        drop(board);
        self.wake.notify_one();
    }

    async fn deliver<C: Connector<T>>(&self, connector: Arc<C>, attempt: Attempt<T>, timeout: Duration) -> Outcome {
        crash::point("outbox.begun");
        let which = made(&attempt);
        // A task of its own, so that a panic ends this attempt only.
        let task = tokio::spawn(async move { clock::within(timeout, connector.deliver(&attempt)).await });
        self.begun(which, task.abort_handle());
        let result = task.await;
        crash::point("outbox.made");
        match result {
            Ok(Some(Ok(()))) => Outcome::Delivered,
            Ok(Some(Err(failure))) => Outcome::Failed(failure),
            Ok(None) => Outcome::Failed(Failure::transient(format!(
                "no answer within {}; it may have been delivered",
                headwater_operators::time::span(timeout)
            ))),
            Err(error) if error.is_cancelled() => {
                Outcome::Failed(Failure::unknown("broken off when the job was stopped; it may have been delivered"))
            }
            Err(panic) => Outcome::Failed(Failure::transient("the connector panicked").caused_by(&panic)),
        }
    }
}

/// The thread is to end.
struct Over;

impl<T> Board<T> {
    fn answer(&mut self, (seq, number, at): Made, outcome: Outcome) {
        let known = self.known.get_mut(&seq).filter(|known| (known.number, known.at) == (number, at));
        // It was given up meanwhile.
        let Some(known) = known else { return };
        known.outcome = Some(outcome);
        self.untold.push(seq);
        if let Some(worker) = &self.worker {
            // One that has stopped needs no waking.
            worker.send(Inbound::Wake).ok();
        }
    }
}

/// What a connector is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Attempts at once.
    pub concurrency: usize,
    /// How long each may take.
    pub timeout: Duration,
}

async fn deliver_all<T, C>(dispatcher: Arc<Dispatcher<T>>, connector: Arc<C>, limits: Limits)
where
    T: Send + Sync + 'static,
    C: Connector<T>,
{
    loop {
        match dispatcher.next(limits.concurrency) {
            Ok(Some(attempt)) => {
                let (dispatcher, connector) = (Arc::clone(&dispatcher), Arc::clone(&connector));
                tokio::spawn(async move {
                    let made = made(&attempt);
                    let outcome = dispatcher.deliver(connector, attempt, limits.timeout).await;
                    dispatcher.done(made, outcome);
                });
            }
            Ok(None) => dispatcher.wake.notified().await,
            Err(Over) => return,
        }
    }
}
