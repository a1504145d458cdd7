//! A receiver of HTTP requests in a process of its own, so that its CPU time is not the job's.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The argument that makes this program one.
pub const NAME: &str = "receive";

/// A receiver that runs until it is asked what it received.
pub struct Receiver {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    pub url: String,
}

impl Receiver {
    pub fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(NAME)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut receiver = Self { child, said, url: String::new() };
        receiver.url = format!("http://{}/hook", receiver.hear());
        receiver
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Ends it. How many requests it answered.
    pub fn finish(mut self) -> u64 {
        drop(self.child.stdin.take());
        let requests = self.hear().parse().unwrap();
        self.child.wait().unwrap();
        requests
    }
}

/// Answers every request with 204 until standard input ends.
pub fn run() -> ExitCode {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (connection, counted) = (connection.unwrap(), Arc::clone(&counted));
            std::thread::spawn(move || answer(connection, &counted));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    println!("{}", requests.load(Relaxed));
    ExitCode::SUCCESS
}

/// Answers what comes on a connection until it ends, in whatever way.
fn answer(connection: TcpStream, counted: &AtomicU64) -> Option<()> {
    let mut requests = BufReader::new(connection.try_clone().ok()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok()?;
            }
        }
        std::io::copy(&mut (&mut requests).take(length), &mut std::io::sink()).ok()?;
        counted.fetch_add(1, Relaxed);
        (&connection).write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    }
}
