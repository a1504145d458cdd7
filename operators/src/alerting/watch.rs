//! What is kept of a key that a rule watches, and how it goes from quiet to firing and back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::notice::Notice;
use super::z_score::Baseline;
use crate::{Alert, Clock, Timestamp};

/// A quiet key is kept for so long after its newest measurement: what comes out of order finds what was newer. Not
/// shorter, or the timer that forgets it would be set anew for each record.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The durations of a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub for_at_least: Duration,
    pub keep_firing_for: Duration,
    pub stale_after: Option<Duration>,
    /// How many transitions in how long.
    pub flap_limit: Option<(usize, Duration)>,
    pub remind_every: Option<Duration>,
    /// How long a quiet key has something to remember beside its newest time.
    pub remember_for: Duration,
    pub clock: Clock,
}

/// What a measurement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The condition holds.
    Bad,
    /// It does not, and not so far that what fires resolves.
    Between,
    /// It is over.
    Good,
}

/// What is kept of a key. Opaque: it is for tables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// The event time of the newest measurement, or of what was concluded after it.
    pub(super) newest: Timestamp,
    /// When the newest measurement came, by the rule's clock.
    seen: Timestamp,
    phase: Phase,
    /// The transitions that count for the flap limit, oldest first.
    sent: Vec<Timestamp>,
    /// The timer that is set. It may be earlier than needed, never later.
    pub(super) timer: Option<Timestamp>,
    pub(super) baseline: Option<Baseline>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    Quiet,
    /// The condition holds, and not yet long enough.
    Pending {
        alert: Alert,
        since: Timestamp,
    },
    Firing(Firing),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Firing {
    notice: Notice,
    /// Since when the condition is over.
    gone: Option<Timestamp>,
}

/// What happens to a key as time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Nothing came for too long.
    Stale,
    Fire,
    Resolve,
    Remind,
    Forget,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            newest: Timestamp::MIN,
            seen: Timestamp::MIN,
            phase: Phase::Quiet,
            sent: Vec::new(),
            timer: None,
            baseline: None,
        }
    }
}

impl Watch {
    /// Whether there is anything to keep.
    pub(super) fn is_needed(&self) -> bool {
        self.newest > Timestamp::MIN || self.phase != Phase::Quiet || !self.sent.is_empty() || self.baseline.is_some()
    }

    /// When something happens next if nothing comes.
    pub(super) fn next(&self, timing: &Timing) -> Option<Timestamp> {
        self.next_event(timing).map(|(time, _)| time)
    }

    fn next_event(&self, timing: &Timing) -> Option<(Timestamp, Event)> {
        let stale = timing.stale_after.map(|after| (self.seen.plus(after), Event::Stale));
        match &self.phase {
            Phase::Quiet => {
                let known = self.seen.plus(FORGET_AFTER.max(timing.remember_for));
                let flaps = self.sent.last().zip(timing.flap_limit).map(|(last, (_, per))| last.plus(per));
                Some((known.max(flaps.unwrap_or(known)), Event::Forget))
            }
            Phase::Pending { since, .. } => {
                let fire = (since.plus(timing.for_at_least), Event::Fire);
                Some(stale.map_or(fire, |stale| stale.min(fire)))
            }
            Phase::Firing(firing) => {
                let reminder = firing.notice.reminder(timing.remind_every).map(|time| (time, Event::Remind));
                let end = match firing.gone {
                    Some(gone) => Some((gone.plus(self.keep_firing_for(firing, timing)), Event::Resolve)),
                    None => stale,
                };
                reminder.into_iter().chain(end).min()
            }
        }
    }

    /// A key that flaps has to be quiet for as long as the limit looks back.
    fn keep_firing_for(&self, firing: &Firing, timing: &Timing) -> Duration {
        match timing.flap_limit {
            Some((_, per)) if firing.notice.alert.annotations.contains_key("flapping") => {
                timing.keep_firing_for.max(per)
            }
            _ => timing.keep_firing_for,
        }
    }

