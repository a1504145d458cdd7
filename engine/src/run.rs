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

/// After so many attempts in a row that failed by this machine's own fault, another instance may try.
const LOCAL_MAX: u32 = 3;

/// Runs a plan until its inputs end, somebody stops it, or it cannot go on.
///
/// The plan is made anew where a topic has got partitions meanwhile.
pub(crate) fn run(make: &dyn Fn() -> Result<Plan>, options: &RunOptions, control: &Control) -> Result<Summary> {
    let began = clock::now();
    let mut plan = make()?;
    let mut membership = Membership::default();
    let mut state = None;
    let mut restarts = 0;
    let mut in_a_row = 0;
    let mut epochs = 0;
    loop {
        let before = control.progress.committed().epoch;
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
        if after > before {
            in_a_row = 0;
        }
        let shares = options.shares();
        // Whoever gives a wrong address or directory learns of it at once.
        if !passes(&error, in_a_row, options) || !membership.has_begun() || control.stopping() {
            control.progress.enter(Phase::Failed(error.to_string()));
            return Err(error);
        }
        control.progress.restart(&error);
        let wait_max = if shares { BACK_OFF_SHARED_MAX } else { BACK_OFF_MAX };
        let wait = BACK_OFF.saturating_mul(1 << in_a_row.min(16)).min(wait_max);
        tracing::warn!(%error, ?wait, "going back to the last commit");
        clock::wait(wait, || control.stopping());
        in_a_row += 1;
        restarts += 1;
        // State in memory is all there is of it.
        if options.state.is_some() || shares {
            state = None;
        }
        if in_a_row >= LOCAL_MAX
            && let Err(error) = membership.step_aside(&error, control)
        {
            tracing::debug!(%error, "not stepped aside");
        }
        if plan.is_outdated() {
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
