//! The flagship mails its users: once each, also when it is killed and when the mail server is away.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater::prelude::Random;
use serde_json::Value;

use super::mail_server::MailServer;
use super::process::{EVER, Running, examples, wait_for};
use super::seed::{seed, torture};

fn transaction(out: &mut String, number: usize, user: usize) {
    writeln!(
        out,
        r#"{{"id":"t-{number}","user":"u-{user}","at":1772366400000,"amount":9.5,"currency":"EUR","merchant":"m","channel":"app","status":"approved"}}"#
    )
    .unwrap();
}

fn command(place: &Path, server: &MailServer) -> Command {
    let mut command = Command::new(examples().join("transaction_alerts"));
    command.arg("--input").arg(place.join("transactions.jsonl")).arg("--output").arg(place.join("alerts.jsonl"));
    command.arg("--state").arg(place.join("state")).args(["--email-to-user", "{user}@example.org", "--mail-server"]);
    let (port, data) = (server.port, server.data.display());
    command.arg(format!(
        "smtp://alerts@localhost:{port}?from=alerts@example.org&password_file={data}/password&ca={data}/ca.pem"
    ));
    command.args(["--quiet"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn to(message: &Value) -> String {
    message["to"][0].as_str().unwrap().to_owned()
}

#[test]
fn eleven_transactions_are_one_mail() {
    let (place, server) = (tempfile::tempdir().unwrap(), MailServer::start());
    let mut lines = String::new();
    (0..11).for_each(|number| transaction(&mut lines, number, 7));
    (0..10).for_each(|number| transaction(&mut lines, number, 8));
    File::create(place.path().join("transactions.jsonl")).unwrap().write_all(lines.as_bytes()).unwrap();
    let mut command = command(place.path(), &server);
    let began = Instant::now();
    let mut child = Running::start(&mut command);
    wait_for("the mail", EVER, || !server.messages().is_empty());
    println!("the mail was there {} ms after the start of the process", began.elapsed().as_millis());
    assert_eq!(child.code(EVER), Some(0));
    let message = server.message();
    assert_eq!(to(&message), "u-7@example.org");
    assert_eq!(message["subject"], "11 transactions on 2026-03-01");
}

#[test]
fn under_kills_every_user_gets_a_mail_and_what_comes_twice_has_the_same_key() {
    let seed = seed("under_kills_every_user_gets_a_mail_and_what_comes_twice_has_the_same_key");
    let mut random = Random::new(seed, 0);
    let (users, kills) = if torture() { (600, 100) } else { (150, 20) };
    let (place, server) = (tempfile::tempdir().unwrap(), MailServer::start());
    let mut lines = String::new();
    for user in 0..users {
        (0..10 + user % 2).for_each(|number| transaction(&mut lines, number, user));
    }
    fs::write(place.path().join("transactions.jsonl"), lines).unwrap();
    let mut killed = 0;
    for kill in 0..kills {
        let mut child = Running::start(&mut command(place.path(), &server));
        let end = Instant::now() + Duration::from_millis(100 + random.below(600));
        wait_for("the moment to kill", EVER, || Instant::now() >= end || child.has_ended());
        if child.has_ended() {
            break;
        }
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        killed += 1;
        // The server is away for a while, too.
        match kill % 4 {
            1 => server.dev("kill"),
            3 => server.dev("start"),
            _ => {}
        }
    }
    server.dev("start");
    assert_eq!(command(place.path(), &server).status().unwrap().code(), Some(0));
    check(&server, users);
    println!("{killed} kills, {} users, {} mails", users / 2, server.messages().len());
}

#[test]
fn under_a_crash_at_each_step_every_user_gets_a_mail() {
    for point in headwater::OUTBOX_CRASH_POINTS {
        let (place, server) = (tempfile::tempdir().unwrap(), MailServer::start());
        let (users, mut lines) = (24, String::new());
        for user in 0..users {
            (0..10 + user % 2).for_each(|number| transaction(&mut lines, number, user));
        }
        fs::write(place.path().join("transactions.jsonl"), lines).unwrap();
        let mut crashes = 0;
        for nth in [1, 3] {
            let mut command = command(place.path(), &server);
            let status = command.env("HEADWATER_CRASH", format!("{point}:{nth}")).status().unwrap();
            assert!(status.success() || status.code().is_none(), "{point}: {status}");
            crashes += u32::from(status.code().is_none());
        }
        assert!(crashes > 0, "{point} was never reached");
        assert_eq!(command(place.path(), &server).status().unwrap().code(), Some(0));
        check(&server, users);
        println!("{point}: {crashes} crashes, {} users, {} mails", users / 2, server.messages().len());
    }
}

/// Every second user has a mail, and none has more than the schedule has attempts or under another key.
fn check(server: &MailServer, users: usize) {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in server.messages() {
        let key = message["headers"]["Idempotency-Key"].as_str().unwrap_or_default().to_owned();
        keys.entry(to(&message)).or_default().push(key);
    }
    let expected: Vec<String> =
        (0..users).filter(|user| user % 2 == 1).map(|user| format!("u-{user}@example.org")).collect();
    for user in &expected {
        let keys = keys.remove(user).unwrap_or_default();
        assert!(!keys.is_empty(), "{user} got no mail");
        assert!(keys.len() <= 4 && keys.iter().all(|key| *key == keys[0] && !key.is_empty()), "{user}: {keys:?}");
    }
    assert!(keys.is_empty(), "mails to users within the limit: {keys:?}");
}
