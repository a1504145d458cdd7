//! An Alertmanager of `dev/alertmanager`, and what it has.

use serde_json::Value;

use super::dev_server::DevServer;

/// A server of the test's own.
pub struct AlertmanagerServer {
    server: DevServer,
    flags: Vec<String>,
}

impl AlertmanagerServer {
    /// One that notifies this address, and lets in nobody but this login.
    pub fn start(webhook: &str, login: Option<&str>) -> Self {
        let mut flags = vec!["--webhook".to_owned(), webhook.to_owned()];
        flags.extend(login.into_iter().flat_map(|login| ["--login".to_owned(), login.to_owned()]));
        let server = Self { server: DevServer::stopped("alertmanager", 1), flags };
        server.dev("start");
        server
    }

    /// Runs a command of `dev/alertmanager` on it.
    #[track_caller]
    pub fn dev(&self, command: &str) -> String {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        self.server.dev(command, &flags)
    }

    pub fn port(&self) -> u16 {
        self.server.port
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// What its API says is on.
    pub fn alerts(&self) -> Vec<Value> {
        serde_json::from_str(&self.dev("alerts")).unwrap()
    }
}
