//! How a time is written in a record.

/// Makes a module that writes a time as a whole number of a unit.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $write:expr, $read:expr) => {
        $(#[$doc])*
        pub mod $name {
            use serde::{Deserialize, Deserializer, Serializer};

            use crate::Timestamp;

            /// Writes the number.
            ///
            /// # Errors
            /// The format's.
            pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64($write(*time))
            }

            /// Reads the number.
            ///
            /// # Errors
            /// The format's.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
                i64::deserialize(deserializer).map($read)
            }
        }
    };
}

number! {
    /// Microseconds since the epoch.
    ///
    /// ```
    /// use headwater_operators::{Timestamp, time};
    /// #[derive(serde::Deserialize)]
    /// struct Event { #[serde(with = "time::micros")] at: Timestamp }
    /// let event: Event = serde_json::from_str(r#"{"at":1772323200000000}"#)?;
    /// assert_eq!(event.at.to_string(), "2026-03-01T00:00:00Z");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    micros, Timestamp::as_micros, Timestamp::from_micros
}

number! {
    /// Milliseconds since the epoch.
    ///
    /// ```
    /// use headwater_operators::{Timestamp, time};
    /// #[derive(serde::Deserialize)]
    /// struct Event { #[serde(with = "time::millis")] at: Timestamp }
    /// let event: Event = serde_json::from_str(r#"{"at":1772323200000}"#)?;
    /// assert_eq!(event.at.to_string(), "2026-03-01T00:00:00Z");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    millis, Timestamp::as_millis, Timestamp::from_millis
}

number! {
    /// Seconds since the epoch.
    ///
    /// ```
    /// use headwater_operators::{Timestamp, time};
    /// #[derive(serde::Deserialize)]
    /// struct Event { #[serde(with = "time::seconds")] at: Timestamp }
    /// let event: Event = serde_json::from_str(r#"{"at":1772323200}"#)?;
    /// assert_eq!(event.at.to_string(), "2026-03-01T00:00:00Z");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    seconds, Timestamp::as_seconds, Timestamp::from_seconds
}

/// Reads milliseconds since the epoch or RFC 3339 text; writes RFC 3339 text.
///
/// ```
/// use headwater_operators::{Timestamp, time};
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Event { #[serde(with = "time::millis_or_rfc3339")] at: Timestamp }
/// let number: Event = serde_json::from_str(r#"{"at":1772323200000}"#)?;
/// let text: Event = serde_json::from_str(r#"{"at":"2026-03-01T00:00:00Z"}"#)?;
/// assert_eq!(number.at, text.at);
/// assert_eq!(serde_json::to_string(&number)?, r#"{"at":"2026-03-01T00:00:00Z"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub mod millis_or_rfc3339 {
    use std::fmt;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::Timestamp;

    /// Writes RFC 3339 text.
    ///
    /// # Errors
    /// The format's.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        time.serialize(serializer)
    }

    /// Reads either.
    ///
    /// # Errors
    /// The format's, and where it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Either)
        } else {
            Timestamp::deserialize(deserializer)
        }
    }

    struct Either;

    impl de::Visitor<'_> for Either {
        type Value = Timestamp;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("milliseconds since 1970 or a time such as \"2026-03-01T00:00:00Z\"")
        }

        fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Timestamp, E> {
            Ok(Timestamp::from_millis(millis))
        }

        fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Timestamp, E> {
            let signed = i64::try_from(millis);
            signed.map(Timestamp::from_millis).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(millis), &self))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
            text.parse().map_err(|_: crate::Error| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
}

/// A day such as `2026-03-01`: read as its first moment in UTC, written as the day in UTC that the time is in.
///
/// ```
/// use headwater_operators::{Timestamp, time};
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Alert { #[serde(with = "time::date")] day: Timestamp }
/// let alert: Alert = serde_json::from_str(r#"{"day":"2026-03-01"}"#)?;
/// assert_eq!(alert.day.to_string(), "2026-03-01T00:00:00Z");
/// assert_eq!(serde_json::to_string(&alert)?, r#"{"day":"2026-03-01"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub mod date {
    use std::fmt;

    use jiff::civil::Date;
    use jiff::tz::TimeZone;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

    use crate::Timestamp;

    /// Writes the day; microseconds where the format is not for people.
    ///
    /// # Errors
    /// The format's, and where the year has more than four digits.
    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return time.serialize(serializer);
        }
        let utc = jiff::Timestamp::from_microsecond(time.as_micros()).map_err(ser::Error::custom)?;
        serializer.collect_str(&TimeZone::UTC.to_datetime(utc).date())
    }

    /// Reads a day.
    ///
    /// # Errors
    /// The format's, and where it is not a day.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Day)
        } else {
            Timestamp::deserialize(deserializer)
        }
    }

    struct Day;

    impl de::Visitor<'_> for Day {
        type Value = Timestamp;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a day such as \"2026-03-01\"")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
            let day: Option<Date> = text.parse().ok().filter(|_| text.len() == 10);
            let start =
                day.and_then(|day| TimeZone::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).ok());
            start
                .map(|start| Timestamp::from_micros(start.as_microsecond()))
                .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }
}
