//! The flagship mails its users: once each, also when it is killed and when the mail server is away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use headwater::prelude::{DeadLetter, Random};
use serde_json::Value;

use super::ends::is_killed_after;
use super::mail_server::{MailServer, user};
use super::process::{EVER, Running, examples, wait_for};
use super::seed::{seed, torture};
use super::transactions::transaction;

/// Eleven transactions of every second user, ten of the others.
fn write_transactions(place: &Path, prefix: &str, users: usize) {
    let of =
        |user: usize| (0..10 + user % 2).map(move |number| transaction(number, &format!("{prefix}-{user}")) + "\n");
    fs::write(place.join("transactions.jsonl"), (0..users).flat_map(of).collect::<String>()).unwrap();
}

fn command(place: &Path, server: &MailServer) -> Command {
    let mut command = Command::new(examples().join("transaction_alerts"));
    command.arg("--input").arg(place.join("transactions.jsonl")).arg("--output").arg(place.join("alerts.jsonl"));
    command.arg("--state").arg(place.join("state")).args(["--email-to-user", "{user}@example.org", "--mail-server"]);
    command.args([&server.url(), "--commit-interval", "50ms", "--quiet"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn eleven_transactions_are_one_mail() {
    let (place, server) = (tempfile::tempdir().unwrap(), MailServer::start());
    write_transactions(place.path(), "u", 3);
    let mut command = command(place.path(), &server);
    let began = Instant::now();
    let mut child = Running::start(&mut command);
    wait_for("the mail", EVER, || !server.messages().is_empty());
    println!("the mail was there {} ms after the start of the process", began.elapsed().as_millis());
    assert_eq!(child.code(EVER), Some(0));
    let message = server.message();
    assert_eq!(user(&message), "u-1");
    assert_eq!(message["subject"], "11 transactions on 2026-03-01");
}

/// Several jobs at the same time, each with users of its own: most of it is waiting, at last for the schedule's half a minute.
#[test]
fn under_kills_every_user_gets_a_mail_and_what_comes_twice_has_the_same_key() {
    let seed = seed("under_kills_every_user_gets_a_mail_and_what_comes_twice_has_the_same_key");
    let (users, kills) = if torture() { (2_000, 60) } else { (300, 10) };
    let server = MailServer::start();
    let killed: usize = thread::scope(|scope| {
        let jobs = ["a", "b", "c", "d", "e"].into_iter().zip(1..).map(|(job, stream)| {
            let victim = Victim { job, place: tempfile::tempdir().unwrap(), server: &server };
            scope.spawn(move || victim.live(users, kills, Random::new(seed, stream)))
        });
        let jobs: Vec<_> = jobs.collect();
        jobs.into_iter().map(|job| job.join().unwrap()).sum()
    });
    let mails = server.mailbox().len();
    println!("{killed} kills, {} users over the limit, {mails} mails", 5 * users / 2);
    assert!(killed >= 5 * kills / 2, "only {killed} kills before all had ended");
}

/// A job that is killed.
struct Victim<'a> {
    job: &'static str,
    place: tempfile::TempDir,
    server: &'a MailServer,
}

impl Victim<'_> {
    /// Kills it at random moments, and then has it come to its end. How often it was killed.
    fn live(&self, users: usize, kills: usize, mut random: Random) -> usize {
        write_transactions(self.place.path(), self.job, users);
        let mut killed = 0;
        while killed < kills {
            let life = Duration::from_millis(50 + random.below(900));
            if !is_killed_after(&mut command(self.place.path(), self.server), life) {
                break;
            }
            killed += 1;
            self.check_committed();
            // The server is away for a while, too, for all of them.
            if self.job == "a" && killed % 10 == 2 {
                self.server.dev("kill");
                self.server.dev("start");
            }
        }
        assert_eq!(command(self.place.path(), self.server).status().unwrap().code(), Some(0));
        let expected = (0..users).filter(|user| user % 2 == 1).map(|user| format!("{}-{user}", self.job));
        check(&self.mails(), &self.dead(), expected);
        killed
    }

    /// The mails to its users.
    fn mails(&self) -> Vec<Value> {
        let is_own = |mail: &Value| user(mail).split('-').next() == Some(self.job);
        self.server.mailbox().into_iter().filter(is_own).collect()
    }

    /// The users whose mail was given up, after so many attempts that kills have made nothing of.
    fn dead(&self) -> BTreeSet<String> {
        let dead = fs::read_to_string(self.place.path().join("state/mail.dead-letters.jsonl")).unwrap_or_default();
        let user = |line: &str| {
            let letter: DeadLetter = serde_json::from_str(line).unwrap();
            let alert: Value = serde_json::from_str(&letter.payload.unwrap()).unwrap();
            alert["user"].as_str().unwrap().to_owned()
        };
        dead.lines().map(user).collect()
    }

    /// No mail is there whose alert is not: both are of one commit, and the alert is written before it.
    fn check_committed(&self) {
        let mails = self.mails();
        let alerts = fs::read_to_string(self.place.path().join("alerts.jsonl")).unwrap_or_default();
        let alerts: Vec<Value> = alerts.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let alerts: BTreeSet<&str> = alerts.iter().filter_map(|alert| alert["user"].as_str()).collect();
        for user in mails.iter().map(user) {
            assert!(alerts.contains(user), "{user} has a mail, and no alert is committed");
        }
    }
}

/// Every user over the limit has a mail, or it is dead, and nobody else; none has more than the schedule has attempts or
/// under another key.
fn check(mails: &[Value], dead: &BTreeSet<String>, expected: impl Iterator<Item = String>) {
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for mail in mails {
        let key = mail["headers"]["Idempotency-Key"].as_str().unwrap_or_default();
        keys.entry(user(mail)).or_default().push(key);
    }
    for user in expected {
        let keys = keys.remove(user.as_str()).unwrap_or_default();
        assert!(!keys.is_empty() || dead.contains(&user), "{user} got no mail");
        assert!(keys.len() <= 4 && keys.iter().all(|key| *key == keys[0] && !key.is_empty()), "{user}: {keys:?}");
    }
    assert!(keys.is_empty(), "mails to users within the limit: {keys:?}");
}
