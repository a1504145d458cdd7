//! Alerts as streams: rules on keyed streams and on panes, and messages that group alerts.

use std::sync::Arc;
use std::time::Duration;

use headwater_operators::{
    Alert, AlertGroup, AlertGroups, AlertRule, Clock, Counter, KeyBy, Keying, Pane, Process, Shared, Silence, Steps,
};
use headwater_state::Key;

use crate::graph::{Edge, Node, OutputPort, Role, typed};
use crate::job::chain;
use crate::{KeyedStream, Stream};

impl<T: Send + 'static, G: Keying<Vec<T>>> KeyedStream<Vec<T>, G> {
    /// Alerts on what records say, per key: each fires once its condition has held for long enough, and resolves when it
    /// is over. The [`AlertRule`] says it all.
    ///
    /// ```
    /// use headwater::prelude::*;
    ///
    /// #[derive(Clone, serde::Deserialize)]
    /// struct Load { host: Text, at: Timestamp, load: f64 }
    ///
    /// let job = Job::new("high-load");
    /// job.source(Topic::json::<Load>("loads"))
    ///     .event_time(|load| load.at, Lateness::seconds(10))
    ///     .key_by_ref(|load| &load.host)
    ///     .alert(
    ///         AlertRule::new("HighLoad")
    ///             .when(|load: &Load| load.load > 0.9)
    ///             .until(|load| load.load < 0.7)
    ///             .for_at_least(Duration::from_secs(300))
    ///             .severity(Severity::Critical)
    ///             .key_label("host")
    ///             .summary(|host, load| format!("{host} is at {:.0} %", load.load * 100.0)),
    ///     )
    ///     .sink(Topic::json("alerts"));
    ///
    /// let at = |minute: i64, load| Load { host: "a".into(), at: Timestamp::from_seconds(60 * minute), load };
    /// job.bind_input("loads", Input::of(Rows::new(vec![at(0, 0.5), at(1, 0.95), at(3, 0.99), at(7, 0.92), at(8, 0.6)])));
    /// let alerts = Captured::<Alert>::new();
    /// job.bind_output("alerts", Output::of(alerts.clone()));
    /// job.run(&RunOptions::default(), &Control::default())?;
    /// let said: Vec<_> = alerts.take().iter().map(|alert| format!("{} {}", alert.status.as_str(), alert.starts_at)).collect();
    /// assert_eq!(said, ["firing 1970-01-01T00:06:00Z", "resolved 1970-01-01T00:06:00Z"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn alert(self, rule: AlertRule<G::Key, T>) -> Stream<Vec<Alert>> {
        let mistakes = rule.mistakes();
        let spec = Spec { verb: "alert", id: rule.state_id().to_owned(), detail: rule.describe(), clock: rule.clock() };
        let rule = Arc::new(rule);
        self.follow(spec, mistakes, move |keying, late| Arc::clone(&rule).process(keying, late))
    }

    /// Alerts on keys of which nothing comes any more, until their next record. The [`Silence`] says after how long.
    ///
    /// ```
    /// use headwater::prelude::*;
    ///
    /// let job = Job::new("no-data");
    /// job.source(Topic::json::<(Text, Timestamp)>("beats"))
    ///     .event_time(|beat| beat.1, Lateness::NONE)
    ///     .key_by_ref(|beat| &beat.0)
    ///     .alert_on_silence(
    ///         Silence::new("NoData")
    ///             .after(Duration::from_secs(120))
    ///             .key_label("service")
    ///             .summary(|service, last| format!("nothing came of {service} since {last}")),
    ///     )
    ///     .sink(Topic::json("alerts"));
    ///
    /// let beat = |service: &str, second| (Text::from(service), Timestamp::from_seconds(second));
    /// job.bind_input("beats", Input::of(Rows::new(vec![beat("cart", 0), beat("mail", 100), beat("mail", 200)])));
    /// let alerts = Captured::<Alert>::new();
    /// job.bind_output("alerts", Output::of(alerts.clone()));
    /// job.run(&RunOptions::default(), &Control::default())?;
    /// let summaries: Vec<_> = alerts.take().into_iter().map(|alert| alert.summary).collect();
    /// assert_eq!(summaries, ["nothing came of cart since 1970-01-01T00:00:00Z"]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn alert_on_silence(self, rule: Silence<G::Key>) -> Stream<Vec<Alert>> {
        let mistakes = rule.mistakes();
        let (id, detail) = (rule.state_id().to_owned(), rule.describe());
        let spec = Spec { verb: "alert_on_silence", id, detail, clock: rule.clock() };
        let rule = Arc::new(rule);
        self.follow(spec, mistakes, move |keying, late| Arc::clone(&rule).process(keying, late))
    }

    /// Adds what follows a rule.
    fn follow<P>(
        self,
        spec: Spec,
        mistakes: Vec<String>,
        process: impl Fn(Arc<G>, Counter) -> Process<G, P> + Shared,
    ) -> Stream<Vec<P::Output>>
    where
        P: Steps<Vec<T>, G::Key>,
    {
        let Self { stream, keying } = self;
        mistakes.into_iter().for_each(|mistake| stream.mistake(mistake));
        if spec.clock == Clock::Event && !stream.is_timed() {
            stream.mistake(format!(
                "the {} `{}` goes by event time, which its records do not have: say when they happened with \
                 `.event_time(|record| …, Lateness::minutes(5))` before `.key_by(…)`, or let it go `.by(Clock::Wall)`",
                spec.verb, spec.id
            ));
        }
        let node = Node {
            tables: process(Arc::clone(&keying), Counter::new()).tables::<Vec<T>>(),
            id: spec.id,
            verb: spec.verb,
            detail: spec.detail,
            inputs: vec![stream.edge],
            outputs: vec![OutputPort::timed(stream.is_timed())],
            setting: spec.clock.name().into(),
            role: Role::Step,
            build: Arc::new(move |build, mut nexts| {
                let next = typed::<Vec<P::Output>>(nexts.pop())?;
                // One per worker and attempt, as that of a window.
                let late = Counter::new();
                let opened = process(Arc::clone(&keying), late.clone()).open::<Vec<T>>(&build.local)?;
                build.gauges.push(Box::new(move |counts| counts.late += late.get()));
                Ok(vec![chain(build, opened, next)])
            }),
        };
        let node = stream.graph.borrow_mut().add(node);
        Stream::new(stream.graph, Edge { node, output: 0 })
    }
}

