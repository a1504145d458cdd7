//! A mail server of `dev/mail`, what it is told, and what is in its mailbox.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Deref;
use std::time::Duration;

use headwater::connectors::Secret;
use headwater::connectors::email::{Smtp, Tls};
use serde_json::Value;

use super::dev_server::DevServer;

const AT_MOST: Duration = Duration::from_secs(20);

/// A server of the test's own.
pub struct MailServer {
    server: DevServer,
    flags: &'static [&'static str],
}

impl MailServer {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    pub fn start_with(flags: &'static [&'static str]) -> Self {
        let server = Self::stopped(flags);
        server.dev("start");
        server
    }

    /// One that is not there yet.
    pub fn stopped(flags: &'static [&'static str]) -> Self {
        Self { server: DevServer::stopped("mail", 3), flags }
    }

    /// Runs a command of `dev/mail` on it.
    #[track_caller]
    pub fn dev(&self, command: &str) {
        self.server.dev(command, if command == "start" { self.flags } else { &[] });
    }

    /// The same as [`smtp`](Self::smtp) in one line, as flags have it.
    pub fn url(&self) -> String {
        let (port, data) = (self.port, self.data.display());
        format!("smtp://alerts@localhost:{port}?from=alerts@example.org&password_file={data}/password&ca={data}/ca.pem")
    }

    /// All options that it takes to reach it.
    pub fn smtp(&self) -> Smtp {
        self.smtp_as(Secret::file(self.data.join("password")))
    }

    /// The same with another password.
    pub fn smtp_as(&self, password: Secret) -> Smtp {
        self.smtp_without_login().login("alerts", password)
    }

    /// The same without one.
    pub fn smtp_without_login(&self) -> Smtp {
        Smtp::at("localhost").port(self.port).ca(self.data.join("ca.pem")).from("Alerts <alerts@example.org>")
    }

    /// In plain text.
    pub fn smtp_in_plain_text(&self) -> Smtp {
        Smtp::at("localhost").port(self.port).tls(Tls::None).from("alerts@example.org")
    }

    pub fn password(&self) -> String {
        std::fs::read_to_string(self.data.join("password")).unwrap().trim().to_owned()
    }

    /// Has it fail from now on: `dev/mail help` says how it can.
    pub fn fail(&self, faults: &Value) {
        self.ask("PATCH", "/faults", &faults.to_string());
    }

    pub fn heal(&self) {
        self.ask("DELETE", "/faults", "");
    }

    pub fn messages(&self) -> Vec<Value> {
        self.ask("GET", "/messages", "").as_array().unwrap().clone()
    }

    /// The same, also while it is away.
    pub fn mailbox(&self) -> Vec<Value> {
        let lines = std::fs::read_to_string(self.data.join("mailbox.jsonl")).unwrap_or_default();
        // The last line may still be written.
        let whole = lines.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only mail that it has got.
    #[track_caller]
    pub fn message(&self) -> Value {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{messages:#?}");
        messages.remove(0)
    }

    /// One of `connections`, `logins` and `refused_logins`.
    pub fn count(&self, what: &str) -> u64 {
        self.ask("GET", "/counts", "")[what].as_u64().unwrap()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port + 1)).unwrap();
        stream.set_read_timeout(Some(AT_MOST)).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().next().unwrap().ends_with("200 OK"), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap()
    }
}

/// Who a mail is for that goes to `USER@example.org`.
pub fn user(message: &Value) -> &str {
    message["to"][0].as_str().unwrap().trim_end_matches("@example.org")
}

/// Its place and its ports.
impl Deref for MailServer {
    type Target = DevServer;

    fn deref(&self) -> &DevServer {
        &self.server
    }
}
