//! The one time domain: microseconds since the Unix epoch; and its encodings, for `#[serde(with = "…")]`.

mod encodings;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use headwater_state::{Error, Key, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use encodings::{date, micros, millis, millis_or_rfc3339, seconds};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
///
/// It is never made from a bare integer without saying the unit. In JSON it is RFC 3339 text; the modules
/// [`millis`], [`seconds`], [`micros`], [`millis_or_rfc3339`] and [`date`] give other encodings with
/// `#[serde(with = "…")]`.
///
/// ```
/// use headwater_operators::Timestamp;
/// let time: Timestamp = "2026-03-01T12:00:00.25+01:00".parse()?;
/// assert_eq!(time.to_string(), "2026-03-01T11:00:00.25Z");
/// assert_eq!(time.as_millis(), 1_772_362_800_250);
/// # Ok::<(), headwater_operators::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before everything.
    pub const MIN: Self = Self(i64::MIN);
    /// After everything: the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch; the ends of time where that overflows.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds since the epoch; the ends of time where that overflows.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This much later; [`MAX`](Self::MAX) where that overflows.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }

    /// This much earlier; [`MIN`](Self::MIN) where that overflows. The ends of time stay where they are.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        if self == Self::MAX { self } else { Self(self.0.saturating_sub(micros_of(duration))) }
    }
}

/// A duration for people, exact, in the largest unit that it is whole in.
///
/// ```
/// use std::time::Duration;
/// use headwater_operators::time::span;
/// assert_eq!(span(Duration::from_secs(86_400)), "1 day");
/// assert_eq!(span(Duration::from_secs(5_400)), "90 min");
/// assert_eq!(span(Duration::from_millis(200)), "200 ms");
/// ```
pub fn span(duration: Duration) -> String {
    let units = [(86_400_000_000, "days"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms")];
    let us = duration.as_micros();
    if us == 0 {
        return "0 s".into();
    }
    match units.iter().find(|(unit, _)| us >= *unit && us.is_multiple_of(*unit)) {
        Some((unit, "days")) if us == *unit => "1 day".into(),
        Some((unit, name)) => format!("{} {name}", us / unit),
        None => format!("{us} µs"),
    }
}

/// A duration in whole microseconds; the largest where it overflows.
pub(crate) fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC; `-∞` and `+∞` for the ends of time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("-∞"),
            Self::MAX => f.write_str("+∞"),
            Self(micros) => match jiff::Timestamp::from_microsecond(micros) {
                Ok(time) => time.fmt(f),
                Err(_) => write!(f, "{micros}µs"),
            },
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    /// Reads RFC 3339 with any offset, and what [`Display`](fmt::Display) writes. Digits beyond microseconds are cut.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "-∞" => return Ok(Self::MIN),
            "+∞" => return Ok(Self::MAX),
            _ => {}
        }
        if let Some(micros) = text.strip_suffix("µs").and_then(|micros| micros.parse().ok()) {
            return Ok(Self(micros));
        }
        let time = jiff::Timestamp::from_str(text)
            .map_err(|error| Error::record(format!("not an RFC 3339 time: {text:?}")).caused_by(error))?;
        Ok(Self(time.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    /// RFC 3339 text; microseconds where the format is not for people, as in state.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Rfc3339)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

struct Rfc3339;

impl de::Visitor<'_> for Rfc3339 {
    type Value = Timestamp;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a time such as \"2026-03-01T00:00:00Z\"; a number needs its unit: #[serde(with = \"headwater::time::millis\")], \
             or seconds, micros, millis_or_rfc3339; a bare date is headwater::time::date",
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
        text.parse().map_err(|_: Error| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[diagnostic::do_not_recommend]
impl Key for Timestamp {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn encode_part(&self, out: &mut Vec<u8>) {
        self.0.encode_part(out);
    }
    fn decode(bytes: &[u8]) -> Result<Self> {
        i64::decode(bytes).map(Self)
    }
    fn decode_part(bytes: &mut &[u8]) -> Result<Self> {
        i64::decode_part(bytes).map(Self)
    }
    fn shape() -> String {
        "timestamp".into()
    }
    fn hash64(&self) -> u64 {
        self.0.hash64()
    }
}
