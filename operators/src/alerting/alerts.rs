//! Alerts on what records say: a condition that holds for long enough, per key.

use std::sync::Arc;
use std::time::Duration;

use headwater_state::{Key, Result};

use super::notice::INSTANT;
use super::rule::Rule;
use super::watch::{Timing, Verdict, Watch};
use super::z_score::ZScore;
use crate::{Alert, Clock, Counter, Process, Shared, Steps, Timestamp, Turn};

/// A rule on what records say: while its condition holds for a key, there is an [`Alert`] that fires, and one that
/// resolves once it is over. Records are measurements: each says how things are until the next one does.
///
/// Records that are older than the newest of their key, or than the watermark where nothing is known of the key, change
/// nothing. Of those with equal times the last counts.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use headwater_operators::{AlertRule, Counter, KeyByRef, Timestamp, harness::Harness};
///
/// let rule = AlertRule::new("HighLoad")
///     .when(|load: &(String, f64)| load.1 > 0.9)
///     .until(|load| load.1 < 0.7)
///     .for_at_least(Duration::from_secs(60))
///     .key_label("host")
///     .summary(|host, load| format!("{host} is at {} %", load.1 * 100.0));
/// let alerts = Arc::new(rule).process(Arc::new(KeyByRef::new(|load: &(String, f64)| &load.0)), Counter::new());
///
/// let mut harness = Harness::of(move |local| alerts.open(local))?;
/// let load = |second: i64, load: f64| (Timestamp::from_seconds(second), ("a".to_owned(), load));
/// harness.timed([load(0, 0.95), load(30, 0.99), load(61, 0.98), load(70, 0.8), load(80, 0.5)])?;
/// let said: Vec<_> = harness.take().into_iter().map(|alert| (alert.status.as_str(), alert.summary)).collect();
/// assert_eq!(said, [("firing", "a is at 99 %".to_owned()), ("resolved", "a is at 98 %".to_owned())]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub type AlertRule<K, T> = Rule<K, T, When<T>>;

/// What an [`AlertRule`] looks for.
pub struct When<T> {
    condition: Option<Condition<T>>,
    /// Whether a second one was given.
    conditions: usize,
    until: Option<Holds<T>>,
    for_at_least: Option<Duration>,
    keep_firing_for: Option<Duration>,
    stale_after: Option<Duration>,
    flap_limit: Option<(usize, Duration)>,
}

type Holds<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;

enum Condition<T> {
    Holds(Holds<T>),
    Unusual(ZScore<T>),
}

impl<K, T> AlertRule<K, T> {
    /// A rule whose alerts have this name.
    pub fn new(name: impl Into<String>) -> Self {
        let condition = When {
            condition: None,
            conditions: 0,
            until: None,
            for_at_least: None,
            keep_firing_for: None,
            stale_after: None,
            flap_limit: None,
        };
        Self::with(name, condition)
    }

    /// A rule on how unusual a value is: more than `beyond` standard deviations from the key's mean. With more to say,
    /// [`when_unusual`](Self::when_unusual).
    pub fn z_score(name: impl Into<String>, value: impl Fn(&T) -> f64 + Shared, beyond: f64) -> Self {
        Self::new(name).when_unusual(ZScore::of(value, beyond))
    }

    /// When it fires.
    pub fn when(self, condition: impl Fn(&T) -> bool + Shared) -> Self {
        self.on(Condition::Holds(Box::new(condition)))
    }

    /// Fires when a value is unusual for its key. The alert's annotations say how much: `z_score` and `usual`.
    pub fn when_unusual(self, score: ZScore<T>) -> Self {
        self.on(Condition::Unusual(score))
    }

    fn on(mut self, condition: Condition<T>) -> Self {
        self.condition.condition = Some(condition);
        self.condition.conditions += 1;
        self
    }

    /// When it is over: what fires resolves only then. Without it, when the condition does not hold. A record for which
    /// both hold keeps it firing.
    pub fn until(mut self, over: impl Fn(&T) -> bool + Shared) -> Self {
        self.condition.until = Some(Box::new(over));
        self
    }

