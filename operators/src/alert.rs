//! An alert as a record: what fires, resolves, and reaches people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Something that people want to know of, while it lasts and when it is over. Alerts with the same name and labels are
/// the same alert, as in Prometheus.
///
/// An alert is kept as state, too, in a format that does not name its fields: so none is left out where it is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which rule it is of: `HighErrorRate`.
    pub name: String,
    /// With the name, its identity: `service=cart`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// One line for people, with the figures.
    pub summary: String,
    /// More for people: a description, a runbook's address.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Whether it is on.
    pub status: AlertStatus,
    /// Since when it is on.
    pub starts_at: Timestamp,
    /// When it was over, once it is.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
}

/// How bad an alert is, from the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it today.
    #[default]
    Warning,
    /// Something does not work.
    Error,
    /// Somebody gets up.
    Critical,
}

impl Severity {
    /// In lower case, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

/// Whether an alert is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertStatus {
    /// It is.
    Firing,
    /// It is over: the all-clear.
    Resolved,
}

impl AlertStatus {
    /// In lower case, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

impl Alert {
    /// An alert that fires.
    pub fn firing(name: impl Into<String>, summary: impl Into<String>, starts_at: Timestamp) -> Self {
        Self {
            name: name.into(),
            labels: BTreeMap::new(),
            severity: Severity::default(),
            summary: summary.into(),
            annotations: BTreeMap::new(),
            status: AlertStatus::Firing,
            starts_at,
            ends_at: None,
        }
    }

    /// The same, with a label more.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// The same, with an annotation more.
    #[must_use]
    pub fn annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// The same, this bad.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same, over since `ends_at`.
    #[must_use]
    pub fn resolved(mut self, ends_at: Timestamp) -> Self {
        (self.status, self.ends_at) = (AlertStatus::Resolved, Some(ends_at));
        self
    }

    /// What it is the same alert by: `HighErrorRate{service="cart"}`.
    pub fn identity(&self) -> String {
        let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_known_by_its_name_and_labels() {
        let at = Timestamp::from_seconds(60);
        let alert = Alert::firing("HighErrorRate", "12 % of requests fail", at).label("service", "cart");
        let resolved = alert.clone().severity(Severity::Critical).annotation("runbook", "a page").resolved(at);
        assert_eq!(alert.identity(), resolved.identity());
        assert_eq!(alert.identity(), r#"HighErrorRate{service="cart"}"#);
        assert_ne!(alert.identity(), alert.clone().label("zone", "b").identity());
        let json = serde_json::to_value(&resolved).unwrap();
        assert_eq!(json["status"], "resolved");
        assert_eq!(serde_json::from_value::<Alert>(json).unwrap(), resolved);
    }

    #[test]
    fn what_is_empty_may_be_left_out_and_is_written_all_the_same() {
        let text = r#"{"name":"A","summary":"s","status":"firing","starts_at":"1970-01-01T00:00:00Z"}"#;
        let alert = serde_json::from_str::<Alert>(text).unwrap();
        assert_eq!(alert, Alert::firing("A", "s", Timestamp::from_seconds(0)));
        let fields = serde_json::to_value(&alert).unwrap();
        assert_eq!(fields.as_object().map(serde_json::Map::len), Some(8), "{fields}");
    }
}
