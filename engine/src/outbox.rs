//! The last step of a pipeline that reaches the world outside: `.deliver(…)`.

mod courier;
mod dispatcher;
mod figures;
mod task;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_operators::{Naming, OutboxPolicy, OutboxState, Retry, Throttle, outbox_table};
use headwater_state::{Text, Value};

use crate::connectors::Connector;
use crate::format::Json;
use crate::graph::{Edge, Node, OutboxRole, OutputPort, Role, erase, typed};
use crate::sink::SinkCommitter;
use crate::{DeadLetter, Error, Result, Stream, Topic};
use courier::Courier;
pub(crate) use dispatcher::Ownership;
use dispatcher::{Dispatcher, Limits};
use task::Task;

/// Where items wait until a [`Connector`] has delivered them: an outbox.
///
/// Its items are state. An attempt is committed before it is made and its outcome with a later commit, so nothing is
/// sent for work that is not committed, nothing committed is lost, and no crash makes more attempts than the schedule
/// has. What is sent twice, because the process ended before it learned the outcome, has the same
/// [idempotency key](Self::idempotency_key).
///
/// An attempt that fails is made again by the [schedule](Self::retry), and after the last one the item goes to the dead
/// letters: to the topic `ID.dead-letters` unless [another](Self::dead_letters) is named. Where nobody answers at all,
/// items wait, and one of them asks again from time to time; that counts as no attempt.
///
/// ```
/// use headwater::prelude::*;
///
/// struct Printer;
///
/// impl Connector<String> for Printer {
///     fn describe(&self) -> String {
///         "a printer".to_owned()
///     }
///     async fn deliver(&self, attempt: &Attempt<String>) -> Result<(), Failure> {
///         eprintln!("{}", attempt.item);
///         Ok(())
///     }
/// }
///
/// let job = Job::new("greetings");
/// job.source(Topic::lines::<String>("names")).map(|name| format!("Hello {name}")).deliver(
///     Outbox::new("printer", Printer)
///         .retry(Retry::exponential(Duration::from_secs(1), 8))
///         .throttle(Throttle::per_second(5.0))
///         .in_order_by(|greeting| greeting.clone()),
/// );
/// # job.check()?;
/// # Ok::<(), Error>(())
/// ```
pub struct Outbox<T, C> {
    id: String,
    connector: C,
    policy: OutboxPolicy,
    naming: Naming<T>,
    limits: Limits,
    dead_letters: Option<Topic<DeadLetter>>,
}

impl<T: 'static, C: Connector<T>> Outbox<T, C> {
    /// An outbox that delivers through `connector`. `id` names its state, its dead letters and its metrics.
    pub fn new(id: impl Into<String>, connector: C) -> Self {
        Self {
            id: id.into(),
            connector,
            policy: OutboxPolicy::default(),
            naming: Naming::new(""),
            limits: Limits { concurrency: 16, timeout: Duration::from_secs(10) },
            dead_letters: None,
        }
    }

    /// When attempts are made, and how many: at once and after 1 s, 5 s and 30 s unless said otherwise.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.policy.retry = retry;
        self
    }

    /// How many attempts are begun in a second, for the whole job.
    #[must_use]
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.policy.throttle = Some(throttle);
        self
    }

    /// How long an attempt may take: 10 s unless said otherwise. Then it has failed, and may have been delivered.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// How many attempts are under way at once: 16 unless said otherwise.
    #[must_use]
    pub fn concurrency(mut self, attempts: usize) -> Self {
        self.limits.concurrency = attempts;
        self
    }

    /// Items that have waited for longer go to the dead letters: a day unless said otherwise.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.policy.max_age = age;
        self
    }

    /// How many items wait before the job's inputs pause: 100,000 unless said otherwise. What was read already still
    /// comes in. Each takes about 200 bytes of memory beside what it takes as state.
    #[must_use]
    pub fn bound(mut self, items: usize) -> Self {
        self.policy.bound = items;
        self
    }

    /// The key by which a receiver knows an item that it has already. Without it, it is made of the names of the job and
    /// the outbox, the time of its first item and the item's number: the same for all attempts of an item, also after a
    /// crash, but not for the same item of a job that starts over.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        self.naming.key = Some(Arc::new(key));
        self
    }

    /// Items for which this is the same are delivered one after the other, in the order in which they came: the next
    /// one when the one before is delivered, or dead.
    #[must_use]
    pub fn in_order_by<N: Into<Text>>(mut self, order: impl Fn(&T) -> N + Send + Sync + 'static) -> Self {
        self.naming.order = Some(Arc::new(move |item| order(item).into()));
        self
    }

    /// Items with a higher number go first, among those that may go. 0 without it.
    #[must_use]
    pub fn priority(mut self, priority: impl Fn(&T) -> u8 + Send + Sync + 'static) -> Self {
        self.naming.priority = Some(Arc::new(priority));
        self
    }

    /// The topic that items go to which are not delivered, instead of `ID.dead-letters`.
    #[must_use]
    pub fn dead_letters(mut self, topic: Topic<DeadLetter>) -> Self {
        self.dead_letters = Some(topic);
        self
    }

    fn mistake(&self) -> Option<&'static str> {
        match self.limits {
            Limits { concurrency: 0, .. } => Some("it makes 0 attempts at once"),
            Limits { timeout: Duration::ZERO, .. } => Some("its attempts may take no time"),
            _ => self.policy.mistake(),
        }
    }

    fn detail(&self) -> String {
        let attempts = self.policy.retry.attempts();
        let throttle = self.policy.throttle.map_or_else(String::new, |throttle| format!(", at most {throttle}"));
        format!("to {}, {attempts} attempts{throttle}", self.connector.describe())
    }
}

