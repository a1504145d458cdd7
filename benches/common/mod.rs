//! What the benchmarks share: a transaction, users, and CPU time.
#![allow(dead_code, reason = "every benchmark takes what it needs")]

pub mod bars;
pub mod workloads;

use std::fmt::Display;
use std::path::Path;

use headwater::prelude::*;
use serde::{Deserialize, Serialize};

/// The start of the day that all benchmarks play in.
pub const DAY: Timestamp = Timestamp::from_seconds(1_772_323_200);

/// A transaction as a payment app writes it: eight fields, about 170 bytes of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transaction {
    pub id: u64,
    pub user: Text,
    #[serde(with = "headwater::time::millis_or_rfc3339")]
    pub at: Timestamp,
    pub amount: f64,
    pub currency: Text,
    pub merchant: Text,
    pub channel: Text,
    pub status: Text,
}

/// The same as a typed row that was decoded before.
#[derive(Clone, Debug)]
pub struct Row {
    pub user: Text,
    pub at: Timestamp,
    pub amount: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Alert {
    pub user: Text,
    #[serde(with = "headwater::time::date")]
    pub day: Timestamp,
    pub count: u64,
}

/// The user of record `n`: uniform, and the same in every run.
pub fn user(n: u64, users: u64) -> Text {
    user_name(user_number(n, users))
}

pub fn user_number(n: u64, users: u64) -> u64 {
    Random::new(7, n).below(users)
}

pub fn user_name(number: u64) -> Text {
    Text::from(format!("user-{number:08}").as_str())
}

/// Record `n` happens this long after the day's start: all of a run within the day.
pub fn at(n: u64) -> Timestamp {
    DAY.plus(Duration::from_micros(n * 800))
}

pub fn transaction(n: u64, users: u64) -> Transaction {
    let mut random = Random::new(11, n);
    Transaction {
        id: n,
        user: user(n, users),
        at: at(n),
        amount: random.below(100_000) as f64 / 100.0,
        currency: "EUR".into(),
        merchant: Text::from(format!("merchant-{}", random.below(5_000)).as_str()),
        channel: "card-present".into(),
        status: "authorised".into(),
    }
}

/// CPU time of this process and of all its threads, ended ones too, in steps of ten milliseconds.
pub fn cpu() -> Duration {
    cpu_of("self")
}

/// The same of the process with this id, also when it has ended and nobody waited for it yet.
pub fn cpu_of(process: impl Display) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The peak of resident memory in MB.
pub fn peak_rss_mb() -> u64 {
    status_kb("VmHWM") / 1024
}

/// Resident memory in MB.
pub fn rss_mb() -> u64 {
    rss_kb() / 1024
}

/// The same in kB.
pub fn rss_kb() -> u64 {
    status_kb("VmRSS")
}

fn status_kb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
}

/// `1 k`, `10 M`
pub fn user_count(users: u64) -> String {
    if users < 1_000_000 { format!("{} k", users / 1_000) } else { format!("{} M", users / 1_000_000) }
}

/// A transaction as JSON with this id, which is a JSON value itself.
pub fn line(tx: &Transaction, id: impl Display) -> String {
    format!(
        "{{\"id\":{id},\"user\":\"{}\",\"at\":{},\"amount\":{},\"currency\":\"{}\",\"merchant\":\"{}\",\
         \"channel\":\"{}\",\"status\":\"{}\"}}",
        tx.user,
        tx.at.as_millis(),
        tx.amount,
        tx.currency,
        tx.merchant,
        tx.channel,
        tx.status
    )
}

/// Writes `records` transactions as JSON Lines.
pub fn write_transactions(path: &Path, records: u64, users: u64) -> u64 {
    use std::io::Write;
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut bytes = 0;
    for n in 0..records {
        let line = line(&transaction(n, users), n) + "\n";
        bytes += line.len() as u64;
        file.write_all(line.as_bytes()).unwrap();
    }
    file.flush().unwrap();
    bytes
}

/// How many users pass ten transactions: counted without the engine.
pub fn expected_alerts(records: u64, users: u64) -> u64 {
    expected_users(records, users).count() as u64
}

/// The numbers of the users that pass ten transactions, in order: counted without the engine.
pub fn expected_users(records: u64, users: u64) -> impl Iterator<Item = u64> {
    let mut counts = vec![0u32; users as usize];
    for n in 0..records {
        counts[user_number(n, users) as usize] += 1;
    }
    (0..).zip(counts).filter(|(_, count)| *count > 10).map(|(user, _)| user)
}