    /// Fires once the condition has held for so long, in all records of that time. The alert starts then.
    pub fn for_at_least(mut self, duration: Duration) -> Self {
        self.condition.for_at_least = Some(duration);
        self
    }

    /// Resolves once the condition was over for so long without coming back.
    pub fn keep_firing_for(mut self, duration: Duration) -> Self {
        self.condition.keep_firing_for = Some(duration);
        self
    }

    /// Takes the condition for over where nothing came of a key for so long; the alert then has an annotation `stale`.
    /// Without it, a key that falls silent while its alert fires keeps it firing.
    pub fn stale_after(mut self, duration: Duration) -> Self {
        self.condition.stale_after = Some(duration);
        self
    }

    /// Sends at most so many firings and resolves per key within `per`. With the last that fits, which is a firing, the
    /// alert stays on: it is sent once more with an annotation `flapping` when it would have resolved, and resolves when
    /// the condition was over for all of `per`.
    pub fn flap_limit(mut self, transitions: usize, per: Duration) -> Self {
        self.condition.flap_limit = Some((transitions, per));
        self
    }

    /// What is wrong with it, to be told before anything runs.
    pub fn mistakes(&self) -> Vec<String> {
        let When { for_at_least, keep_firing_for, stale_after, flap_limit, .. } = self.condition;
        let score = match &self.condition.condition {
            Some(Condition::Unusual(score)) => Some(score),
            _ => None,
        };
        let mut mistakes = self.common_mistakes(&[
            ("for_at_least", for_at_least),
            ("keep_firing_for", keep_firing_for),
            ("stale_after", stale_after),
            ("flap_limit", flap_limit.map(|(_, per)| per)),
            ("half_life", score.map(ZScore::half_life_of)),
        ]);
        let mut wrong = |what: String| mistakes.push(format!("the alert `{}`: {what}", self.name));
        match self.condition.conditions {
            0 => wrong("it has no condition: say when it fires with `.when(|record| …)`".into()),
            1 => {}
            _ => wrong("it has several conditions: put them into one `.when(…)`, or make a rule of each".into()),
        }
        if let Some((transitions, _)) = flap_limit.filter(|(transitions, _)| *transitions < 3) {
            wrong(format!("`.flap_limit({transitions}, …)` holds back the first resolve: three is the least"));
        }
        score.map(ZScore::mistakes).unwrap_or_default().into_iter().for_each(wrong);
        mistakes
    }

    /// What `explain` says of it.
    pub fn describe(&self) -> String {
        let When { for_at_least, keep_firing_for, stale_after, .. } = self.condition;
        self.detail(&[("for", for_at_least), ("keeps firing for", keep_firing_for), ("stale after", stale_after)])
    }

    fn timing(&self) -> Timing {
        let When { for_at_least, keep_firing_for, stale_after, flap_limit, .. } = self.condition;
        let remember_for = match &self.condition.condition {
            Some(Condition::Unusual(score)) => score.remember_for(),
            _ => Duration::ZERO,
        };
        Timing {
            for_at_least: for_at_least.unwrap_or_default(),
            keep_firing_for: keep_firing_for.unwrap_or_default(),
            stale_after,
            flap_limit,
            remind_every: self.remind_every,
            remember_for,
            clock: self.clock,
        }
    }

    /// The operator that follows the rule for the keys of `keying`. Records that come too late to change anything are
    /// counted.
    pub fn process<G>(self: Arc<Self>, keying: Arc<G>, late: Counter) -> Process<G, AlertSteps<K, T>> {
        let id = self.state_id().to_owned();
        Process::new(id, keying, Arc::new(AlertSteps { timing: self.timing(), rule: self, late }))
    }
}

