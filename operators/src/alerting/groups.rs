//! Alerts of a group in one message.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headwater_state::{Key, Result};
use serde::{Deserialize, Serialize};

use super::notice::INSTANT;
use crate::time::span;
use crate::{Alert, AlertStatus, Clock, Process, Severity, Steps, Timestamp, Turn};

/// How many alerts a group names of each kind. Of what is more it says how many.
const NAMED_MAX: usize = 1000;

/// What there is to say of a group of alerts: one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertGroup<K> {
    /// What the alerts were grouped by.
    pub key: K,
    /// When it was put together.
    pub at: Timestamp,
    /// All alerts that fire, in the order of their identities; the first thousand to come where they are more.
    pub firing: Vec<Alert>,
    /// Those that have resolved since the last message, also where no message had said that they fire; up to a thousand.
    pub resolved: Vec<Alert>,
    /// How many more fire than are named.
    pub more_firing: u64,
    /// How many more have resolved than are named.
    pub more_resolved: u64,
}

impl<K> AlertGroup<K> {
    /// [`AlertStatus::Resolved`] where no alert fires any more.
    pub fn status(&self) -> AlertStatus {
        let fires = self.more_firing > 0 || !self.firing.is_empty();
        if fires { AlertStatus::Firing } else { AlertStatus::Resolved }
    }

    /// The worst of the alerts named: of those that fire, or of those that have resolved where none does.
    pub fn severity(&self) -> Severity {
        let named = if self.firing.is_empty() { &self.resolved } else { &self.firing };
        named.iter().map(|alert| alert.severity).max().unwrap_or_default()
    }
}

/// One message per group and interval: the first once a group's first alert has waited for others, the next ones at
/// least an interval later, and only when an alert has come since. As `group_wait` and `group_interval` of Prometheus
/// Alertmanager.
///
/// Which alerts meet in one message depends on when they come; each is in one. At the end of the input messages wait no
/// longer.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use headwater_operators::{Alert, AlertGroups, Clock, KeyBy, Timestamp, harness::Harness};
///
/// let groups = AlertGroups {
///     id: "messages".to_owned(),
///     wait: Duration::from_secs(10),
///     every: Duration::from_secs(300),
///     clock: Clock::Wall,
/// };
/// let groups = groups.process(Arc::new(KeyBy::new(|alert: &Alert| alert.labels["team"].clone())));
///
/// let mut harness = Harness::of(move |local| groups.open(local))?;
/// let at = Timestamp::from_seconds;
/// let alert = |name: &str| (at(0), Alert::firing(name, "…", at(0)).label("team", "cart"));
/// harness.tick(at(1_000))?;
/// harness.timed([alert("HighLoad"), alert("HighErrorRate")])?;
/// harness.tick(at(1_011))?;
/// let messages = harness.take();
/// assert_eq!(messages.len(), 1);
/// assert_eq!((messages[0].key.as_str(), messages[0].firing.len()), ("cart", 2));
/// # Ok::<(), headwater_operators::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AlertGroups {
    /// What its state is named after.
    pub id: String,
    /// How long the first alert waits for others; also one that comes long after the last message.
    pub wait: Duration,
    /// The least time between two messages of a group.
    pub every: Duration,
    /// Which clock both go by.
    pub clock: Clock,
}

impl AlertGroups {
    /// What is wrong with it, to be told before anything runs.
    pub fn mistakes(&self) -> Vec<String> {
        let zero = self.every.is_zero();
        let mistake = || format!("the groups `{}` have no interval: without one, no group is needed", self.id);
        zero.then(mistake).into_iter().collect()
    }

    /// What `explain` says of it.
    pub fn describe(&self) -> String {
        format!("wait {}, every {}, {}", span(self.wait), span(self.every), self.clock.name())
    }

    /// The operator that puts the alerts of each key of `keying` together.
    pub fn process<G>(self, keying: Arc<G>) -> Process<G, GroupSteps> {
        Process::new(self.id.clone(), keying, Arc::new(GroupSteps { groups: self }))
    }
}

/// What is kept of a group. Opaque: it is for tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Gathered {
    firing: BTreeMap<String, Alert>,
    /// Those beyond what is named, by the hashes of their identities.
    more_firing: BTreeSet<u64>,
    resolved: BTreeMap<String, Alert>,
    more_resolved: u64,
    /// When the next message is due, where there is something to say.
    due: Option<Timestamp>,
    /// When the last one was sent.
    sent: Option<Timestamp>,
    /// The timer that is set.
    timer: Option<Timestamp>,
    /// Whether a timer is set for the end of the input: by the wall clock alone it would not be noticed.
    awaits_end: bool,
}

