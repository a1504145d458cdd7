//! Alerts to Prometheus Alertmanager.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use headwater_operators::{Alert, AlertStatus, Attempt, Failure, FailureKind, Timestamp};
use reqwest::Url;
use serde::Serialize;
use tokio::task::JoinSet;

use super::http::{self, Call, Client, Login, Remedy};
use super::{Connector, Secret};
use crate::{Error, Result};

/// How long an alert fires without being sent again.
const KEEP_ALIVE: Duration = Duration::from_secs(24 * 3600);
/// Where there are several, each has so long to answer, so that one that hangs does not undo what the others took.
const EACH_AT_MOST: Duration = Duration::from_secs(5);

const REMEDIES: &[Remedy] = &[
    (&[401, 403], "mend the Alertmanager's token or password"),
    (&[404, 405], "give the Alertmanager's URL as browsers have it, without /api/v2/alerts"),
];

/// Brings alerts to Prometheus Alertmanager, by its API v2: firing and resolved.
///
/// An alert's labels there are `alertname`, `severity` and its own. Alertmanager takes an alert for resolved that it
/// has not heard of for a while; so each says until when it fires, by default for 24 hours from the attempt:
/// [`keep_alive`](Self::keep_alive). `docs/alertmanager.md` has all options, and what every answer means.
///
/// ```
/// use headwater::connectors::{Alertmanager, Connector};
/// use headwater::prelude::*;
///
/// let pages = Alertmanager::at("http://alerts-a.example:9093")
///     .and("http://alerts-b.example:9093")
///     .label("cluster", "north")
///     .keep_alive(Duration::from_secs(3600));
/// assert_eq!(pages.describe(), "Alertmanager http://alerts-a.example:9093, http://alerts-b.example:9093");
/// ```
pub struct Alertmanager {
    urls: Vec<String>,
    login: Option<Login>,
    keep_alive: Duration,
    generator: Option<String>,
    labels: BTreeMap<String, String>,
    each_at_most: Duration,
    client: Client,
}

impl Alertmanager {
    /// The one at this URL, as browsers have it: `http://alerts.example:9093`, with a path where it has a prefix.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            urls: vec![url.into()],
            login: None,
            keep_alive: KEEP_ALIVE,
            generator: None,
            labels: BTreeMap::new(),
            each_at_most: EACH_AT_MOST,
            client: Client::default(),
        }
    }

    /// Another of the same cluster. Every alert is sent to all of them, at the same time, and is delivered when one
    /// took it: the others have five seconds for it.
    #[must_use]
    pub fn and(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Logs in by `Authorization: Bearer` with this token.
    #[must_use]
    pub fn bearer(mut self, token: Secret) -> Self {
        self.login = Some(Login::Bearer(token));
        self
    }

    /// Logs in with a name and a password.
    #[must_use]
    pub fn basic_auth(mut self, user: impl Into<String>, password: Secret) -> Self {
        self.login = Some(Login::Basic(user.into(), password));
        self
    }

    /// How long an alert fires in Alertmanager after it was sent, unless it is sent again or resolved before; 24 h unless
    /// said. It is what an alert ends by whose job is gone for good, so it must be longer than the time between reminders,
    /// and than a job may be down.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Where people find what made the alerts: a dashboard, a page of the job. A link in Alertmanager.
    #[must_use]
    pub fn generator_url(mut self, url: impl Into<String>) -> Self {
        self.generator = Some(url.into());
        self
    }

    /// Puts a label on all alerts that do not have one of this name.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Where there are several: how long each may take, instead of five seconds. To be less than what the outbox allows
    /// for an attempt.
    #[must_use]
    pub fn each_at_most(mut self, at_most: Duration) -> Self {
        self.each_at_most = at_most;
        self
    }

    fn calls(&self, attempt: &Attempt<Alert>) -> Result<Vec<Call>, Failure> {
        let body = [self.posted(attempt)];
        let call = |url: &String| {
            let url = endpoint(url).map_err(|error| Failure::unreachable(error.to_string()))?;
            let mut call = Call::json(url, &attempt.idempotency_key, &body)?;
            if let Some(login) = &self.login {
                login.write(&mut call)?;
            }
            call.at_most = (self.urls.len() > 1).then_some(self.each_at_most);
            Ok(call)
        };
        self.urls.iter().map(call).collect()
    }

    fn posted<'a>(&'a self, attempt: &'a Attempt<Alert>) -> Posted<'a> {
        let alert = &attempt.item;
        let own = self.labels.iter().chain(&alert.labels).map(|(name, value)| (label_name(name), value.as_str()));
        let mut labels: BTreeMap<String, &str> = own.collect();
        labels.insert("alertname".to_owned(), &alert.name);
        labels.insert("severity".to_owned(), alert.severity.as_str());
        let annotations = alert.annotations.iter().map(|(name, value)| (label_name(name), value.as_str()));
        let mut annotations: BTreeMap<String, &str> = annotations.collect();
        annotations.insert("summary".to_owned(), &alert.summary);
        let ends_at = match alert.status {
            AlertStatus::Firing => attempt.at.plus(self.keep_alive),
            // One that ends in the future fires until then.
            AlertStatus::Resolved => alert.ends_at.unwrap_or(attempt.at).min(attempt.at),
        };
        // What ends before it began is refused.
        let starts_at = alert.starts_at.max(Timestamp::from_micros(0)).min(ends_at);
        let generator_url = self.generator.as_deref();
        Posted { labels, annotations, starts_at, ends_at, generator_url }
    }

    /// Sends to all at once. The worst of several failures is the one that asks for the least: as long as one of them may
    /// still take the alert, it is not given up.
    async fn send(&self, mut calls: Vec<Call>) -> Result<(), Failure> {
        let mut asked = JoinSet::new();
        let last = calls.pop();
        for call in calls {
            let client = self.client.clone();
            asked.spawn(async move { client.send(call).await?.judge(REMEDIES) });
        }
        let mut answers = Vec::new();
        if let Some(call) = last {
            answers.push(self.client.send(call).await.and_then(|answer| answer.judge(REMEDIES)));
        }
        while let Some(answer) = asked.join_next().await {
            answers.push(answer.unwrap_or_else(|error| Err(Failure::unknown("no answer").caused_by(&error))));
        }
        if answers.iter().any(Result::is_ok) {
            for failure in answers.into_iter().filter_map(Result::err) {
                tracing::warn!("an Alertmanager did not take an alert, and another did: {failure}");
            }
            return Ok(());
        }
        let failures = answers.into_iter().filter_map(Result::err);
        failures.min_by_key(|failure| hopelessness(failure.kind)).map_or(Ok(()), Err)
    }
}

