//! A server that answers as a test says, and tells what it was sent.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use headwater::prelude::*;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

pub const AT_MOST: Duration = Duration::from_secs(30);

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status, headers and a body.
    Status(u16, Vec<(&'static str, &'static str)>, String),
    /// The same, but the connection ends in the middle of the body.
    Cut(u16, String),
    /// The connection ends without an answer.
    HangUp,
    /// Nothing, ever.
    Silence,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Status(status, Vec::new(), String::new())
    }
}

/// A server on a port of its own, until it is dropped.
pub struct Receiver {
    pub address: SocketAddr,
    received: mpsc::Receiver<Received>,
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Answers each request as `reply` says.
    pub fn start(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (tell, received) = mpsc::channel();
        let (running, until) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = runtime();
            runtime.spawn(serve(listener, reply, tell));
            drop(runtime.block_on(until));
        });
        Self { address, received, running: Some(running), thread: Some(thread) }
    }

    /// Answers with these, one after the other, and from then on with 200.
    pub fn replying(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies: std::collections::VecDeque<Reply> = replies.into_iter().collect();
        let replies = std::sync::Mutex::new(replies);
        Self::start(move |_| replies.lock().unwrap().pop_front().unwrap_or(Reply::status(200)))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request.
    #[track_caller]
    pub fn next(&self) -> Received {
        self.received.recv_timeout(AT_MOST).expect("a request")
    }

    /// All requests that came and were not looked at.
    pub fn rest(&self) -> Vec<Received> {
        self.received.try_iter().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.running.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

async fn serve(
    listener: TcpListener,
    reply: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    tell: mpsc::Sender<Received>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let reply = std::sync::Arc::new(reply);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (reply, tell) = (reply.clone(), tell.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (reply, tell) = (reply.clone(), tell.clone());
            async move {
                let received = read(request).await?;
                let reply = reply(&received);
                // The test may not look any more.
                tell.send(received).ok();
                answer(reply).await
            }
        });
        // A connection that we ended is none that failed.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok() });
    }
}

async fn read(request: Request<Incoming>) -> io::Result<Received> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Received {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    })
}

async fn answer(reply: Reply) -> io::Result<Response<Said>> {
    let (status, headers, text, cut) = match reply {
        Reply::Status(status, headers, text) => (status, headers, text, false),
        Reply::Cut(status, text) => (status, Vec::new(), text, true),
        Reply::HangUp => return Err(io::Error::other("hung up")),
        Reply::Silence => std::future::pending().await,
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Said { text: Some(text.into()), cut, sent: false }).unwrap())
}

/// A body that may break off.
struct Said {
    text: Option<Bytes>,
    cut: bool,
    sent: bool,
}

impl Body for Said {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(text) = self.text.take() {
            return Poll::Ready(Some(Ok(Frame::data(text))));
        }
        if !self.cut {
            return Poll::Ready(None);
        }
        if !self.sent {
            // What was said so far is sent where there is a pause.
            self.sent = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("cut"))))
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A place where nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits for what a connector does, on the thread's own runtime, as the outbox does on its own.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local! { static RUNTIME: Runtime = runtime(); }
    RUNTIME.with(|runtime| {
        // The outbox's runtime goes on between attempts, and sees connections end. This one has a moment for it.
        let moment = async { tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>()).await };
        runtime.block_on(moment).expect_err("that never ends");
        runtime.block_on(future)
    })
}

/// Makes an attempt. An outbox ends it after a while; here that is a bug.
#[track_caller]
pub fn deliver<T>(connector: &impl Connector<T>, attempt: &Attempt<T>) -> Result<(), Failure> {
    wait(async { tokio::time::timeout(AT_MOST, connector.deliver(attempt)).await }).expect("an end within the time")
}

/// An attempt to deliver an item, decided on at noon.
pub fn attempt<T>(item: T, number: u32) -> Attempt<T> {
    let at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    Attempt { item, idempotency_key: "orders/7 of 9%Ω".into(), number, added: at, at, seq: 7 }
}

/// How the key of such an attempt arrives.
pub const KEY: &str = "orders/7%20of%209%25%CE%A9";