impl<T> When<T> {
    /// What a record says, and what to add to the alert.
    fn judge(&self, record: &T, now: Timestamp, watch: &mut Watch) -> (Verdict, Vec<(String, String)>) {
        let (verdict, said) = match &self.condition {
            Some(Condition::Holds(holds)) if holds(record) => (Verdict::Bad, Vec::new()),
            Some(Condition::Unusual(score)) => {
                let (verdict, usual) = score.judge(record, now, &mut watch.baseline);
                (verdict, if verdict == Verdict::Bad { usual.annotations().to_vec() } else { Vec::new() })
            }
            _ => (Verdict::Good, Vec::new()),
        };
        match &self.until {
            Some(over) if verdict != Verdict::Bad && over(record) => (Verdict::Good, said),
            Some(_) if verdict != Verdict::Bad => (Verdict::Between, said),
            _ => (verdict, said),
        }
    }
}

/// What an [`AlertRule`] does with records and timers.
pub struct AlertSteps<K, T> {
    rule: Arc<AlertRule<K, T>>,
    timing: Timing,
    late: Counter,
}

type Watched<'a, K> = Turn<'a, K, Watch, Alert>;

impl<K: Key, T> AlertSteps<K, T> {
    /// Keeps what is known of the key, with a timer for what happens next, and sends what is to be sent. The state was
    /// taken out.
    fn keep(&self, turn: &mut Watched<'_, K>, mut watch: Watch, alerts: Vec<Alert>) {
        alerts.into_iter().for_each(|alert| turn.emit(alert));
        let next = if watch.is_needed() { watch.next(&self.timing) } else { None };
        let wanted = next.map(|due| due.plus(INSTANT));
        let is_early_enough = |set: &Timestamp| wanted.is_some_and(|wanted| *set <= wanted);
        if watch.timer.filter(is_early_enough).is_none() {
            if let Some(set) = watch.timer.take() {
                turn.cancel_timer(self.timing.clock, set);
            }
            if let Some(wanted) = wanted {
                turn.set_timer(self.timing.clock, wanted);
                watch.timer = Some(wanted);
            }
        }
        if watch.is_needed() {
            *turn.state_mut() = Some(watch);
        }
    }
}

impl<K: Key, T: Send + 'static> Steps<Vec<T>, K> for AlertSteps<K, T> {
    type State = Watch;
    type Output = Alert;

    fn on_record(&self, turn: &mut Watched<'_, K>, records: &Vec<T>, row: usize) -> Result<()> {
        let (record, time, reached) = (&records[row], turn.time(), turn.reached());
        let now = match self.timing.clock {
            Clock::Event => time,
            Clock::Wall => turn.now(),
        };
        if time < turn.state().map_or(reached, |watch| watch.newest) {
            self.late.add(1);
            return Ok(());
        }
        let mut watch = turn.take().unwrap_or_default();
        let mut alerts = Vec::new();
        watch.pass(now.minus(INSTANT), reached, &self.timing, &mut alerts);
        watch.newest = time;
        let (verdict, said) = self.rule.condition.judge(record, now, &mut watch);
        let says = || {
            let mut alert = self.rule.says(turn.key(), record, now);
            alert.annotations.extend(said);
            alert
        };
        watch.measure(verdict, now, says, &mut alerts);
        watch.pass(now, reached, &self.timing, &mut alerts);
        self.keep(turn, watch, alerts);
        Ok(())
    }

    fn on_timer(&self, turn: &mut Watched<'_, K>, time: Timestamp, clock: Clock) -> Result<()> {
        let Some(mut watch) = turn.take() else { return Ok(()) };
        let now = turn.reached_by(clock);
        watch.timer = watch.timer.filter(|set| *set != time);
        if time > now {
            // The input has ended. That is not the passing of time: nothing fires or resolves by it.
            *turn.state_mut() = Some(watch);
            return Ok(());
        }
        let mut alerts = Vec::new();
        watch.pass(now.minus(INSTANT), turn.reached(), &self.timing, &mut alerts);
        self.keep(turn, watch, alerts);
        Ok(())
    }
}
