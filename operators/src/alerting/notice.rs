//! An alert that is on, and its reminders.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::micros_of;
use crate::{Alert, Timestamp};

/// The least time there is: what is due at a time has passed only after it, or records of that very time would come
/// before or after it as batches have it.
pub(super) const INSTANT: Duration = Duration::from_micros(1);

/// An alert that is on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Notice {
    pub alert: Alert,
    /// When the next reminder is due; by its start where none was sent.
    next_reminder: Option<Timestamp>,
    reminders: u32,
}

impl Notice {
    pub fn new(alert: Alert) -> Self {
        Self { alert, next_reminder: None, reminders: 0 }
    }

    /// When it reminds next.
    pub fn reminder(&self, every: Option<Duration>) -> Option<Timestamp> {
        every.map(|every| self.next_reminder.unwrap_or_else(|| self.alert.starts_at.plus(every)))
    }

    /// The reminder that is due at `due`. The next one is the first after `now`, so that a leap does not send many.
    pub fn remind(&mut self, due: Timestamp, now: Timestamp, every: Option<Duration>) -> Alert {
        let every = micros_of(every.unwrap_or(INSTANT)).max(1);
        let leapt = now.max(due).as_micros().saturating_sub(due.as_micros()) / every;
        let next = due.as_micros().saturating_add(leapt.saturating_add(1).saturating_mul(every));
        self.next_reminder = Some(Timestamp::from_micros(next));
        self.reminders = self.reminders.saturating_add(1);
        self.alert.clone().annotation("reminder", self.reminders.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leap_over_several_reminders_sends_one_and_keeps_their_distance() {
        let at = Timestamp::from_seconds;
        let every = Some(Duration::from_secs(10));
        let mut notice = Notice::new(Alert::firing("A", "s", at(5)));
        assert_eq!(notice.reminder(every), Some(at(15)));
        let reminder = notice.remind(at(15), at(47), every);
        assert_eq!(reminder.annotations["reminder"], "1");
        assert_eq!(notice.reminder(every), Some(at(55)));
        assert_eq!(notice.remind(at(55), at(55), every).annotations["reminder"], "2");
        assert_eq!(notice.reminder(every), Some(at(65)));
        assert_eq!(notice.reminder(None), None);
    }
}
