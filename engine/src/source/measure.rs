//! What a source knows of itself.

/// A number that a source shows to those who watch the job, in `GET /metrics`. The topic and the job are added to its
/// labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Letters, digits and `_`, with the unit at its end: `kafka_lag_records`. `headwater_` comes before it, and
    /// `_total` behind one that only grows. The same name has the same `help` and `grows` everywhere.
    pub name: &'static str,
    /// What it is, in a sentence without a full stop.
    pub help: &'static str,
    /// Whether it only ever grows, while the source is open.
    pub grows: bool,
    /// What tells it from others of its name: names as above, and values of which there are few.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: f64,
}
