//! What is shown of a run while it goes on: the live view, a line now and then, or nothing.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use headwater_operators::Timestamp;

use crate::job::Job;
use crate::progress::{Committed, Progress};
use crate::run::Control;
use crate::{Error, Result, clock, figures};

use super::flags::RunFlags;
use super::log;

const LINE_EVERY: Duration = Duration::from_secs(2);
/// A log that is kept need not grow by the second once the start was seen.
const LOGGED_LINE_EVERY: Duration = Duration::from_secs(60);

pub(super) enum Watch {
    #[cfg(feature = "live")]
    Live(crate::live::Live),
    Lines(Lines),
    Silent,
}

impl Watch {
    /// Starts to log and to show.
    ///
    /// # Errors
    /// `Unavailable` where the terminal or a thread cannot be had.
    pub fn start(job: &Job, flags: &RunFlags, control: &Control) -> Result<Self> {
        #[cfg(feature = "live")]
        if flags.live && io::stdout().is_terminal() && io::stdin().is_terminal() {
            job.keep_off_stdout();
            let live = crate::live::Live::start(job.name(), control.clone())?;
            log::to_view(flags.log_filter(), live.log_tail());
            return Ok(Self::Live(live));
        }
        log::to_stderr(flags.log_filter());
        if flags.live && !cfg!(feature = "live") {
            tracing::warn!("--live is not in this build (feature `live` of headwater)");
        }
        tracing::debug!("{} starts", job.name());
        if flags.is_talkative() { Lines::start(control).map(Self::Lines) } else { Ok(Self::Silent) }
    }

    /// What gives the terminal back at once, from any thread.
    pub fn closer(&self) -> impl FnOnce() + Send + 'static {
        #[cfg(feature = "live")]
        let screen = if let Self::Live(live) = self { Some(live.screen()) } else { None };
        move || {
            #[cfg(feature = "live")]
            if let Some(screen) = screen {
                screen.close();
            }
        }
    }

    /// Shows no more, and gives the terminal back.
    pub fn finish(self) {
        match self {
            #[cfg(feature = "live")]
            Self::Live(live) => drop(live),
            Self::Lines(lines) => drop(lines),
            Self::Silent => {}
        }
    }
}

/// A line now and then, through the log.
pub(super) struct Lines {
    /// Closed to end the thread.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    fn start(control: &Control) -> Result<Self> {
        let (running, until) = channel();
        let progress = Arc::clone(&control.progress);
        let thread = thread::Builder::new().name("progress".into()).spawn(move || write_lines(&progress, &until));
        let thread = thread.map_err(|error| Error::unavailable("no thread can be started").caused_by(error))?;
        Ok(Self { running: Some(running), thread: Some(thread) })
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.running = None;
        if let Some(thread) = self.thread.take() {
            // It only writes lines; had it panicked, the job would be none the worse.
            thread.join().ok();
        }
    }
}

fn write_lines(progress: &Progress, until: &Receiver<()>) {
    let started = clock::now();
    let is_seen = io::stderr().is_terminal();
    let (mut before, mut at) = (progress.records_in(), started);
    loop {
        let is_start = at.duration_since(started) < LOGGED_LINE_EVERY;
        let wait = if is_seen || is_start { LINE_EVERY } else { LOGGED_LINE_EVERY };
        if until.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let (records, now) = (progress.records_in(), clock::now());
        let per_second = (records - before) as f64 / now.duration_since(at).as_secs_f64();
        tracing::info!("{}", line(records, per_second, &progress.committed()));
        (before, at) = (records, now);
    }
}

/// `98,304 records (49 k/s), 12 alerts, watermark 2026-03-01T09:12:00Z, epoch 9`
fn line(records: u64, per_second: f64, committed: &Committed) -> String {
    let mut line = format!("{} records ({})", figures::count(records), figures::rate(per_second));
    for (topic, written) in &committed.records_out {
        line += &format!(", {} {topic}", figures::count(*written));
    }
    for (what, number) in [("late", committed.late), ("bad", committed.bad)] {
        if number > 0 {
            line += &format!(", {} {what}", figures::count(number));
        }
    }
    if let Some(watermark) = committed.watermark.filter(|watermark| *watermark != Timestamp::MIN) {
        line += &format!(", watermark {}", figures::time(watermark));
    }
    line + &format!(", epoch {}", committed.epoch)
}
