//! Alerts on keys of which nothing comes any more.

use std::sync::Arc;
use std::time::Duration;

use headwater_state::{Key, Result};
use serde::{Deserialize, Serialize};

use super::notice::{INSTANT, Notice};
use super::rule::Rule;
use crate::{Alert, Clock, Counter, Process, Steps, Timestamp, Turn};

/// A rule on keys that fall silent: an [`Alert`] fires when nothing came of a key for so long, and resolves with its
/// next record. Texts are made of the key and the time of its last record.
///
/// By event time a key is silent when others go on: where nothing comes at all, no time passes. By [`Clock::Wall`] it
/// is silent when nothing arrives, which includes a job that reads old records fast or was not running: it goes by when
/// records came here.
///
/// Only keys that were there once can be missed.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use headwater_operators::{Counter, KeyByRef, Silence, Timestamp, harness::Harness};
///
/// let silence = Silence::new("NoData")
///     .after(Duration::from_secs(120))
///     .key_label("service")
///     .summary(|service, last| format!("nothing came of {service} since {last}"));
/// let silence = Arc::new(silence).process(Arc::new(KeyByRef::new(|service: &String| service)), Counter::new());
///
/// let mut harness = Harness::of(move |local| silence.open(local))?;
/// let at = Timestamp::from_seconds;
/// harness.timed([(at(0), "cart".to_owned()), (at(0), "mail".to_owned()), (at(100), "mail".to_owned())])?;
/// harness.watermark(at(130))?;
/// harness.timed([(at(150), "cart".to_owned())])?;
/// let said: Vec<_> = harness.take().into_iter().map(|alert| (alert.status.as_str(), alert.summary)).collect();
/// let summary = "nothing came of cart since 1970-01-01T00:00:00Z".to_owned();
/// assert_eq!(said, [("firing", summary.clone()), ("resolved", summary)]);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
pub type Silence<K> = Rule<K, Timestamp, Silent>;

/// What a [`Silence`] looks for.
pub struct Silent {
    after: Option<Duration>,
    forget_after: Duration,
}

impl<K> Silence<K> {
    /// A rule whose alerts have this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self::with(name, Silent { after: None, forget_after: Duration::from_secs(86_400) })
    }

    /// How long nothing must have come. A record exactly so long after the last is in time.
    pub fn after(mut self, silence: Duration) -> Self {
        self.condition.after = Some(silence);
        self
    }

    /// How long a key is missed: one day unless said. After that it is forgotten, and its alert resolves with an
    /// annotation `forgotten`.
    pub fn forget_after(mut self, silence: Duration) -> Self {
        self.condition.forget_after = silence;
        self
    }

    /// What is wrong with it, to be told before anything runs.
    pub fn mistakes(&self) -> Vec<String> {
        let Silent { after, forget_after } = self.condition;
        let mut mistakes = self.common_mistakes(&[("after", after)]);
        let mut wrong = |what: &str| mistakes.push(format!("the alert `{}`: {what}", self.name));
        match after {
            None => wrong("it does not say how long nothing must come: give it `.after(…)`"),
            Some(after) if forget_after <= after => {
                wrong("a key is forgotten before it is missed: let `.forget_after(…)` be longer than `.after(…)`");
            }
            Some(_) => {}
        }
        mistakes
    }

    /// What `explain` says of it.
    pub fn describe(&self) -> String {
        self.detail(&[("after", self.condition.after), ("forgets after", Some(self.condition.forget_after))])
    }

    /// The operator that follows the rule for the keys of `keying`. Records that come too late to change anything are
    /// counted.
    pub fn process<G>(self: Arc<Self>, keying: Arc<G>, late: Counter) -> Process<G, SilenceSteps<K>> {
        let id = self.state_id().to_owned();
        Process::new(id, keying, Arc::new(SilenceSteps { rule: self, late }))
    }
}

/// What is kept of a key. Opaque: it is for tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Heard {
    /// When its last record was.
    last: Timestamp,
    silent: Option<Notice>,
    /// The timer that is set. It may be earlier than needed, never later.
    timer: Option<Timestamp>,
}

/// What a [`Silence`] does with records and timers.
pub struct SilenceSteps<K> {
    rule: Arc<Silence<K>>,
    late: Counter,
}

