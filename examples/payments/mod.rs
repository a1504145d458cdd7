//! A payment app that does not exist: what its transactions look like, and a generator of them.
//!
//! The app is busy in the evening and quiet at night. Most users pay now and then, a few many times a day: their activity
//! has a heavy tail, and other users are in it each day. Phones send a payment when they can, so that records come up
//! to some minutes late and out of order.

use headwater::prelude::*;
use serde::{Deserialize, Serialize};

/// A payment, as JSON: `{"id":"t-17","user":"u-4","at":"2026-03-01T00:00:00.123Z","amount":12.5,"currency":"EUR",…}`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Transaction {
    pub id: Text,
    pub user: Text,
    /// Read as RFC 3339 text or as milliseconds since 1970, and written as text.
    #[serde(with = "headwater::time::millis_or_rfc3339")]
    pub at: Timestamp,
    pub amount: f64,
    pub currency: Text,
    pub merchant: Text,
    pub channel: Text,
    pub status: Text,
}

/// 2026-03-01T00:00:00Z: the first simulated day.
const FIRST_DAY_MS: u64 = 1_772_323_200_000;
const DAY_MS: u64 = 86_400_000;

/// How much of a day's business falls into each hour.
const BUSY: [u64; 24] = [4, 2, 1, 1, 1, 2, 4, 9, 14, 13, 11, 12, 18, 16, 11, 11, 12, 15, 19, 20, 17, 12, 8, 6];

/// No phone is out of reach for longer than this, so a lateness of five minutes loses none.
const DELAY_MAX_MS: u64 = 4 * 60_000;

/// The app.
#[derive(Clone, Debug)]
pub struct Payments {
    users: u64,
}

impl Payments {
    /// An app with this many users.
    pub fn new(users: u64) -> Self {
        Self { users: users.max(1) }
    }

    /// Transactions a day: three for two users.
    pub fn a_day(&self) -> u64 {
        (self.users * 3 / 2).max(1)
    }

    /// Transaction `number`, the same whenever it is asked for.
    pub fn transaction(&self, number: u64, random: &mut Random) -> Transaction {
        let (day, of_day) = (number / self.a_day(), number % self.a_day());
        let arrival = FIRST_DAY_MS + day * DAY_MS + time_of_day(of_day as f64 / self.a_day() as f64);
        Transaction {
            id: Text::from(format!("t-{number}")),
            user: Text::from(format!("u-{}", self.user(day, random))),
            at: Timestamp::from_millis((arrival - delay(random)) as i64),
            amount: amount(random),
            currency: Text::from(*random.pick(&["EUR", "EUR", "EUR", "USD", "GBP"])),
            merchant: Text::from(format!("m-{}", random.below(2_000))),
            channel: Text::from(*random.pick(&["app", "app", "card", "card", "web"])),
            status: Text::from(if random.chance(0.97) { "approved" } else { "declined" }),
        }
    }

    /// Who pays. The user of rank `r` pays in proportion to `r` to the power of -0.22: a tail that is heavy, but not so
    /// heavy that more than a few get past ten a day.
    fn user(&self, day: u64, random: &mut Random) -> u64 {
        let rank = (random.unit().powf(1.0 / 0.78) * self.users as f64) as u64;
        // A large prime takes ranks far apart, to other users each day.
        (rank + day) * 7_368_787 % self.users
    }
}

/// The time of day, in milliseconds, by which a share of the day's transactions has come.
fn time_of_day(share: f64) -> u64 {
    let all: u64 = BUSY.iter().sum();
    let mut left = share * all as f64;
    for (hour, busy) in (0..).zip(BUSY) {
        if left < busy as f64 {
            return hour * 3_600_000 + (left / busy as f64 * 3_600_000.0) as u64;
        }
        left -= busy as f64;
    }
    DAY_MS - 1
}

/// How long the phone took: seconds mostly, minutes for one in ten.
fn delay(random: &mut Random) -> u64 {
    if random.chance(0.9) { random.below(10_000) } else { random.below(DELAY_MAX_MS) }
}

/// From one to a few hundred, small ones more often, in whole cents.
fn amount(random: &mut Random) -> f64 {
    (random.unit().powi(4) * 40_000.0 + 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const USERS: u64 = 100_000;

    fn day() -> Vec<Transaction> {
        let payments = Payments::new(USERS);
        (0..payments.a_day()).map(|number| payments.transaction(number, &mut Random::new(1, number))).collect()
    }

    #[test]
    fn a_few_users_pay_more_than_ten_times_a_day() {
        let mut counts: HashMap<Text, u64> = HashMap::new();
        for transaction in day() {
            *counts.entry(transaction.user).or_default() += 1;
        }
        let beyond = counts.values().filter(|count| **count > 10).count();
        assert!((3..=40).contains(&beyond), "{beyond} users of {}", counts.len());
    }

    #[test]
    fn nothing_is_later_than_five_minutes() {
        let mut newest = Timestamp::MIN;
        let mut disorder = 0;
        for transaction in day() {
            disorder += u64::from(transaction.at < newest);
            newest = newest.max(transaction.at);
            assert!(transaction.at > newest.minus(Duration::from_secs(300)));
        }
        assert!(disorder > 1_000, "only {disorder} are out of order");
    }
}
