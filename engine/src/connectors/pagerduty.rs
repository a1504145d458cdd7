//! Alerts to PagerDuty.

mod event;

use std::future::Future;

use headwater_operators::{Attempt, Failure};
use serde::Deserialize;

use super::http::{self, Answer, Call, Client, Remedy};
use super::{Connector, Secret};
use crate::{Error, Result};

pub use event::{PagerDutyAction, PagerDutyEvent};

const URL: &str = "https://events.pagerduty.com";

const REMEDIES: &[Remedy] = &[(&[401, 403], "mend the routing key"), (&[404, 405], "mend PagerDuty's address")];
/// A key that is refused is refused for every item.
const KEY_REMEDIES: &[Remedy] = &[(&[400], "mend the routing key")];

/// Wakes people through PagerDuty, by its Events API v2: trigger, acknowledge and resolve.
///
/// An item is an [`Alert`](headwater_operators::Alert), a [`PagerDutyEvent`], or anything of yours that one can be made
/// of: `impl From<&Order> for PagerDutyEvent`. An alert that fires triggers an incident, and resolves the same one when
/// it is over, because both have the alert's identity as `dedup_key`. The routing key is the integration key of a
/// service, or of an event orchestration, for Events API v2.
///
/// ```
/// use headwater::connectors::{Connector, PagerDuty, Secret};
/// use headwater::prelude::*;
///
/// let pager = PagerDuty::new(Secret::file("/run/secrets/pagerduty")).source("checkout, north");
/// assert_eq!(Connector::<Alert>::describe(&pager), "PagerDuty https://events.pagerduty.com");
/// ```
pub struct PagerDuty {
    key: Secret,
    url: String,
    source: String,
    client_name: Option<String>,
    client_url: Option<String>,
    client: Client,
}

impl PagerDuty {
    /// To the service with this routing key.
    pub fn new(routing_key: Secret) -> Self {
        Self {
            key: routing_key,
            url: URL.to_owned(),
            source: "headwater".to_owned(),
            client_name: None,
            client_url: None,
            client: Client::default(),
        }
    }

    /// At another address than `https://events.pagerduty.com`: `https://events.eu.pagerduty.com`.
    #[must_use]
    pub fn at(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// What is said to be affected where an event does not say it; `headwater` unless said.
    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// Who is said to have noticed it, with a page that people find more on.
    #[must_use]
    pub fn client(mut self, name: impl Into<String>, url: impl Into<String>) -> Self {
        (self.client_name, self.client_url) = (Some(name.into()), Some(url.into()));
        self
    }

    fn call<T>(&self, attempt: &Attempt<T>) -> Result<Call, Failure>
    where
        for<'a> PagerDutyEvent: From<&'a T>,
    {
        let url = endpoint(&self.url).map_err(|error| Failure::unreachable(error.to_string()))?;
        let key = http::read(&self.key)?;
        let event = PagerDutyEvent::from(&attempt.item);
        let mut body = event.body(&self.source)?;
        body.routing_key = &key;
        (body.client, body.client_url) = (self.client_name.as_deref(), self.client_url.as_deref());
        let mut call = Call::json(url, &attempt.idempotency_key, &body)?;
        call.hidden.push(key);
        Ok(call)
    }
}

impl<T> Connector<T> for PagerDuty
where
    for<'a> PagerDutyEvent: From<&'a T>,
{
    fn describe(&self) -> String {
        let place = endpoint(&self.url).map(|url| http::origin(&url)).unwrap_or_default();
        format!("PagerDuty {place}")
    }

    fn check(&self) -> Result<()> {
        let key = self.key.read()?;
        if key.len() != 32 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::config(format!(
                "the routing key in {:?} is none: it is the 32 letters and digits of an Events API v2 integration",
                self.key
            )));
        }
        self.client.check(&endpoint(&self.url)?)
    }

    fn order(&self, item: &T) -> Option<String> {
        Some(PagerDutyEvent::from(item).dedup_key)
    }

    fn deliver(&self, attempt: &Attempt<T>) -> impl Future<Output = Result<(), Failure>> + Send {
        let call = self.call(attempt);
        async move { judge(self.client.send(call?).await?) }
    }
}

/// What PagerDuty says about what it refuses.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<String>,
}

fn judge(mut answer: Answer) -> Result<(), Failure> {
    let Ok(refusal) = serde_json::from_str::<Refusal>(&answer.said) else {
        return answer.judge(REMEDIES);
    };
    let parts = [refusal.message].into_iter().chain(refusal.errors).filter(|part| !part.is_empty());
    let said = parts.collect::<Vec<_>>().join(": ");
    let of_key = ["routing_key", "routing key"].iter().any(|key| said.to_lowercase().contains(key));
    if !said.is_empty() {
        answer.said = said;
    }
    answer.judge(if of_key { KEY_REMEDIES } else { REMEDIES })
}

fn endpoint(url: &str) -> Result<reqwest::Url> {
    let mut url = http::parse_url(url, "PagerDuty's address")?;
    let path = format!("{}/v2/enqueue", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}