/// A rule as a node of the graph.
struct Spec {
    verb: &'static str,
    id: String,
    detail: String,
    clock: Clock,
}

impl<K: Key, V: Send + 'static> Stream<Vec<Pane<K, V>>> {
    /// Alerts on the results of windows, per key: as [`KeyedStream::alert`], of panes. A pane's time is the last moment of
    /// its window. A key without rows has no panes, so say with [`stale_after`](AlertRule::stale_after) when its alert is
    /// over.
    ///
    /// ```
    /// use headwater::prelude::*;
    ///
    /// let job = Job::new("busy");
    /// job.source(Topic::json::<(Text, Timestamp)>("calls"))
    ///     .event_time(|call| call.1, Lateness::minutes(1))
    ///     .key_by_ref(|call| &call.0)
    ///     .window(Tumbling::minutes(1))
    ///     .count()
    ///     .on_close()
    ///     .alert(
    ///         AlertRule::new("Busy")
    ///             .when(|calls: &Pane<Text, u64>| calls.value > 1_000)
    ///             .stale_after(Duration::from_secs(120))
    ///             .key_label("service")
    ///             .summary(|service, calls| format!("{service} got {} calls in a minute", calls.value)),
    ///     )
    ///     .sink(Topic::json("alerts"));
    /// # job.check()?;
    /// # Ok::<(), Error>(())
    /// ```
    pub fn alert(self, rule: AlertRule<K, Pane<K, V>>) -> Stream<Vec<Alert>> {
        // Panes may have come a long way since they were with their key's owner.
        self.key_by_ref(|pane| &pane.key).alert(rule)
    }

    /// Alerts on keys that have no panes any more: as [`KeyedStream::alert_on_silence`].
    pub fn alert_on_silence(self, rule: Silence<K>) -> Stream<Vec<Alert>> {
        self.key_by_ref(|pane| &pane.key).alert_on_silence(rule)
    }
}

impl Stream<Vec<Alert>> {
    /// Puts alerts together that people want to hear of in one message: one per group and interval.
    ///
    /// ```
    /// use headwater::prelude::*;
    ///
    /// let job = Job::new("messages");
    /// job.source(Topic::json::<Alert>("alerts"))
    ///     .group_by(|alert| alert.labels.get("team").cloned().unwrap_or_default())
    ///     .wait(Duration::from_secs(10))
    ///     .every(Duration::from_secs(300))
    ///     .sink(Topic::json("messages"));
    ///
    /// let alert = |name: &str, team: &str| Alert::firing(name, "…", Timestamp::from_seconds(0)).label("team", team);
    /// let alerts = vec![alert("HighLoad", "cart"), alert("NoData", "mail"), alert("NoData", "cart")];
    /// job.bind_input("alerts", Input::of(Rows::new(alerts)));
    /// let messages = Captured::<AlertGroup<String>>::new();
    /// job.bind_output("messages", Output::of(messages.clone()));
    /// job.run(&RunOptions::default(), &Control::default())?;
    /// let mut said: Vec<_> = messages.take().into_iter().map(|group| (group.key, group.firing.len())).collect();
    /// said.sort();
    /// assert_eq!(said, [("cart".to_owned(), 2), ("mail".to_owned(), 1)]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn group_by<K: Key, F: Fn(&Alert) -> K + Shared>(self, group: F) -> GroupedAlerts<K, F> {
        let id = format!("{}/groups", self.graph.borrow().origin(self.edge));
        let wait = Duration::from_secs(30);
        let groups = AlertGroups { id, wait, every: Duration::ZERO, clock: Clock::Wall };
        GroupedAlerts { keyed: self.key_by(group), groups }
    }
}

/// Alerts by groups: say how often there is a message of each with [`every`](Self::every).
#[must_use = "say how often there is a message: `.every(…)`"]
pub struct GroupedAlerts<K: Key, F: Fn(&Alert) -> K + Shared> {
    keyed: KeyedStream<Vec<Alert>, KeyBy<Alert, F>>,
    groups: AlertGroups,
}

impl<K: Key, F: Fn(&Alert) -> K + Shared> GroupedAlerts<K, F> {
    /// The name of what is kept: state belongs to it. Without one it is derived from the rules' names.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.groups.id = id.into();
        self
    }

    /// How long a group's first alert waits for others: 30 seconds unless said.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.groups.wait = wait;
        self
    }

    /// Which clock it goes by: the wall clock unless said, because those who read messages do.
    pub fn by(mut self, clock: Clock) -> Self {
        self.groups.clock = clock;
        self
    }

    /// The messages: those of a group are at least so far apart, and there is none when nothing has changed.
    pub fn every(mut self, interval: Duration) -> Stream<Vec<AlertGroup<K>>> {
        self.groups.every = interval;
        let groups = self.groups;
        let spec = Spec { verb: "group_by", id: groups.id.clone(), detail: groups.describe(), clock: groups.clock };
        self.keyed.follow(spec, groups.mistakes(), move |keying, _| groups.clone().process(keying))
    }
}