    /// Time has come to `now`: what was due by then happens, in order. Event time has `reached` the given point: what is
    /// older than that is late.
    pub(super) fn pass(&mut self, now: Timestamp, reached: Timestamp, timing: &Timing, out: &mut Vec<Alert>) {
        while let Some((due, event)) = self.next_event(timing).filter(|(due, _)| *due <= now) {
            match event {
                // Measurements may still come that must find what was newer.
                Event::Forget if timing.clock == Clock::Wall && self.newest > reached => self.seen = now,
                Event::Forget => *self = Self { timer: self.timer, ..Self::default() },
                Event::Stale => self.go_stale(due),
                Event::Fire => self.fire(due, timing, out),
                Event::Resolve => self.resolve(due, timing, out),
                Event::Remind => {
                    if let Phase::Firing(firing) = &mut self.phase {
                        out.push(firing.notice.remind(due, now, timing.remind_every));
                    }
                }
            }
            // What was concluded stays, whatever older measurement comes.
            if timing.clock == Clock::Event && matches!(event, Event::Fire | Event::Resolve) {
                self.newest = self.newest.max(due);
            }
            if !self.is_needed() {
                return;
            }
        }
    }

    /// Learns what a measurement says that is not older than the newest, after [`pass`](Self::pass) to just before it.
    /// `says` is what the rule says of it.
    pub(super) fn measure(
        &mut self,
        verdict: Verdict,
        now: Timestamp,
        says: impl FnOnce() -> Alert,
        out: &mut Vec<Alert>,
    ) {
        self.seen = now;
        match (&mut self.phase, verdict) {
            (Phase::Quiet, Verdict::Bad) => self.phase = Phase::Pending { alert: says(), since: now },
            (Phase::Pending { alert, .. }, Verdict::Bad) => {
                let labels = std::mem::take(&mut alert.labels);
                *alert = Alert { labels, ..says() };
            }
            (Phase::Pending { .. }, Verdict::Between | Verdict::Good) => self.phase = Phase::Quiet,
            (Phase::Firing(firing), Verdict::Bad) => {
                firing.gone = None;
                let now = says();
                let alert = &mut firing.notice.alert;
                let flapping = alert.annotations.remove_entry("flapping");
                alert.summary = now.summary;
                alert.annotations = now.annotations;
                alert.annotations.extend(flapping);
                if now.severity > alert.severity {
                    alert.severity = now.severity;
                    out.push(alert.clone());
                }
            }
            (Phase::Firing(firing), Verdict::Good) => {
                firing.gone = firing.gone.or(Some(now));
                // It speaks again, and says itself that it is over.
                firing.notice.alert.annotations.remove("stale");
            }
            (Phase::Quiet, Verdict::Between | Verdict::Good) | (Phase::Firing(_), Verdict::Between) => {}
        }
    }

    fn go_stale(&mut self, due: Timestamp) {
        match &mut self.phase {
            Phase::Firing(firing) => {
                firing.gone = Some(due);
                firing.notice.alert.annotations.insert("stale".into(), "true".into());
            }
            _ => self.phase = Phase::Quiet,
        }
    }

    fn fire(&mut self, due: Timestamp, timing: &Timing, out: &mut Vec<Alert>) {
        if let Phase::Pending { alert, .. } = std::mem::replace(&mut self.phase, Phase::Quiet) {
            let alert = Alert { starts_at: due, ..alert };
            out.push(alert.clone());
            self.phase = Phase::Firing(Firing { notice: Notice::new(alert), gone: None });
            self.count(due, timing);
        }
    }

    /// Resolves, or, where another firing would be one transition too many, stays on and says so.
    fn resolve(&mut self, due: Timestamp, timing: &Timing, out: &mut Vec<Alert>) {
        self.forget_sent(due, timing);
        let Phase::Firing(firing) = &mut self.phase else { return };
        let alert = &mut firing.notice.alert;
        let too_many = timing.flap_limit.is_some_and(|(most, _)| self.sent.len() + 1 >= most);
        if too_many && !alert.annotations.contains_key("flapping") {
            alert.annotations.insert("flapping".into(), "true".into());
            out.push(alert.clone());
            return;
        }
        out.push(alert.clone().resolved(due));
        self.phase = Phase::Quiet;
        self.count(due, timing);
    }

    /// Counts a transition. There are never more than the limit: the last one that fits is a firing.
    fn count(&mut self, at: Timestamp, timing: &Timing) {
        self.forget_sent(at, timing);
        if timing.flap_limit.is_some() {
            self.sent.push(at);
        }
    }

    fn forget_sent(&mut self, now: Timestamp, timing: &Timing) {
        match timing.flap_limit {
            Some((_, per)) => self.sent.retain(|sent| sent.plus(per) > now),
            None => self.sent.clear(),
        }
    }
}