impl Connector<Alert> for Alertmanager {
    fn describe(&self) -> String {
        let urls = self.urls.iter().map(|url| Url::parse(url).map(|url| http::origin(&url)).unwrap_or_default());
        format!("Alertmanager {}", urls.collect::<Vec<_>>().join(", "))
    }

    fn check(&self) -> Result<()> {
        for url in &self.urls {
            self.client.check(&endpoint(url)?)?;
        }
        if self.keep_alive.is_zero() {
            return Err(Error::config(
                "an alert that is kept alive for no time would never fire: give keep_alive a time",
            ));
        }
        if let Some(url) = &self.generator {
            http::parse_url(url, "the generator's address")?;
        }
        self.login.as_ref().map_or(Ok(()), Login::check)
    }

    fn lane(&self, _: &Alert) -> String {
        let lanes = self.urls.iter().map(|url| Url::parse(url).map(|url| http::lane(&url)).unwrap_or_default());
        lanes.collect::<Vec<_>>().join(",")
    }

    fn order(&self, alert: &Alert) -> Option<String> {
        Some(alert.identity())
    }

    fn deliver(&self, attempt: &Attempt<Alert>) -> impl Future<Output = Result<(), Failure>> + Send {
        let calls = self.calls(attempt);
        async move { self.send(calls?).await }
    }
}

/// An alert as the API takes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: BTreeMap<String, &'a str>,
    annotations: BTreeMap<String, &'a str>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

fn endpoint(url: &str) -> Result<Url> {
    let url = http::parse_url(url, "the Alertmanager's address")?;
    let path = format!("{}/api/v2/alerts", url.path().trim_end_matches('/'));
    let mut endpoint = url;
    endpoint.set_path(&path);
    endpoint.set_query(None);
    Ok(endpoint)
}

/// Which of two failures counts: the lower.
fn hopelessness(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::Transient => 0,
        FailureKind::Unknown => 1,
        FailureKind::Unreachable => 2,
        FailureKind::Permanent => 3,
    }
}

/// A name that every Alertmanager takes: `service.name` becomes `service_name`, as OpenTelemetry has it.
fn label_name(name: &str) -> String {
    let valid = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let mut valid: String = name.chars().map(valid).collect();
    if !valid.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        valid.insert(0, '_');
    }
    valid
}
