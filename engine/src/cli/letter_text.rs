//! Dead letters as text for people.

use headwater_operators::Timestamp;

use crate::DeadLetter;
use crate::letters::event::What;

/// How many characters of an error a row has.
const ERROR_CHARS_MAX: usize = 60;

/// What stands above the rows.
pub(super) fn table_head() -> String {
    format!("{:<36} {:<15} {:<20} {:>5}  {:<16} ERROR", "ID", "KIND", "TIME", "TRIES", "OPERATOR")
}

/// A letter in a line.
pub(super) fn row(letter: &DeadLetter, is_refused: bool) -> String {
    let at = letter.last_attempt.map_or_else(|| "-".to_owned(), |at| whole_seconds(at).to_string());
    let error: String = letter.error.chars().take(ERROR_CHARS_MAX).collect();
    let cut = if error.len() < letter.error.len() { "…" } else { "" };
    let refused = if is_refused { " (refused to be redriven)" } else { "" };
    let (id, kind, operator) = (letter.id(), letter.kind.name(), letter.operator());
    format!("{id:<36} {kind:<15} {at:<20} {:>5}  {operator:<16} {error}{cut}{refused}", letter.attempts)
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_seconds(at.as_micros().div_euclid(1_000_000))
}

/// Everything of a letter.
pub(super) fn shown(letter: &DeadLetter, topic: &str, settled: Option<What>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            text += &format!("{name:<14} {value}\n");
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    line("id", Some(letter.id()));
    line("kind", Some(letter.kind.name().to_owned()));
    line("in", Some(topic.to_owned()));
    line("became", settled.map(|what| what.done().to_owned()));
    line("operator", Some(letter.operator().to_owned()));
    line("partition", Some(letter.partition.clone()));
    line("place", Some(letter.place.clone()));
    let origin = letter.origin.as_ref();
    line("origin", origin.map(|at| format!("{}[{}]@{}", at.topic, at.partition, at.offset)));
    line("timestamp", origin.and_then(|at| time(at.timestamp)));
    line("error type", Some(letter.error_type.clone()));
    line("error", Some(letter.error.clone()));
    letter.causes.iter().for_each(|cause| line("caused by", Some(cause.clone())));
    line("attempts", Some(letter.attempts.to_string()));
    line("first attempt", time(letter.first_attempt));
    line("last attempt", time(letter.last_attempt));
    line("job", Some(letter.job.clone()));
    line("instance", letter.instance.clone());
    line("version", letter.version.clone());
    line("key", letter.key.clone());
    line("key (hex)", letter.key_hex.clone());
    for header in &letter.headers {
        let value = header.value.as_ref().or(header.value_hex.as_ref()).map_or("", String::as_str);
        line("header", Some(format!("{}: {value}", header.name)));
    }
    line("cut from", letter.payload_cut_from.map(|bytes| format!("{bytes} bytes")));
    line("payload", letter.payload.clone());
    line("payload (hex)", letter.payload_hex.clone());
    text
}
