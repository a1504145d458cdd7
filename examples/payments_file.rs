//! Writes a file of transactions for `transaction_alerts`, and counts in its own way what must come of it.
//!
//!     cargo run --example payments_file -- write transactions.jsonl --records 1000000 --seed 7
//!     cargo run --example payments_file -- expect transactions.jsonl > expected.jsonl
//!     cargo run --example transaction_alerts -- --input transactions.jsonl --output alerts.jsonl
//!     LC_ALL=C sort alerts.jsonl | diff - expected.jsonl
//!
//! `expect` knows nothing of Headwater: it reads line by line into one hash map, and can do so because nothing in
//! these files is late.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use clap::Parser;
use headwater::prelude::*;
use serde::Deserialize;

mod payments;
use payments::Payments;

#[derive(Parser)]
enum Command {
    /// Write transactions, as JSON, a line each
    Write {
        file: PathBuf,
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        #[arg(long, default_value_t = 200_000)]
        users: u64,
    },
    /// Print the alerts that belong to a file, sorted
    Expect { file: PathBuf },
}

fn main() -> io::Result<()> {
    match Command::parse() {
        Command::Write { file, records, seed, users } => {
            let mut out = BufWriter::new(File::create(file)?);
            let app = Payments::new(users);
            for number in 0..records {
                serde_json::to_writer(&mut out, &app.transaction(number, &mut Random::new(seed, number)))?;
                out.write_all(b"\n")?;
            }
            out.flush()
        }
        Command::Expect { file } => {
            let mut out = BufWriter::new(io::stdout().lock());
            for alert in expected(BufReader::new(File::open(file)?))? {
                writeln!(out, "{alert}")?;
            }
            out.flush()
        }
    }
}

/// The two fields that count.
#[derive(Deserialize)]
struct Line<'a> {
    user: &'a str,
    #[serde(deserialize_with = "milliseconds")]
    at: i64,
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    headwater::time::millis_or_rfc3339::deserialize(deserializer).map(Timestamp::as_millis)
}

fn expected(mut file: impl BufRead) -> io::Result<Vec<String>> {
    let mut counts: HashMap<i64, HashMap<String, u64>> = HashMap::new();
    let mut alerts = Vec::new();
    let mut line = String::new();
    while file.read_line(&mut line)? > 0 {
        let Line { user, at } = serde_json::from_str(&line)?;
        let day = at.div_euclid(86_400_000);
        let of_day = counts.entry(day).or_default();
        match of_day.get_mut(user) {
            Some(count) => {
                *count += 1;
                if *count == 11 {
                    alerts.push(format!(r#"{{"user":"{user}","day":"{}","count":11}}"#, date(day)));
                }
            }
            None => {
                of_day.insert(user.to_owned(), 1);
            }
        }
        line.clear();
    }
    alerts.sort_unstable();
    Ok(alerts)
}

/// The date of a day since 1970 (Howard Hinnant's `civil_from_days`).
fn date(day: i64) -> String {
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        assert_eq!(
            [0, 59, 60, 11_016, 20_513].map(date),
            ["1970-01-01", "1970-03-01", "1970-03-02", "2000-02-29", "2026-03-01"]
        );
    }

    #[test]
    fn the_eleventh_counts() {
        let line = r#"{"user":"u-1","at":1772323200123,"amount":1}"#;
        let alert = r#"{"user":"u-1","day":"2026-03-01","count":11}"#;
        assert_eq!(expected([line; 10].join("\n").as_bytes()).unwrap(), Vec::<String>::new());
        assert_eq!(expected([line; 30].join("\n").as_bytes()).unwrap(), [alert]);
    }
}