type Listened<'a, K> = Turn<'a, K, Heard, Alert>;

/// What happens to a key as time passes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Forget,
    Fire,
    Remind,
}

impl<K: Key> SilenceSteps<K> {
    fn after(&self) -> Duration {
        self.rule.condition.after.unwrap_or(Duration::MAX)
    }

    fn next_event(&self, heard: &Heard) -> (Timestamp, Event) {
        let forget = (heard.last.plus(self.rule.condition.forget_after), Event::Forget);
        let reminder = |silent: &Notice| silent.reminder(self.rule.remind_every).map(|due| (due, Event::Remind));
        match &heard.silent {
            None => forget.min((heard.last.plus(self.after()), Event::Fire)),
            Some(silent) => reminder(silent).map_or(forget, |reminder| forget.min(reminder)),
        }
    }

    /// Time has come to `now`: what was due by then happens, in order. Nothing where the key is forgotten.
    fn pass(&self, turn: &mut Listened<'_, K>, mut heard: Heard, now: Timestamp) -> Option<Heard> {
        loop {
            let (due, event) = self.next_event(&heard);
            if due > now {
                return Some(heard);
            }
            match (event, &mut heard.silent) {
                (Event::Fire, silent) => {
                    let alert = self.rule.says(turn.key(), &heard.last, due);
                    turn.emit(alert.clone());
                    *silent = Some(Notice::new(alert));
                }
                (Event::Remind, Some(silent)) => {
                    let reminder = silent.remind(due, now, self.rule.remind_every);
                    turn.emit(reminder);
                }
                (Event::Remind | Event::Forget, silent) => {
                    if let Some(silent) = silent.take() {
                        turn.emit(silent.alert.annotation("forgotten", "true").resolved(due));
                    }
                    if let Some(set) = heard.timer {
                        turn.cancel_timer(self.rule.clock, set);
                    }
                    return None;
                }
            }
        }
    }

    /// Keeps what is known of the key, with a timer for what happens next.
    fn keep(&self, turn: &mut Listened<'_, K>, mut heard: Heard) {
        let wanted = self.next_event(&heard).0.plus(INSTANT);
        if heard.timer.is_none_or(|set| set > wanted) {
            if let Some(set) = heard.timer {
                turn.cancel_timer(self.rule.clock, set);
            }
            turn.set_timer(self.rule.clock, wanted);
            heard.timer = Some(wanted);
        }
        *turn.state_mut() = Some(heard);
    }
}

impl<T: Send + 'static, K: Key> Steps<Vec<T>, K> for SilenceSteps<K> {
    type State = Heard;
    type Output = Alert;

    fn on_record(&self, turn: &mut Listened<'_, K>, _: &Vec<T>, _: usize) -> Result<()> {
        let clock = turn.reached_by(self.rule.clock);
        let now = match self.rule.clock {
            Clock::Event => turn.time(),
            Clock::Wall => clock,
        };
        let known = turn.take().and_then(|heard| self.pass(turn, heard, now.minus(INSTANT)));
        // So old that the key is silent again already.
        let is_old = now.plus(self.after()) < clock;
        let mut heard = match known {
            Some(heard) => heard,
            None if is_old => {
                self.late.add(1);
                return Ok(());
            }
            None => Heard { last: now, silent: None, timer: None },
        };
        heard.last = heard.last.max(now);
        if is_old {
            self.late.add(1);
        } else if let Some(silent) = heard.silent.take() {
            let end = now.max(silent.alert.starts_at);
            turn.emit(silent.alert.resolved(end));
        }
        self.keep(turn, heard);
        Ok(())
    }

    fn on_timer(&self, turn: &mut Listened<'_, K>, time: Timestamp, _: Clock) -> Result<()> {
        let Some(mut heard) = turn.take() else { return Ok(()) };
        let now = turn.reached_by(self.rule.clock);
        heard.timer = heard.timer.filter(|set| *set != time);
        if time > now {
            // The input has ended: nobody fell silent by that.
            *turn.state_mut() = Some(heard);
            return Ok(());
        }
        if let Some(heard) = self.pass(turn, heard, now.minus(INSTANT)) {
            self.keep(turn, heard);
        }
        Ok(())
    }
}
