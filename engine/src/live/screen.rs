//! The terminal, taken and given back.

use std::io::{self, stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{LeaveAlternateScreen, disable_raw_mode};
use ratatui::{DefaultTerminal, Frame};

/// How often the end of a frame is looked for before the terminal is given back, and how long each time. A thread that
/// panics while it draws never ends it.
const LOOKS: u32 = 100;
const LOOK: Duration = Duration::from_millis(1);

/// The terminal while the view has it. Clones share it, and whichever closes it first gives it back; from then on nothing
/// is drawn.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Held>);

struct Held {
    terminal: Mutex<DefaultTerminal>,
    open: AtomicBool,
    closing: Once,
}

impl Screen {
    /// Takes the terminal. A panic anywhere gives it back before its message is written.
    pub(super) fn open() -> io::Result<Self> {
        // What fails half-way has perhaps taken half of it.
        let terminal = ratatui::try_init().inspect_err(|_| ratatui::restore())?;
        let (terminal, open, closing) = (Mutex::new(terminal), AtomicBool::new(true), Once::new());
        let screen = Self(Arc::new(Held { terminal, open, closing }));
        let before = panic::take_hook();
        let to_close = screen.clone();
        panic::set_hook(Box::new(move |panic| {
            to_close.close();
            before(panic);
        }));
        Ok(screen)
    }

    /// Draws, and returns whether that went well.
    pub(super) fn draw(&self, render: impl FnOnce(&mut Frame<'_>)) -> bool {
        let mut terminal = self.0.terminal.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.open.load(Ordering::Acquire) && terminal.draw(render).is_ok()
    }

    /// Gives the terminal back, if nobody has. Whoever comes second waits until it is done: the process may end next.
    pub(crate) fn close(&self) {
        self.0.open.store(false, Ordering::Release);
        self.0.closing.call_once(|| {
            // First, because it matters most and waits for nobody: neither for a frame nor for a terminal that reads.
            let cooked = disable_raw_mode();
            self.await_frame();
            // Where the terminal is gone, there is nothing to give back and nowhere to say so.
            execute!(stdout(), LeaveAlternateScreen, Show).and(cooked).ok();
        });
    }

    /// Waits until no frame is being drawn: what is left of one would be written behind what closes the terminal. No
    /// other frame begins.
    fn await_frame(&self) {
        for _ in 0..LOOKS {
            match self.0.terminal.try_lock() {
                Ok(_) | Err(TryLockError::Poisoned(_)) => return,
                Err(TryLockError::WouldBlock) => thread::park_timeout(LOOK),
            }
        }
    }
}
