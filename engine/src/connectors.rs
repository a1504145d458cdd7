//! What brings items of an outbox to the world outside. Each connector is a cargo feature.

#[cfg(feature = "alertmanager")]
mod alertmanager;
#[cfg(feature = "email")]
pub mod email;
#[cfg(feature = "http-client")]
#[cfg_attr(
    not(all(feature = "alertmanager", feature = "pagerduty", feature = "slack", feature = "webhook")),
    allow(dead_code, unused_imports, reason = "it is shared, and none of them uses all of it")
)]
mod http;
#[cfg(feature = "pagerduty")]
mod pagerduty;
mod secret;
#[cfg(feature = "slack")]
mod slack;
#[cfg(feature = "webhook")]
mod webhook;

use std::future::Future;

use headwater_operators::{Attempt, Failure};

use crate::Result;

#[cfg(feature = "alertmanager")]
pub use alertmanager::Alertmanager;
#[cfg(feature = "pagerduty")]
pub use pagerduty::{PagerDuty, PagerDutyAction, PagerDutyEvent};
pub use secret::Secret;
#[cfg(feature = "slack")]
pub use slack::{Slack, SlackAttachment, SlackField, SlackMessage};
#[cfg(feature = "webhook")]
pub use webhook::{Webhook, WebhookMethod};

/// Brings items to a receiver outside: a mail server, a pager, anything with an address.
///
/// A connector of your own is one function. It is given an [`Attempt`]; what it returns decides what comes next:
/// nothing, another attempt by the outbox's schedule, or the dead letters ([`Failure`]). It need not retry, wait, limit
/// the time or remember anything: the outbox does.
///
/// ```
/// use headwater::prelude::*;
///
/// /// Writes each item into a file of its own, named after its key: one that is delivered twice is there once.
/// struct Folder(std::path::PathBuf);
///
/// impl Connector<String> for Folder {
///     fn describe(&self) -> String {
///         format!("folder {}", self.0.display())
///     }
///
///     async fn deliver(&self, attempt: &Attempt<String>) -> Result<(), Failure> {
///         let file = self.0.join(attempt.idempotency_key.replace('/', "-"));
///         std::fs::write(file, &attempt.item)
///             .map_err(|error| Failure::transient("the file cannot be written").caused_by(&error))
///     }
/// }
/// ```
pub trait Connector<T>: Send + Sync + 'static {
    /// What it is, for `explain` and for messages: `mail server mail.example.org:587`. Never a secret.
    fn describe(&self) -> String;

    /// Finds what is wrong with its options before anything runs.
    ///
    /// # Errors
    /// `Config` with the remedy.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Which way an item takes, where there are several that fail each by itself: the host of an address. Where nobody
    /// answers on one, items of the others go on.
    fn lane(&self, item: &T) -> String {
        let _ = item;
        String::new()
    }

    /// Items for which this is the same are delivered one after the other, unless the outbox says otherwise: an alert
    /// does not resolve before it has fired.
    fn order(&self, item: &T) -> Option<String> {
        let _ = item;
        None
    }

    /// Delivers an item. It must not block: all attempts of an outbox share a thread. Dropped where it takes longer than the outbox allows.
    ///
    /// # Errors
    /// What becomes of the item then is the [`Failure`]'s kind.
    fn deliver(&self, attempt: &Attempt<T>) -> impl Future<Output = Result<(), Failure>> + Send;
}