impl Gathered {
    fn add(&mut self, alert: &Alert) {
        let identity = alert.identity();
        let hash = identity.hash64();
        match alert.status {
            AlertStatus::Firing => {
                let is_named = self.firing.contains_key(&identity) || self.firing.len() < NAMED_MAX;
                if is_named && !self.more_firing.contains(&hash) {
                    self.firing.insert(identity, alert.clone());
                } else {
                    self.more_firing.insert(hash);
                }
            }
            AlertStatus::Resolved => {
                self.firing.remove(&identity);
                self.more_firing.remove(&hash);
                if self.resolved.contains_key(&identity) || self.resolved.len() < NAMED_MAX {
                    self.resolved.insert(identity, alert.clone());
                } else {
                    self.more_resolved += 1;
                }
            }
        }
    }

    fn message<K>(&mut self, key: K, at: Timestamp) -> AlertGroup<K> {
        (self.due, self.sent) = (None, Some(at));
        AlertGroup {
            key,
            at,
            firing: self.firing.values().cloned().collect(),
            resolved: std::mem::take(&mut self.resolved).into_values().collect(),
            more_firing: self.more_firing.len() as u64,
            more_resolved: std::mem::take(&mut self.more_resolved),
        }
    }

    fn is_quiet(&self) -> bool {
        self.due.is_none() && self.firing.is_empty() && self.more_firing.is_empty()
    }
}

/// What [`AlertGroups`] does with alerts and timers.
pub struct GroupSteps {
    groups: AlertGroups,
}

type Gathering<'a, K> = Turn<'a, K, Gathered, AlertGroup<K>>;

impl GroupSteps {
    /// What is due by `now` is said. A group in which nothing fires is forgotten once its interval is over.
    fn pass<K: Key>(&self, turn: &mut Gathering<'_, K>, gathered: &mut Gathered, now: Timestamp) {
        if let Some(due) = gathered.due.filter(|due| *due <= now) {
            // By the clock a message may leave long after it was due, and the next one keeps its distance from that.
            let at = if self.groups.clock == Clock::Wall { now } else { due };
            let message = gathered.message(turn.key().clone(), at);
            turn.emit(message);
        }
        if gathered.is_quiet() && gathered.sent.is_some_and(|sent| sent.plus(self.groups.every) <= now) {
            gathered.sent = None;
        }
    }

    /// Keeps the group, with a timer for what happens next.
    fn keep<K: Key>(&self, turn: &mut Gathering<'_, K>, mut gathered: Gathered) {
        let forget = || gathered.sent.filter(|_| gathered.is_quiet()).map(|sent| sent.plus(self.groups.every));
        let wanted = gathered.due.or_else(forget).map(|due| due.plus(INSTANT));
        let clock = self.groups.clock;
        if wanted != gathered.timer {
            if let Some(set) = gathered.timer {
                turn.cancel_timer(clock, set);
            }
            if let Some(wanted) = wanted {
                turn.set_timer(clock, wanted);
            }
            gathered.timer = wanted;
        }
        let awaits_end = clock == Clock::Wall && gathered.due.is_some();
        if awaits_end != gathered.awaits_end {
            match awaits_end {
                true => turn.set_timer(Clock::Event, Timestamp::MAX),
                false => turn.cancel_timer(Clock::Event, Timestamp::MAX),
            }
            gathered.awaits_end = awaits_end;
        }
        let is_kept = !gathered.is_quiet() || gathered.sent.is_some();
        *turn.state_mut() = is_kept.then_some(gathered);
    }
}

impl<K: Key> Steps<Vec<Alert>, K> for GroupSteps {
    type State = Gathered;
    type Output = AlertGroup<K>;

    fn on_record(&self, turn: &mut Gathering<'_, K>, alerts: &Vec<Alert>, row: usize) -> Result<()> {
        let now = match self.groups.clock {
            Clock::Event => turn.time(),
            Clock::Wall => turn.now(),
        };
        let mut gathered = turn.state_mut().take().unwrap_or_default();
        self.pass(turn, &mut gathered, now.minus(INSTANT));
        gathered.add(&alerts[row]);
        if gathered.due.is_none() {
            let waited = now.plus(self.groups.wait);
            let due = gathered.sent.map_or(waited, |sent| waited.max(sent.plus(self.groups.every)));
            gathered.due = Some(due);
        }
        self.keep(turn, gathered);
        Ok(())
    }

    fn on_timer(&self, turn: &mut Gathering<'_, K>, time: Timestamp, clock: Clock) -> Result<()> {
        let Some(mut gathered) = turn.state_mut().take() else { return Ok(()) };
        if clock == self.groups.clock && gathered.timer == Some(time) {
            gathered.timer = None;
        }
        if clock == Clock::Event && turn.reached() < time {
            // The input has ended: nothing more will come that a message could wait for.
            if let Some(due) = gathered.due {
                let message = gathered.message(turn.key().clone(), due);
                turn.emit(message);
            }
            gathered.awaits_end = false;
            *turn.state_mut() = Some(gathered);
            return Ok(());
        }
        let now = turn.reached_by(clock);
        self.pass(turn, &mut gathered, now.minus(INSTANT));
        self.keep(turn, gathered);
        Ok(())
    }
}
