//! A proxy between clients and one broker that reads requests as it passes them on, so that it can do to one of a chosen
//! kind what a bad network does.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::frames::{Header, correlation, header, read_frame};

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// It reaches the broker this much later, or when it is let go; what the connection brings behind it waits.
    Hold(Duration),
    /// The connection is cut, and the request never reaches the broker.
    CutBefore,
    /// It reaches the broker, whose response is lost with the connection.
    CutAfter,
    /// Nothing: both pass.
    Watch,
    /// The client's side is cut at once. The request reaches the broker this much later, or when it is let go, by the
    /// connection that it came by.
    Late(Duration),
}

/// Which request something is done to: the first that fits.
#[derive(Clone, Debug)]
pub struct Rule {
    pub api: i16,
    /// The start of a client's id; none is any client.
    pub client: Option<String>,
    pub act: Act,
}

/// How far the request of a rule is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// None has come.
    Armed,
    /// It came, and waits or is on its way.
    Hit,
    /// All is done. With the broker's response, if it was waited for; none where it was not asked, or is gone.
    Done(Option<Vec<u8>>),
}

/// A rule that lies in wait.
pub struct Trap {
    rule: Rule,
    /// The stage, and whether the request is let go before its time.
    state: Mutex<(Stage, bool)>,
    changed: Condvar,
}

impl Trap {
    pub fn stage(&self) -> Stage {
        self.state.lock().unwrap().0.clone()
    }

    /// Waits until the request has come and all is done with it; false if it is not in time.
    pub fn is_done(&self, limit: Duration) -> bool {
        let state = self.state.lock().unwrap();
        let is_done = |stage: &Stage| matches!(stage, Stage::Done(_));
        let (state, _) = self.changed.wait_timeout_while(state, limit, |(stage, _)| !is_done(stage)).unwrap();
        is_done(&state.0)
    }

    /// Lets a request go that is held or late.
    pub fn let_go(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn wait_to_go(&self, limit: Duration) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_timeout_while(state, limit, |(_, go)| !*go).unwrap());
    }

    /// Stages come one after the other; a request that is done stays so.
    fn reach(&self, stage: Stage) {
        let mut state = self.state.lock().unwrap();
        if !matches!(state.0, Stage::Done(_)) {
            state.0 = stage;
        }
        self.changed.notify_all();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Open,
    /// Nothing passes, nothing is cut.
    Stopped,
    Closed,
}

/// The proxy. It ends when it is dropped, and cuts its connections.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    broker: SocketAddr,
    flow: Mutex<Flow>,
    flow_changed: Condvar,
    traps: Mutex<Vec<Arc<Trap>>>,
    /// Requests that reached the broker, by API.
    passed: Mutex<HashMap<i16, u64>>,
    connections: Mutex<Vec<Weak<Connection>>>,
}

impl Proxy {
    pub fn start(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            broker,
            flow: Mutex::new(Flow::Open),
            flow_changed: Condvar::new(),
            traps: Mutex::default(),
            passed: Mutex::default(),
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if !accepting.is_open() {
                    return;
                }
                // A broker that is down refuses, and so do we.
                if let Ok(client) = client
                    && let Ok(broker) = TcpStream::connect(accepting.broker)
                {
                    Connection::start(client, broker, &accepting);
                }
            }
        });
        Self { port, shared }
    }

    pub fn arm(&self, rule: Rule) -> Arc<Trap> {
        let trap = Trap { rule, state: Mutex::new((Stage::Armed, false)), changed: Condvar::new() };
        let trap = Arc::new(trap);
        self.shared.traps.lock().unwrap().push(Arc::clone(&trap));
        trap
    }

    /// Takes back what has not been hit.
    pub fn disarm(&self) {
        self.shared.traps.lock().unwrap().clear();
    }

    /// How many requests of a kind have reached the broker.
    pub fn passed(&self, api: i16) -> u64 {
        self.shared.passed.lock().unwrap().get(&api).copied().unwrap_or(0)
    }

    /// Lets nothing pass, as a network that drops packets; connections stay open.
    pub fn stop(&self) {
        self.shared.set_flow(Flow::Stopped);
    }

    /// Lets pass what [`stop`](Self::stop) held back, and all that follows.
    pub fn heal(&self) {
        self.shared.set_flow(Flow::Open);
    }

    /// Cuts all connections that are there.
    pub fn cut(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..).filter_map(|weak| weak.upgrade()) {
            connection.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.set_flow(Flow::Closed);
        self.cut();
        // The listener looks at the flow when somebody comes.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

impl Shared {
    fn set_flow(&self, flow: Flow) {
        *self.flow.lock().unwrap() = flow;
        self.flow_changed.notify_all();
    }

    /// Waits until something may pass; false if nothing ever will.
    fn is_open(&self) -> bool {
        let flow = self.flow.lock().unwrap();
        *self.flow_changed.wait_while(flow, |flow| *flow == Flow::Stopped).unwrap() == Flow::Open
    }

    /// The trap that a request falls into. Nothing else does then.
    fn take(&self, header: &Header) -> Option<Arc<Trap>> {
        let mut traps = self.traps.lock().unwrap();
        let fits = |trap: &Arc<Trap>| {
            let Rule { api, client, .. } = &trap.rule;
            let is_of = |wanted: &String| header.client.as_ref().is_some_and(|client| client.starts_with(wanted));
            *api == header.api && client.as_ref().is_none_or(is_of)
        };
        let at = traps.iter().position(fits)?;
        Some(traps.remove(at))
    }
}

/// A client's connection and the one that goes on to the broker, with a thread for each direction.
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    shared: Arc<Shared>,
    /// The request whose response is waited for.
    awaited: Mutex<Option<(i32, Arc<Trap>)>>,
}

