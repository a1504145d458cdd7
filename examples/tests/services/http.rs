//! A server that answers as a test says, and remembers what it was sent.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: Instant,
    pub headers: HashMap<String, String>,
    pub body: serde_json::Value,
    /// How it was answered.
    pub status: u16,
}

impl Request {
    pub fn key(&self) -> &str {
        &self.headers["idempotency-key"]
    }
}

/// Listens until the process ends.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers each request with the status that `answer` gives it.
    pub fn start(answer: impl Fn(&Request) -> u16 + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer)
    }

    /// The same at an address.
    pub fn start_at(address: SocketAddr, answer: impl Fn(&Request) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Request>>>::default());
        let (kept, answer) = (Arc::clone(&requests), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                // One that hangs up in between has nothing to be remembered.
                thread::spawn(move || converse(stream, &kept, &*answer).ok());
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn converse(
    stream: TcpStream,
    kept: &Mutex<Vec<Request>>,
    answer: &(dyn Fn(&Request) -> u16 + Send + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let request = Request { at: Instant::now(), headers, body, status: 0 };
        let status = answer(&request);
        kept.lock().unwrap().push(Request { status, ..request });
        write!(stream, "HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n")?;
    }
}

/// Posts JSON to a server of this machine. Its status.
pub fn post(port: u16, path: &str, body: &serde_json::Value) -> std::io::Result<u16> {
    let (mut stream, body) = (TcpStream::connect(("127.0.0.1", port))?, body.to_string());
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}")))
}
