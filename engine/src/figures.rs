//! Numbers for people: the live view, progress lines and the closing line write them alike.

use std::time::Duration;

#[cfg(feature = "live")]
use bytesize::ByteSize;
use headwater_operators::Timestamp;

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `386 k/s`, `1.25 M/s`, `48 /s`
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        few if few < 9_999.5 => format!("{}/s", count(few.round() as u64)),
        some if some < 999_500.0 => format!("{:.0} k/s", some / 1e3),
        many => format!("{:.2} M/s", many / 1e6),
    }
}

/// `3.2 ms`, `3.2 s`, `1 min 05 s`, `2 h 03 min`
pub(crate) fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match span.as_secs_f64() {
        short if short < 0.9995 => format!("{:.1} ms", short * 1e3),
        medium if medium < 59.95 => format!("{medium:.1} s"),
        _ if seconds < 3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `12.3 MB`
#[cfg(feature = "live")]
pub(crate) fn bytes(number: u64) -> String {
    ByteSize::b(number).display().si().to_string()
}

/// `2026-03-01T14:03:12Z`: to the second, which is as fine as an eye can follow.
pub(crate) fn time(at: Timestamp) -> String {
    match at {
        Timestamp::MIN | Timestamp::MAX => at.to_string(),
        _ => Timestamp::from_seconds(at.as_micros().div_euclid(1_000_000)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn rates_and_durations_keep_three_figures() {
        assert_eq!([4.0, 9_999.4, 386_123.0, 1_250_000.0].map(rate), ["4/s", "9,999/s", "386 k/s", "1.25 M/s"]);
        let shown = [3, 3_200, 65_000, 7_380_000].map(|ms| duration(Duration::from_millis(ms)));
        assert_eq!(shown, ["3.0 ms", "3.2 s", "1 min 05 s", "2 h 03 min"]);
    }

    #[test]
    fn times_are_shown_to_the_second() {
        assert_eq!(time(Timestamp::from_millis(1_772_323_200_999)), "2026-03-01T00:00:00Z");
        assert_eq!(time(Timestamp::MAX), "+∞");
    }
}
