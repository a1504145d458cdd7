//! `run --live`: the job in the terminal.
//!
//! The view has a thread of its own and looks at `control.progress` ten times a second; the job knows nothing of it.

mod history;
mod log_tail;
mod screen;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::run::Control;
use crate::{Error, Result, clock, signals};

use history::History;
pub(crate) use log_tail::LogTail;
pub(crate) use screen::Screen;
use view::Picture;

const FRAME: Duration = Duration::from_millis(100);

/// A view that has the terminal until it is dropped.
pub(crate) struct Live {
    screen: Screen,
    tail: LogTail,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Takes the terminal.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be had.
    pub(crate) fn start(job: &str, control: Control) -> Result<Self> {
        let refused = |error| Error::unavailable("the terminal cannot be used for --live").caused_by(error);
        let screen = Screen::open().map_err(refused)?;
        let tail = LogTail::default();
        let over = Arc::new(AtomicBool::new(false));
        let mut live = Self { screen: screen.clone(), tail: tail.clone(), over: Arc::clone(&over), thread: None };
        let show = Show { job: job.to_owned(), control, screen, tail, started: clock::now(), over };
        let thread = thread::Builder::new().name("live".into()).spawn(move || show.run());
        live.thread = Some(thread.map_err(refused)?);
        Ok(live)
    }

    /// Where the log goes while the view has the terminal.
    pub(crate) fn log_tail(&self) -> LogTail {
        self.tail.clone()
    }

    /// What the terminal can be given back with.
    pub(crate) fn screen(&self) -> Screen {
        self.screen.clone()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only draws; had it panicked, the job would be none the worse.
            thread.join().ok();
        }
        self.screen.close();
        self.tail.release();
    }
}

/// What the view's thread has.
struct Show {
    job: String,
    control: Control,
    screen: Screen,
    tail: LogTail,
    started: Instant,
    over: Arc<AtomicBool>,
}

impl Show {
    /// Draws until the run is over or the terminal is gone. A view that cannot draw ends; the job goes on.
    fn run(self) {
        let mut history = History::new(self.started, self.control.progress.records_in());
        while !self.over.load(Ordering::Relaxed) {
            let now = clock::now();
            history.add(now, self.control.progress.records_in());
            let picture = Picture {
                job: &self.job,
                running: now.duration_since(self.started),
                stopping: self.control.stopping(),
                records: self.control.progress.records_in(),
                history: &history,
                committed: &self.control.progress.committed(),
                log: &self.tail.newest(3),
            };
            if !self.screen.draw(|frame| view::draw(frame, &picture)) || self.answer_keys(now + FRAME).is_err() {
                self.screen.close();
                return;
            }
        }
    }

    /// Answers keys until it is time for the next frame. A resize calls for one at once.
    fn answer_keys(&self, until: Instant) -> std::io::Result<()> {
        while event::poll(until.saturating_duration_since(clock::now()))? {
            match event::read()? {
                Event::Key(key) if is_quit(&key) && self.control.stopping() => {
                    let screen = self.screen.clone();
                    signals::exit(signals::INTERRUPTED, move || screen.close());
                }
                Event::Key(key) if is_quit(&key) => self.control.stop(),
                Event::Resize(..) => return Ok(()),
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_quit(key: &KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press
        && match key.code {
            KeyCode::Esc | KeyCode::Char('q') => true,
            KeyCode::Char('c') => is_control,
            _ => false,
        }
}
