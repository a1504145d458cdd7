//! Whom the postbox delivers to, and what they have got: real servers where there are, else one that notes what it is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::alertmanager_server::AlertmanagerServer;
use super::fate::Fate;
use super::http::{self, Request, Server};
use super::letters::{self, Arrival, Tally};
use super::mail_server::{self, MailServer};
use super::process::{EVER, wait_for};

/// What delivers over a network, as `--through` has it.
pub const CONNECTORS: [&str; 5] = ["mail", "webhook", "slack", "alertmanager", "pagerduty"];

/// One that lives as long as its test, whatever becomes of the instances.
pub struct Receiver {
    connector: &'static str,
    desk: Desk,
}

enum Desk {
    File(PathBuf),
    Mail(MailServer),
    Http(Server),
    Pages(Pages),
}

/// An Alertmanager behind a door where what comes is counted, and whom it notifies.
struct Pages {
    door: Server,
    alertmanager: AlertmanagerServer,
    notified: Server,
}

impl Receiver {
    /// The file that deliveries are noted in.
    pub fn file(path: PathBuf) -> Self {
        Self { connector: "file", desk: Desk::File(path) }
    }

    /// One for a connector.
    pub fn start(connector: &'static str) -> Self {
        let desk = match connector {
            "mail" => Desk::Mail(MailServer::start()),
            "alertmanager" => Desk::Pages(Pages::start()),
            _ => Desk::Http(door(connector, |_| 200)),
        };
        Self { connector, desk }
    }

    /// Has a mail server refuse, and cut connections, as the others do by themselves.
    pub fn with_faults(self, expected: &BTreeSet<String>) -> Self {
        if let Desk::Mail(server) = &self.desk {
            let refused = expected.iter().filter(|letter| Fate::of(letter, 1) == Fate::Refused);
            let refused: Vec<String> = refused.map(|letter| format!("{letter}@example.org")).collect();
            server.fail(&json!({"reject": refused, "refuse": 451, "times": 40, "drop": 5}));
        }
        self
    }

    /// The flags that it is reached by.
    pub fn flags(&self) -> [String; 4] {
        let address = match &self.desk {
            Desk::File(path) => path.display().to_string(),
            Desk::Mail(server) => server.url(),
            Desk::Http(server) | Desk::Pages(Pages { door: server, .. }) => server.url(""),
        };
        ["--through".to_owned(), self.connector.to_owned(), "--post".to_owned(), address]
    }

    /// What has come, in its order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        match &self.desk {
            Desk::File(path) => letters::noted(path),
            Desk::Mail(server) => server.mailbox().iter().map(mail).collect(),
            Desk::Http(server) | Desk::Pages(Pages { door: server, .. }) => {
                server.requests().iter().map(|request| arrival(self.connector, request)).collect()
            }
        }
    }

    /// Whether what has come is what was to, once nothing is under way any more.
    pub fn check(&self, dead: &str, expected: &BTreeSet<String>) -> Tally {
        let arrivals = self.arrivals();
        let tally = letters::check(&arrivals, dead, expected);
        if let Desk::Pages(pages) = &self.desk {
            pages.check(&letters::taken(&arrivals));
        }
        tally
    }
}

impl Pages {
    fn start() -> Self {
        let notified = Server::start(|_| 200);
        let alertmanager = AlertmanagerServer::start(&notified.url(""), None);
        let port = alertmanager.port();
        let door = door("alertmanager", move |request| http::post(port, "/api/v2/alerts", &request.body).unwrap());
        Self { door, alertmanager, notified }
    }

    /// It has what it took, and says so once: that an alert came again is none of anybody's business.
    fn check(&self, taken: &BTreeSet<&str>) {
        let user = |alert: &Value| alert["labels"]["user"].as_str().unwrap().to_owned();
        let alerts = self.alertmanager.alerts();
        let on: BTreeSet<String> = alerts.iter().map(user).collect();
        assert!(on.iter().eq(taken), "Alertmanager took {taken:?} and has {on:?}");
        assert_eq!(on.len(), alerts.len(), "two alerts of one user");
        wait_for("notifications", EVER, || self.notified.requests().len() >= taken.len());
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for request in self.notified.requests() {
            assert_eq!(request.body["status"], "firing");
            request.body["alerts"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(|alert| *told.entry(user(alert)).or_default() += 1);
        }
        assert!(told.keys().eq(taken) && told.values().all(|times| *times == 1), "notified of {told:?}");
    }
}

/// A server that says to each letter what its [`Fate`] is, and asks `inside` where that is good.
fn door(connector: &'static str, inside: impl Fn(&Request) -> u16 + Send + Sync + 'static) -> Server {
    let came = Mutex::new(BTreeMap::<String, u32>::new());
    Server::start(move |request| {
        let letter = arrival(connector, request).letter;
        let number = *came.lock().unwrap().entry(letter.clone()).and_modify(|number| *number += 1).or_insert(1);
        match Fate::of(&letter, number) {
            Fate::Taken => inside(request),
            Fate::NotNow => 503,
            Fate::Refused => 400,
        }
    })
}

/// The letter in a request, and what its receiver knows it by.
fn arrival(connector: &str, request: &Request) -> Arrival {
    let body = &request.body;
    let (letter, key) = match connector {
        "webhook" => (body, request.key().to_owned()),
        // Slack knows no keys. It is sent one all the same.
        "slack" => (&body["text"], request.key().to_owned()),
        "alertmanager" => (&body[0]["labels"]["user"], body[0]["labels"].to_string()),
        "pagerduty" => {
            (&body["payload"]["custom_details"]["user"], body["dedup_key"].as_str().unwrap_or_default().to_owned())
        }
        _ => unreachable!("{connector} makes no requests"),
    };
    let letter = letter.as_str().unwrap_or_else(|| panic!("{connector} sent {body}")).to_owned();
    Arrival { letter, key, number: None, taken: request.status == 200 }
}

fn mail(message: &Value) -> Arrival {
    let letter = mail_server::user(message).to_owned();
    let key = message["headers"]["Idempotency-Key"].as_str().unwrap_or_default().to_owned();
    Arrival { letter, key, number: None, taken: true }
}
