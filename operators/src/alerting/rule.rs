//! What all rules have: a name, a clock, and what their alerts say.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use crate::time::span;
use crate::{Alert, Clock, Severity, Shared, Timestamp};

type Of<K, A, O> = Box<dyn Fn(&K, &A) -> O + Send + Sync>;
type Pairs = Vec<(String, String)>;

/// What all rules have: a name, a clock, and what their alerts say. `K` is the key, `A` what texts are made of, and `C`
/// what the rule looks for: [`AlertRule`](super::AlertRule) and [`Silence`](super::Silence) are rules.
///
/// Labels are the alert's identity: they stay as they were at its first sight until it has resolved, whatever later
/// records say.
#[must_use = "a rule does nothing by itself: give it to `.alert(…)`"]
pub struct Rule<K, A, C> {
    pub(super) name: String,
    id: Option<String>,
    pub(super) clock: Clock,
    pub(super) remind_every: Option<Duration>,
    severity: Severity,
    severity_of: Option<Of<K, A, Severity>>,
    labels: BTreeMap<String, String>,
    labels_of: Vec<Of<K, A, Pairs>>,
    annotations: BTreeMap<String, String>,
    annotations_of: Vec<Of<K, A, Pairs>>,
    summary: Option<Of<K, A, String>>,
    pub(super) condition: C,
}

fn pairs<N: Into<String>, V: Into<String>>(from: impl IntoIterator<Item = (N, V)>) -> Pairs {
    from.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

impl<K, A, C> Rule<K, A, C> {
    pub(super) fn with(name: impl Into<String>, condition: C) -> Self {
        Self {
            name: name.into(),
            id: None,
            clock: Clock::Event,
            remind_every: None,
            severity: Severity::default(),
            severity_of: None,
            labels: BTreeMap::new(),
            labels_of: Vec::new(),
            annotations: BTreeMap::new(),
            annotations_of: Vec::new(),
            summary: None,
            condition,
        }
    }

    /// The name of what is kept: state belongs to it. Without one it is the rule's name.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Which time all durations of the rule go by, and with it when alerts start and end. Event time unless said.
    pub fn by(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sends a firing alert again at this distance from its start, with the newest text and an annotation `reminder`
    /// that counts. Where the clock leaps over several, one is sent.
    pub fn remind_every(mut self, interval: Duration) -> Self {
        self.remind_every = Some(interval);
        self
    }

    /// How bad it is: [`Severity::Warning`] unless said.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// How bad it is, by the record. While an alert fires it keeps its worst; where that rises, it is sent again at once.
    pub fn severity_of(mut self, severity: impl Fn(&A) -> Severity + Shared) -> Self {
        self.severity_of = Some(Box::new(move |_, about| severity(about)));
        self
    }

    /// A label that all its alerts have.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Makes the key a label.
    pub fn key_label(mut self, name: impl Into<String>) -> Self
    where
        K: Display,
    {
        let name = name.into();
        // So that a name that cannot be one is found before anything runs.
        self.labels.entry(name.clone()).or_default();
        self.labels_of.push(Box::new(move |key, _| vec![(name.clone(), key.to_string())]));
        self
    }

    /// Labels made of the key and the record.
    pub fn labels<I, N, V>(mut self, labels: impl Fn(&K, &A) -> I + Shared) -> Self
    where
        I: IntoIterator<Item = (N, V)>,
        N: Into<String>,
        V: Into<String>,
    {
        self.labels_of.push(Box::new(move |key, about| pairs(labels(key, about))));
        self
    }

    /// An annotation that all its alerts have: a runbook's address.
    pub fn annotation(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(name.into(), value.into());
        self
    }

    /// Annotations made of the key and the record.
    pub fn annotations<I, N, V>(mut self, annotations: impl Fn(&K, &A) -> I + Shared) -> Self
    where
        I: IntoIterator<Item = (N, V)>,
        N: Into<String>,
        V: Into<String>,
    {
        self.annotations_of.push(Box::new(move |key, about| pairs(annotations(key, about))));
        self
    }

    /// The line for people. It is made anew of each record for which the condition holds; a resolved alert has the last.
    pub fn summary(mut self, summary: impl Fn(&K, &A) -> String + Shared) -> Self {
        self.summary = Some(Box::new(summary));
        self
    }

    /// What its state is named after.
    pub fn state_id(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.name)
    }

    /// Which clock it goes by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// What it says of a key, firing since `starts_at`.
    pub(super) fn says(&self, key: &K, about: &A, starts_at: Timestamp) -> Alert {
        let summary = self.summary.as_ref().map(|summary| summary(key, about)).unwrap_or_default();
        let mut alert = Alert::firing(self.name.clone(), summary, starts_at);
        alert.severity = self.severity_of.as_ref().map_or(self.severity, |severity| severity(key, about));
        alert.labels.clone_from(&self.labels);
        alert.labels.extend(self.labels_of.iter().flat_map(|labels| labels(key, about)));
        alert.annotations.clone_from(&self.annotations);
        alert.annotations.extend(self.annotations_of.iter().flat_map(|annotations| annotations(key, about)));
        alert
    }

    /// What is wrong with what all rules have; `zeros` are durations that must not be zero, with the verbs that set them.
    pub(super) fn common_mistakes(&self, zeros: &[(&str, Option<Duration>)]) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.name.is_empty() {
            mistakes.push("an alert has no name: give it one, as in `AlertRule::new(\"HighErrorRate\")`".to_owned());
        }
        let mut wrong = |what: String| mistakes.push(format!("the alert `{}`: {what}", self.name));
        if self.summary.is_none() {
            wrong("it says nothing: give it a line for people with `.summary(|key, record| …)`".into());
        }
        for name in self.labels.keys().chain(self.annotations.keys()).filter(|name| name.trim().is_empty()) {
            wrong(format!("a label or annotation is called `{name}`: give it a name"));
        }
        if self.labels.contains_key("alertname") {
            wrong("the label `alertname` is taken: receivers have the alert's name there".into());
        }
        let remind = ("remind_every", self.remind_every);
        for (verb, _) in zeros.iter().chain([&remind]).filter(|(_, duration)| *duration == Some(Duration::ZERO)) {
            wrong(format!("`.{verb}(…)` of no duration: give it one, or leave it out"));
        }
        mistakes
    }

    /// What `explain` says of it.
    pub(super) fn detail(&self, durations: &[(&str, Option<Duration>)]) -> String {
        let remind = ("reminder every", self.remind_every);
        let said = durations.iter().chain([&remind]);
        let said = said.filter_map(|(what, duration)| duration.map(|duration| format!("{what} {}", span(duration))));
        said.chain([self.clock.name().to_owned()]).collect::<Vec<_>>().join(", ")
    }
}
