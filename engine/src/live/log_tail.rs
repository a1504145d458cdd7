//! The log while the view has the terminal: the last lines, shown in the view and written out after it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// Older lines are dropped, and counted.
const LINES_MAX: usize = 200;
const LINE_CHARS_MAX: usize = 400;

/// The last lines of the log. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct LogTail(Arc<Mutex<Lines>>);

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    dropped: usize,
    /// The view is gone: lines go to standard error again.
    released: bool,
}

impl LogTail {
    /// The newest lines, oldest of them first.
    pub(super) fn newest(&self, lines: usize) -> Vec<String> {
        let kept = &self.lock().kept;
        kept.iter().skip(kept.len().saturating_sub(lines)).cloned().collect()
    }

    /// Writes the kept lines to standard error, where later ones go as well.
    pub(super) fn release(&self) {
        let mut lines = self.lock();
        lines.released = true;
        let mut stderr = io::stderr().lock();
        let dropped = match std::mem::take(&mut lines.dropped) {
            0 => Ok(()),
            dropped => writeln!(stderr, "({dropped} older lines of the log were dropped)"),
        };
        // Without a standard error there is nowhere to complain either.
        lines.kept.drain(..).try_fold((), |(), line| writeln!(stderr, "{line}")).and(dropped).ok();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogTail {
    /// Takes one event, as `tracing-subscriber` writes them.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut lines = self.lock();
        if lines.released {
            io::stderr().write_all(event)?;
            return Ok(event.len());
        }
        for line in String::from_utf8_lossy(event).lines() {
            lines.kept.push_back(line.chars().take(LINE_CHARS_MAX).collect());
        }
        while lines.kept.len() > LINES_MAX {
            lines.kept.pop_front();
            lines.dropped += 1;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogTail {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_lines_are_kept() {
        let mut tail = LogTail::default();
        for line in 0..LINES_MAX + 5 {
            tail.write_all(format!("line {line}\n").as_bytes()).unwrap();
        }
        assert_eq!(tail.newest(2), [format!("line {}", LINES_MAX + 3), format!("line {}", LINES_MAX + 4)]);
        assert_eq!(tail.lock().dropped, 5);
    }
}
