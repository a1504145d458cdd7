//! The port: who may connect, and for how long.

use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::answer::Subject;
use crate::{Error, Result, clock};

/// Who connects says what is wanted within this time.
const HEAD_MAX: Duration = Duration::from_secs(3);
/// One request and its answer take at most this long; then the connection is closed.
const CONNECTION_MAX: Duration = Duration::from_secs(10);
/// Connections at once; more wait in the queue of the system.
const CONNECTIONS_MAX: usize = 64;
/// When the system has no more connections to give, it is asked again after this.
const REFUSED_WAIT: Duration = Duration::from_millis(100);

/// A thread that answers until this is dropped.
pub(super) struct Server {
    subject: Arc<Subject>,
    /// Dropped to end the thread.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes the port and answers.
    ///
    /// # Errors
    /// `Config` where the address cannot be had, `Unavailable` where a thread cannot.
    pub fn start(subject: Arc<Subject>, wanted: SocketAddr) -> Result<Self> {
        let taken = |error| {
            Error::config(format!(
                "--http {wanted} cannot be listened at; give another address, or port 0 for a free one"
            ))
            .caused_by(error)
        };
        let refused = |error| Error::unavailable("answer HTTP").caused_by(error);
        let listener = std::net::TcpListener::bind(wanted).map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener).map_err(refused)?
        };
        let (running, until) = oneshot::channel::<()>();
        let served = Arc::clone(&subject);
        let body = move || serve(&runtime, listener, served, until);
        let thread = std::thread::Builder::new().name("http".into()).spawn(body).map_err(refused)?;
        subject.progress().set_http_address(Some(address));
        tracing::info!("http://{address} answers /metrics, /healthz and /readyz");
        Ok(Self { subject, running: Some(running), thread: Some(thread) })
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.subject.progress().set_http_address(None);
        self.running = None;
        if let Some(thread) = self.thread.take() {
            // It only answers; had it panicked, the job would be none the worse.
            thread.join().ok();
        }
    }
}

/// Answers until `until` is closed, and then leaves what is under way.
fn serve(runtime: &Runtime, listener: TcpListener, subject: Arc<Subject>, until: oneshot::Receiver<()>) {
    runtime.spawn(accept(listener, subject));
    // Nothing is ever sent: the other end goes.
    runtime.block_on(until).ok();
}

async fn accept(listener: TcpListener, subject: Arc<Subject>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, Arc::clone(&subject), place));
            }
            Err(error) => {
                tracing::debug!(%error, "no HTTP connection can be taken");
                clock::pause(REFUSED_WAIT).await;
            }
        }
    }
}

/// One request and its answer.
async fn converse(stream: TcpStream, subject: Arc<Subject>, place: OwnedSemaphorePermit) {
    let service = service_fn(|request| ready(Ok::<_, Infallible>(subject.answer(&request))));
    let mut http = http1::Builder::new();
    // Scrapes are rare, so a connection is not worth its place between two.
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).keep_alive(false);
    let served = timeout(CONNECTION_MAX, http.serve_connection(TokioIo::new(stream), service)).await;
    if !matches!(served, Ok(Ok(()))) {
        tracing::debug!(?served, "an HTTP connection ended early");
    }
    drop(place);
}
