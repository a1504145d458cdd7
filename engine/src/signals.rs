//! SIGINT and SIGTERM: the first stops the job after the running epoch, a second one exits at once.

use std::future::poll_fn;
use std::sync::mpsc::channel;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::run::Control;
use crate::{Error, Result};

/// Signals that end the process no more, and wait to be watched.
pub(crate) struct Caught {
    runtime: Runtime,
    signals: Signals,
}

impl Caught {
    /// Catches them from here on: before the terminal is taken, which a signal that ends the process would leave as it is.
    ///
    /// # Errors
    /// `Unavailable` where the system refuses.
    pub fn register() -> Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let signals = {
            let _entered = runtime.enter();
            Signals::register().map_err(refused)?
        };
        Ok(Self { runtime, signals })
    }

    /// Watches until the process ends, on a thread of its own; after `limit` it stops the job as a signal does. `close`
    /// runs before an exit at once, and gives the terminal back.
    ///
    /// # Errors
    /// `Unavailable` where the system refuses.
    pub fn watch(self, control: Control, limit: Option<Duration>, close: impl FnOnce() + Send + 'static) -> Result<()> {
        let Self { runtime, mut signals } = self;
        let body = move || exit(runtime.block_on(stop_then_exit(&mut signals, &control, limit)), close);
        thread::Builder::new().name("signals".into()).spawn(body).map_err(refused)?;
        Ok(())
    }
}

fn refused(error: std::io::Error) -> Error {
    Error::unavailable("signals cannot be watched").caused_by(error)
}

/// Ends the process with nothing run on the way out: other threads are in the midst of their work, and what is not
/// committed is not wanted.
pub(crate) fn exit(code: i32, close: impl FnOnce() + Send + 'static) -> ! {
    let (closing, closed) = channel::<()>();
    let body = move || {
        close();
        drop(closing);
    };
    // A terminal that takes nothing more would hold up whoever writes to it.
    if thread::Builder::new().name("exit".into()).spawn(body).is_ok() {
        closed.recv_timeout(CLOSE_MAX).ok();
    }
    signal_hook::low_level::exit(code)
}

/// How long an exit at once waits for the terminal to be given back.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// The exit code of a process that this signal ended.
pub(crate) const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

/// Returns the exit code when a second signal has come.
async fn stop_then_exit(signals: &mut Signals, control: &Control, limit: Option<Duration>) -> i32 {
    let first = match limit {
        Some(limit) => timeout(limit, signals.next()).await.ok(),
        None => Some(signals.next().await),
    };
    control.stop();
    if first.is_some() {
        tracing::info!("stopping after this epoch; once more to exit at once");
    } else {
        // Nobody has asked yet.
        signals.next().await;
    }
    signals.next().await
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn register() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one, and returns the exit code that belongs to it.
    async fn next(&mut self) -> i32 {
        poll_fn(|cx| {
            if self.interrupt.poll_recv(cx).is_ready() {
                Poll::Ready(INTERRUPTED)
            } else if self.terminate.poll_recv(cx).is_ready() {
                Poll::Ready(TERMINATED)
            } else {
                Poll::Pending
            }
        })
        .await
    }
}