/// Places of an attempt where a crash test can end the process, in their order; see
/// [`state::CRASH_POINTS`](crate::state::CRASH_POINTS).
#[cfg(feature = "failpoints")]
pub const OUTBOX_CRASH_POINTS: [&str; 6] =
    ["outbox.decided", "outbox.committed", "outbox.begun", "outbox.made", "outbox.settled", "outbox.remembered"];

/// Ends the thread that delivers when the job is gone.
struct Running<T: Send + Sync + 'static>(Arc<Dispatcher<T>>);

impl<T: Send + Sync + 'static> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<T: Value + Clone + Sync> Stream<Vec<T>> {
    /// Ends the stream in an outbox: each record is delivered to the world outside, after its epoch has committed.
    pub fn deliver<C: Connector<T>>(self, outbox: Outbox<T, C>) {
        if let Some(mistake) = outbox.mistake() {
            self.mistake(format!("outbox `{}`: {mistake}", outbox.id));
        }
        // One worker owns all items, so that throttle, order and bound hold for the job.
        let home = Text::from(outbox.id.as_str());
        let stream = self.key_by(move |_| home.clone()).records();
        let (id, detail) = (outbox.id.clone(), outbox.detail());
        let dead_letters = outbox.dead_letters.clone();
        let dead_letters = dead_letters.unwrap_or_else(|| Topic::json(format!("{id}.dead-letters")));
        let Outbox { connector, policy, mut naming, limits, .. } = outbox;
        let connector = Arc::new(connector);
        let lanes = Arc::clone(&connector);
        naming.lane = Arc::new(move |item| Text::from(lanes.lane(item)));
        let running: Arc<OnceLock<Running<T>>> = Arc::default();
        let started = {
            let (running, connector, id) = (Arc::clone(&running), Arc::clone(&connector), id.clone());
            move || -> Result<Arc<Dispatcher<T>>> {
                if let Some(running) = running.get() {
                    return Ok(Arc::clone(&running.0));
                }
                let dispatcher = Dispatcher::start(&id, Arc::clone(&connector), limits)?;
                Ok(Arc::clone(&running.get_or_init(|| Running(dispatcher)).0))
            }
        };
        let role = OutboxRole {
            id: id.clone(),
            dead_letters: dead_letters.name().to_owned(),
            check: {
                let connector = Arc::clone(&connector);
                Arc::new(move || connector.check().map(|()| connector.describe()))
            },
            open: Arc::new(move |ownership| {
                let dispatcher = started()?;
                dispatcher.open(ownership);
                Ok(Box::new(Courier::new(dispatcher)) as Box<dyn SinkCommitter>)
            }),
            measures: {
                let running = Arc::clone(&running);
                Arc::new(move || running.get().map_or_else(Vec::new, |running| running.0.figures.measures()))
            },
        };
        let node = Node {
            id: id.clone(),
            verb: "deliver",
            detail,
            inputs: vec![stream.edge],
            outputs: vec![OutputPort::timed(false)],
            tables: vec![outbox_table::<T>(&id)],
            setting: String::new(),
            role: Role::Outbox(role),
            build: Arc::new(move |build, mut nexts| {
                let dead_letters = typed::<Vec<DeadLetter>>(nexts.pop())?;
                let lost = || Error::bug("an outbox was not opened");
                let dispatcher = Arc::clone(&running.get().ok_or_else(lost)?.0);
                let policy = OutboxPolicy { delivers: build.delivers, ..policy.clone() };
                let naming = Naming { job: build.job.clone(), ..naming.clone() };
                let state = OutboxState::open(&id, policy, naming, &build.local)?;
                let task = Task::new(build, state, dispatcher, dead_letters, limits.concurrency)?;
                Ok(vec![erase::<Vec<T>>(build.named(task))])
            }),
        };
        let node = stream.graph.borrow_mut().add(node);
        Stream::<Vec<DeadLetter>>::new(stream.graph, Edge { node, output: 0 }).sink::<Json>(dead_letters);
    }
}
