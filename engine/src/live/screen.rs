//! The terminal, taken and given back.

use std::io;
use std::panic;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use ratatui::{DefaultTerminal, Frame};

/// The terminal while the view has it. Clones share it, and whichever closes it first gives it back; from then on nothing
/// is drawn.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Mutex<Option<DefaultTerminal>>>);

impl Screen {
    /// Takes the terminal. A panic anywhere gives it back before its message is written.
    pub(super) fn open() -> io::Result<Self> {
        let screen = Self(Arc::new(Mutex::new(Some(ratatui::try_init()?))));
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
        let mut terminal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        terminal.as_mut().is_some_and(|terminal| terminal.draw(render).is_ok())
    }

    /// Gives the terminal back, if nobody has.
    pub(crate) fn close(&self) {
        let was_open = match self.0.try_lock() {
            Ok(mut terminal) => terminal.take().is_some(),
            Err(TryLockError::Poisoned(terminal)) => terminal.into_inner().take().is_some(),
            // The drawing thread has it: it has panicked, or the process is about to end.
            Err(TryLockError::WouldBlock) => true,
        };
        if was_open {
            ratatui::restore();
        }
    }
}