impl Connection {
    fn start(client: TcpStream, broker: TcpStream, shared: &Arc<Shared>) {
        for stream in [&client, &broker] {
            stream.set_nodelay(true).ok();
        }
        let connection = Arc::new(Self { client, broker, shared: Arc::clone(shared), awaited: Mutex::default() });
        let mut all = shared.connections.lock().unwrap();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&connection));
        let other = Arc::clone(&connection);
        thread::spawn(move || {
            // Whoever ended it, what is left of it ends too.
            other.requests().ok();
            other.end();
        });
        thread::spawn(move || {
            connection.responses().ok();
            connection.end();
        });
    }

    fn cut(&self) {
        self.client.shutdown(Shutdown::Both).ok();
        self.broker.shutdown(Shutdown::Both).ok();
    }

    fn end(&self) {
        self.cut();
        if let Some((_, trap)) = self.awaited.lock().unwrap().take() {
            trap.reach(Stage::Done(None));
        }
    }

    fn requests(&self) -> io::Result<()> {
        while let Some(frame) = read_frame(&mut &self.client)? {
            let header = header(&frame).ok_or_else(|| io::Error::other("not a request"))?;
            if !self.shared.is_open() {
                return Ok(());
            }
            let Some(trap) = self.shared.take(&header) else {
                self.pass(&header, &frame)?;
                continue;
            };
            trap.reach(Stage::Hit);
            match trap.rule.act {
                Act::Hold(time) => {
                    trap.wait_to_go(time);
                    let passed = self.pass(&header, &frame);
                    trap.reach(Stage::Done(None));
                    passed?;
                }
                Act::CutBefore => {
                    self.cut();
                    trap.reach(Stage::Done(None));
                    return Ok(());
                }
                Act::CutAfter => {
                    self.await_of(&header, &trap);
                    self.pass(&header, &frame)?;
                    return self.await_response();
                }
                Act::Watch => {
                    self.await_of(&header, &trap);
                    self.pass(&header, &frame)?;
                }
                Act::Late(time) => {
                    self.await_of(&header, &trap);
                    self.client.shutdown(Shutdown::Both).ok();
                    trap.wait_to_go(time);
                    self.pass(&header, &frame)?;
                    return self.await_response();
                }
            }
        }
        Ok(())
    }

    fn pass(&self, header: &Header, frame: &[u8]) -> io::Result<()> {
        (&self.broker).write_all(frame)?;
        *self.shared.passed.lock().unwrap().entry(header.api).or_default() += 1;
        Ok(())
    }

    fn await_of(&self, header: &Header, trap: &Arc<Trap>) {
        *self.awaited.lock().unwrap() = Some((header.correlation, Arc::clone(trap)));
    }

    /// The other thread gets the response and ends the connection; until then it stays open.
    fn await_response(&self) -> io::Result<()> {
        let trap = self.awaited.lock().unwrap().as_ref().map(|(_, trap)| Arc::clone(trap));
        let limit = Duration::from_secs(60);
        match trap {
            Some(trap) if !trap.is_done(limit) => Err(io::Error::other("no response")),
            _ => Ok(()),
        }
    }

    fn responses(&self) -> io::Result<()> {
        while let Some(frame) = read_frame(&mut &self.broker)? {
            if !self.shared.is_open() {
                return Ok(());
            }
            let mut awaited = self.awaited.lock().unwrap();
            let passes = awaited.as_ref().is_none_or(|(_, trap)| trap.rule.act == Act::Watch);
            if passes {
                (&self.client).write_all(&frame)?;
            }
            if let Some((_, trap)) = awaited.take_if(|(number, _)| correlation(&frame) == Some(*number)) {
                trap.reach(Stage::Done(Some(frame)));
                if !passes {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Waits until something holds that no one tells of; false if it does not in time.
pub fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while !holds() {
        if Instant::now() > end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
    true
}
