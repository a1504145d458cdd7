//! The order pipeline: steps do not hold each other up, a step that fails for good is told to a person, nothing goes faster
//! than it should.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use headwater::DeadLetter;

use super::http::Server;
use super::process::{EVER, Running, Said, examples, wait_for};

const ORDERS: usize = 60;

#[test]
fn steps_fail_alone_and_a_person_is_told_of_what_stays_undone() {
    let place = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for order in 0..ORDERS {
        let (user, second) = (order % 7, order);
        let at = format!("2026-03-01T12:{:02}:{:02}Z", second / 60, second % 60);
        writeln!(lines, r#"{{"order":"o-{order}","user":"u-{user}","at":"{at}","total":10.5}}"#).unwrap();
    }
    let path = |name: &str| place.path().join(name);
    fs::write(path("orders.jsonl"), lines).unwrap();
    // Nobody listens for payments yet.
    let payments = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stock = Server::start(|_| 200);
    let loyalty = Server::start(|request| if request.body["order"] == "o-13" { 503 } else { 200 });
    let pages = Server::start(|_| 200);
    let mut command = Command::new(examples().join("order_pipeline"));
    command.arg("--input").arg(path("orders.jsonl")).arg("--state").arg(path("state"));
    command.arg("--output").arg(format!("failed-orders={}", path("failed.jsonl").display()));
    command.arg("--statistics").arg(path("statistics.jsonl"));
    command.args(["--stock", &stock.url("reserve"), "--payment", &format!("http://{payments}/charge")]);
    command.args(["--loyalty", &loyalty.url("points"), "--page", &pages.url("page")]);
    command.args(["--per-second", "30", "--first-wait", "5", "--commit-interval", "20ms"]);
    let mut child = Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()));
    let said = Said::by(child.0.stderr.take().unwrap());
    // The other steps go on without payments, and the person is told of the one that failed.
    wait_for("stock and loyalty", EVER, || stock.requests().len() == ORDERS && !pages.requests().is_empty());
    said.wait_for("nobody answers", EVER);
    assert!(!child.has_ended(), "payments are still to be made");
    let payments = Server::start_at(payments, |_| 200);
    assert_eq!(child.code(EVER), Some(0), "{}", said.all());

    for (name, server) in [("stock", &stock), ("payment", &payments), ("loyalty", &loyalty)] {
        check_step(name, server);
    }
    let tries = loyalty.requests().iter().filter(|request| request.body["order"] == "o-13").count();
    assert_eq!(tries, 10);
    let failed = fs::read_to_string(path("failed.jsonl")).unwrap();
    let letter: DeadLetter = serde_json::from_str(failed.trim_end()).unwrap();
    assert!(letter.error.contains("503") && letter.payload.unwrap().contains("o-13"), "{failed}");
    let pages = pages.requests();
    assert_eq!(pages.len(), 1);
    assert_eq!(
        (&pages[0].body["name"], &pages[0].body["labels"]["step"]),
        (&"OrderStepFailed".into(), &"loyalty".into())
    );
    let statistics = fs::read_to_string(path("statistics.jsonl")).unwrap();
    assert_eq!(statistics.trim_end(), r#"{"minute":"2026-03-01T12:00:00Z","orders":60,"total":630.0}"#);
}

/// Every order has come under its key, those of a user in their order, none too soon.
fn check_step(name: &str, server: &Server) {
    let requests = server.requests();
    let orders: BTreeSet<&str> = requests.iter().map(|request| request.body["order"].as_str().unwrap()).collect();
    assert_eq!(orders.len(), ORDERS, "{name}");
    let mut by_user: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for request in &requests {
        let order = request.body["order"].as_str().unwrap();
        assert_eq!(request.key(), format!("{name}/{order}"));
        let number = order[2..].parse().unwrap();
        by_user.entry(request.body["user"].as_str().unwrap()).or_default().push(number);
    }
    assert!(by_user.values().all(|orders| orders.is_sorted()), "{name}: {by_user:?}");
    // 30 a second, three of them at once.
    let took = requests[requests.len() - 1].at - requests[0].at;
    let least = Duration::from_secs_f64((requests.len() - 4) as f64 / 30.0 * 0.9);
    assert!(took >= least, "{name}: {} requests in {took:?}", requests.len());
}
