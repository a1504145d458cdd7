//! The last step of a pipeline that reaches the world outside: `.deliver(…)`.

mod courier;
mod dispatcher;
mod figures;
mod task;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_operators::{Entry, Map, Naming, OutboxPolicy, OutboxState, Retry, Throttle, outbox_table};
use headwater_state::{Text, Value};

use crate::connectors::Connector;
use crate::graph::{Edge, Node, OutboxRole, OutputPort, Role, erase, typed};
use crate::letters::{self, Redecode};
use crate::sink::SinkCommitter;
use crate::{DeadLetter, Error, Result, Stream, Topic};
use courier::Courier;
pub(crate) use dispatcher::Ownership;
use dispatcher::{Dispatcher, Limits};
use task::{Task, WINDOW_MAX};

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
    /// comes in. Each takes about 200 bytes of memory beside what it takes as state, and 400 where each has an
    /// [order](Self::in_order_by) of its own.
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
        self.naming.order = Some(Arc::new(move |item| Some(order(item).into())));
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
            Limits { concurrency, .. } if concurrency > WINDOW_MAX => Some("it makes more than 4,096 attempts at once"),
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

/// A connector, and the thread that delivers through it once it is needed. The thread ends with this.
struct Post<T: Send + Sync + 'static, C> {
    id: String,
    connector: Arc<C>,
    limits: Limits,
    dispatcher: OnceLock<Arc<Dispatcher<T>>>,
}

impl<T: Send + Sync + 'static, C> Drop for Post<T, C> {
    fn drop(&mut self) {
        if let Some(dispatcher) = self.dispatcher.get() {
            dispatcher.end();
        }
    }
}

impl<T: Send + Sync + 'static, C: Connector<T>> Post<T, C> {
    fn open(&self, ownership: Ownership) -> Result<Box<dyn SinkCommitter>> {
        let dispatcher = match self.dispatcher.get() {
            Some(dispatcher) => Arc::clone(dispatcher),
            None => {
                let dispatcher = Dispatcher::start(&self.id, Arc::clone(&self.connector), self.limits)?;
                Arc::clone(self.dispatcher.get_or_init(|| dispatcher))
            }
        };
        dispatcher.open(ownership);
        Ok(Box::new(Courier::new(dispatcher)))
    }

    fn role(self: &Arc<Self>, dead_letters: Option<String>) -> OutboxRole {
        let (checked, opened, measured) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        OutboxRole {
            id: self.id.clone(),
            dead_letters,
            check: Arc::new(move || checked.connector.check().map(|()| checked.connector.describe())),
            open: Arc::new(move |ownership| opened.open(ownership)),
            measures: Arc::new(move || {
                measured.dispatcher.get().map_or_else(Vec::new, |dispatcher| dispatcher.figures.measures())
            }),
        }
    }
}

impl<T: Value + Sync, C: Connector<T>> Outbox<T, C> {
    /// The step that it is in a graph.
    fn into_node(self, input: Edge, dead_letters: Option<String>) -> Node {
        let (id, detail) = (self.id.clone(), self.detail());
        let Self { connector, policy, mut naming, limits, .. } = self;
        let connector = Arc::new(connector);
        let lanes = Arc::clone(&connector);
        let orders = Arc::clone(&connector);
        naming.lane = Arc::new(move |item| Text::from(lanes.lane(item)));
        naming.order = naming.order.or_else(|| Some(Arc::new(move |item| orders.order(item).map(Text::from))));
        let post = Arc::new(Post { id: id.clone(), connector, limits, dispatcher: OnceLock::new() });
        Node {
            id: id.clone(),
            verb: "deliver",
            detail,
            inputs: vec![input],
            outputs: vec![OutputPort::timed(false)],
            tables: vec![outbox_table(&id)],
            setting: String::new(),
            role: Role::Outbox(post.role(dead_letters)),
            build: Arc::new(move |build, mut nexts| {
                let dead_letters = typed::<Vec<DeadLetter>>(nexts.pop())?;
                let dispatcher = post.dispatcher.get().ok_or_else(|| Error::bug("an outbox was not opened"))?;
                let policy = OutboxPolicy { delivers: build.delivers, ..policy.clone() };
                let naming = Naming { job: build.job.clone(), ..naming.clone() };
                let state = OutboxState::open(&id, policy, naming, &build.local)?;
                let task = Task::new(build, state, Arc::clone(dispatcher), dead_letters, limits.concurrency);
                Ok(vec![erase::<Vec<Entry<T>>>(build.named(task))])
            }),
        }
    }
}

impl<T: Value + Sync> Stream<Vec<T>> {
    /// Ends the stream in an outbox: each record is delivered to the world outside, after its epoch has committed. What
    /// is not delivered goes to the outbox's [topic of dead letters](Outbox::dead_letters).
    pub fn deliver<C: Connector<T>>(self, mut outbox: Outbox<T, C>) {
        let topic = outbox.dead_letters.take();
        let topic = topic.unwrap_or_else(|| Topic::json(format!("{}.dead-letters", outbox.id)));
        self.into_outbox(outbox, Some(topic.name().to_owned())).dead_letters(topic);
    }

    /// The same, and what is not delivered is a stream: of steps that failed for a person to look at, of a page to send.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// # struct Shop;
    /// # impl Connector<String> for Shop {
    /// #     fn describe(&self) -> String { "the shop".to_owned() }
    /// #     async fn deliver(&self, _: &Attempt<String>) -> Result<(), Failure> { Ok(()) }
    /// # }
    ///
    /// let job = Job::new("orders");
    /// let orders = job.source(Topic::lines::<String>("orders"));
    /// let failed = orders.deliver_or_else(Outbox::new("shop", Shop));
    /// failed.map(|letter| format!("order {:?} failed: {}", letter.payload, letter.error)).sink(Topic::lines("pages"));
    /// # job.check()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn deliver_or_else<C: Connector<T>>(self, outbox: Outbox<T, C>) -> Stream<Vec<DeadLetter>> {
        if outbox.dead_letters.is_some() {
            let id = &outbox.id;
            self.mistake(format!(
                "outbox `{id}` names a topic for dead letters, and they are taken as a stream: keep one"
            ));
        }
        self.into_outbox(outbox, None)
    }

    fn into_outbox<C: Connector<T>>(self, outbox: Outbox<T, C>, topic: Option<String>) -> Stream<Vec<DeadLetter>> {
        if let Some(mistake) = outbox.mistake() {
            self.mistake(format!("outbox `{}`: {mistake}", outbox.id));
        }
        let redecode: Redecode<Entry<T>> = Arc::new(|letter| {
            let payload = letter.bytes().unwrap_or_default();
            let item = serde_json::from_slice(&payload).map_err(|error| Error::record(error.to_string()))?;
            // Its receiver may have it after all.
            Ok(Entry { item, idempotency_key: letter.idempotency_key.clone() })
        });
        let entries = self.step("enter", |_| Ok(Map::new(Arc::new(Entry::from))));
        let (stream, again) = letters::into(entries, &outbox.id, redecode);
        // One worker owns all items, so that throttle, order and bound hold for the job.
        let home = Text::from(outbox.id.as_str());
        let stream = stream.key_by(move |_| home.clone()).records();
        let node = outbox.into_node(stream.edge, topic);
        let node = stream.graph.borrow_mut().add(node);
        Stream::new(stream.graph, Edge { node, output: 0 }).union(again)
    }
}
