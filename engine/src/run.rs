//! Runs a job: attempt after attempt, each from the last commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::job_state::{JobState, Membership};
use crate::plan::Plan;
use crate::progress::{Committed, Phase, Progress};
use crate::{Error, Kind, Result, RunOptions, attempt, clock};

/// The handle by which others watch a run and stop it. Clones are the same handle.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// How far the run is.
    pub progress: Arc<Progress>,
    stop: Arc<AtomicBool>,
}

impl Control {
    /// Asks the run to finish its epoch and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The picture after its last commit.
    pub committed: Committed,
    /// Records that this run read.
    pub records_in: u64,
    /// Epochs that this run committed.
    pub epochs: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// How often it went back to the last commit because something outside was away.
    pub restarts: u32,
}

/// The first wait before a restart; each further one is twice as long.
const BACK_OFF: Duration = Duration::from_millis(250);
/// The longest wait before a restart.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// The same where brokers are all that may be away: opening waits for them, too.
const BACK_OFF_SHARED_MAX: Duration = Duration::from_secs(2);

/// After so many failures in a row it is asked anew what the topics are: one may be gone.
const REPLAN_AFTER: u32 = 3;

/// After so many attempts in a row that failed by this machine's own fault, another instance may try.
const LOCAL_MAX: u32 = 3;
/// An attempt that lasted so long has not failed at once.
const LOCAL_LASTS: Duration = Duration::from_secs(60);

/// Runs a plan until its inputs end, somebody stops it, or it cannot go on.
///
/// The plan is made anew where a topic has got partitions meanwhile, and after several failures.
pub(crate) fn run(make: &dyn Fn() -> Result<Plan>, options: &RunOptions, control: &Control) -> Result<Summary> {
    let began = clock::now();
    let mut plan = make()?;
    let mut membership = Membership::default();
    let mut state = None;
    let mut restarts = 0;
    let mut failures = Failures::default();
    let mut epochs = 0;
    loop {
        let (before, attempt) = (control.progress.committed().epoch, clock::now());
        let opened = JobState::again(&mut state, &plan, options, control, &mut membership);
        let ran = opened.and_then(|state| state.map_or(Ok(0), |state| attempt::run(&plan, options, state, control)));
        let error = match ran {
            Ok(commits) => {
                epochs += commits;
                break;
            }
            Err(error) => error,
        };
        let after = control.progress.committed().epoch;
        epochs += after.saturating_sub(before);
        failures.count(&error, after > before, clock::now() - attempt);
        let shares = options.shares();
        // Whoever gives a wrong address or directory learns of it at once.
        if !passes(&error, failures.in_a_row, options) || !membership.has_begun() || control.stopping() {
            control.progress.enter(Phase::Failed(error.to_string()));
            return Err(error);
        }
        control.progress.restart(&error);
        let wait_max = if shares { BACK_OFF_SHARED_MAX } else { BACK_OFF_MAX };
        let wait = BACK_OFF.saturating_mul(1 << failures.in_a_row.min(16)).min(wait_max);
        tracing::warn!(%error, ?wait, "going back to the last commit");
        clock::wait(wait, || control.stopping());
        failures.in_a_row += 1;
        restarts += 1;
        // State in memory is all there is of it.
        if options.state.is_some() || shares {
            state = None;
        }
        if failures.local >= LOCAL_MAX
            && let Err(error) = membership.step_aside(control)
        {
            tracing::debug!(%error, "not stepped aside");
        }
        if plan.is_outdated() || failures.in_a_row >= REPLAN_AFTER {
            plan = replan(plan, make)?;
        }
    }
    Ok(Summary {
        committed: control.progress.committed(),
        records_in: control.progress.records_in(),
        epochs,
        elapsed: clock::now() - began,
        restarts,
    })
}

/// Failures one after the other.
#[derive(Default)]
struct Failures {
    /// Since a commit.
    in_a_row: u32,
    /// By this machine's own fault, each soon after the one before. Opening commits, too, so commits do not end them.
    local: u32,
}

impl Failures {
    /// Counts the failure of an attempt that has lasted so long.
    fn count(&mut self, error: &Error, committed: bool, lasted: Duration) {
        if committed {
            self.in_a_row = 0;
        }
        self.local = match error.is_local() {
            true if lasted < LOCAL_LASTS => self.local + 1,
            is_local => u32::from(is_local),
        };
    }
}

/// Whether an error may be gone at the next attempt.
fn passes(error: &Error, in_a_row: u32, options: &RunOptions) -> bool {
    // Another instance that takes over, or a broker that is away, does not end one that stands by.
    match error.kind() {
        Kind::Unavailable => in_a_row < options.restarts_max || options.shares(),
        Kind::Fenced => options.shares(),
        _ => false,
    }
}

/// The plan with what topics have got.
fn replan(old: Plan, make: &dyn Fn() -> Result<Plan>) -> Result<Plan> {
    match make() {
        // The old one still holds for what it has; the next attempt tells again.
        Err(error) if error.kind() == Kind::Unavailable => {
            tracing::debug!(%error, "the old plan is kept");
            Ok(old)
        }
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_this_machine_are_counted_though_opening_commits() {
        let local = || Error::unavailable("disk full").caused_by(std::io::Error::other("no space"));
        let soon = Duration::from_secs(1);
        let mut failures = Failures::default();
        let mut count = |error: &Error, lasted| {
            failures.count(error, true, lasted);
            failures.local
        };
        assert_eq!(count(&local(), LOCAL_LASTS), 1);
        assert_eq!((count(&local(), soon), count(&local(), soon)), (2, 3));
        assert_eq!(count(&Error::unavailable("no broker"), soon), 0);
        assert_eq!((count(&local(), soon), count(&local(), LOCAL_LASTS)), (1, 1));
    }
}
