//! Timestamps as text and as numbers.

use headwater_operators::{Timestamp, time};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn a_bare_number_is_refused_with_the_way_to_say_its_unit() {
    let error = json::<Timestamp>("1772323200").unwrap_err();
    assert!(error.contains("invalid type: integer `1772323200`"), "{error}");
    assert!(error.contains("#[serde(with = \"headwater::time::millis\")]"), "{error}");
}

#[test]
fn text_that_is_no_time_is_shown() {
    let error = json::<Timestamp>("\"yesterday\"").unwrap_err();
    assert!(error.contains("\"yesterday\""), "{error}");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Event {
    #[serde(with = "time::millis_or_rfc3339")]
    at: Timestamp,
    #[serde(with = "time::date")]
    day: Timestamp,
    #[serde(with = "time::millis")]
    sent: Timestamp,
    seen: Timestamp,
}

#[test]
fn a_date_is_nothing_but_a_date() {
    #[derive(Debug, Deserialize)]
    struct Day(#[serde(with = "time::date")] Timestamp);
    assert_eq!(json::<Day>("\"2026-03-01\"").unwrap().0.as_seconds(), 1_772_323_200);
    for wrong in ["\"2026-03-01T10:00:00\"", "\"2026-02-30\"", "20260301", "\"20260301\""] {
        assert!(json::<Day>(wrong).unwrap_err().contains("a day such as"), "{wrong}");
    }
}

#[test]
fn negative_times_round_down() {
    let time = Timestamp::from_micros(-1);
    assert_eq!((time.as_millis(), time.as_seconds()), (-1, -1));
    assert_eq!(time.to_string(), "1969-12-31T23:59:59.999999Z");
}

#[test]
fn the_ends_of_time_stay_where_they_are() {
    let second = std::time::Duration::from_secs(1);
    assert_eq!(Timestamp::MAX.minus(second), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.minus(second), Timestamp::MIN);
    assert_eq!(Timestamp::MAX.plus(second), Timestamp::MAX);
    assert_eq!(Timestamp::from_seconds(i64::MAX), Timestamp::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_time_is_read_back_from_its_text(micros in any::<i64>()) {
        let time = Timestamp::from_micros(micros);
        prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }

    #[test]
    fn an_event_is_read_back_from_json(seconds in -60_000_000_000i64..250_000_000_000, millis in 0..1_000i64) {
        let at = Timestamp::from_millis(seconds * 1_000 + millis);
        let day = Timestamp::from_seconds(seconds.div_euclid(86_400) * 86_400);
        let event = Event { at, day, sent: at, seen: at };
        let text = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(json::<Event>(&text), Ok(event));
    }
}
