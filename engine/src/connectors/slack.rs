//! Messages to Slack, and to what takes the same as Slack.

mod message;

use std::future::Future;

use headwater_operators::{Attempt, Failure};
use serde_json::Value;

use super::http::{self, Call, Client, Remedy};
use super::{Connector, Secret};
use crate::Result;

pub use message::{SlackAttachment, SlackField, SlackMessage};

const REMEDIES: &[Remedy] = &[
    (&[401, 403], "the webhook is refused: make a new one, or allow it to post"),
    (&[404, 410], "the webhook or its channel is gone: make a new one"),
];

/// Posts to an incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat, Discord's `/slack`.
///
/// An item is an [`Alert`](headwater_operators::Alert), a text, a [`SlackMessage`], or anything of yours that one can be
/// made of: `impl From<&Order> for SlackMessage`. Alerts have the colour of their severity, and green when they are over.
/// The webhook's URL is a secret: who has it can post.
///
/// ```
/// use headwater::connectors::{Connector, Secret, Slack, SlackMessage};
///
/// struct Order { number: u32 }
///
/// impl From<&Order> for SlackMessage {
///     fn from(order: &Order) -> Self {
///         Self::text(format!("*Order {}* needs a human", order.number))
///     }
/// }
///
/// let shop = Slack::webhook(Secret::env("SLACK_URL")).username("shop").icon_emoji(":package:");
/// assert_eq!(Connector::<Order>::describe(&shop), "Slack webhook in environment variable SLACK_URL");
/// ```
pub struct Slack {
    url: Secret,
    username: Option<String>,
    icon_emoji: Option<String>,
    channel: Option<String>,
    client: Client,
}

impl Slack {
    /// The webhook with this URL.
    pub fn webhook(url: Secret) -> Self {
        Self { url, username: None, icon_emoji: None, channel: None, client: Client::default() }
    }

    /// Posts under this name. Webhooks of Slack apps have their own name, and do as if this was not there.
    #[must_use]
    pub fn username(mut self, name: impl Into<String>) -> Self {
        self.username = Some(name.into());
        self
    }

    /// Posts with this emoji as picture, `:fire:`; as with [`username`](Self::username).
    #[must_use]
    pub fn icon_emoji(mut self, emoji: impl Into<String>) -> Self {
        self.icon_emoji = Some(emoji.into());
        self
    }

    /// Posts to another channel than the webhook's, `#ops`; as with [`username`](Self::username).
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    fn call<T>(&self, attempt: &Attempt<T>) -> Result<Call, Failure>
    where
        for<'a> SlackMessage: From<&'a T>,
    {
        let url = http::read(&self.url)?;
        let url = parse(&url).map_err(|error| Failure::unreachable(error.to_string()))?;
        let mut body = SlackMessage::from(&attempt.item).into_body()?;
        let options = [("username", &self.username), ("icon_emoji", &self.icon_emoji), ("channel", &self.channel)];
        for (name, value) in options {
            if let Some(value) = value {
                body.insert(name.to_owned(), Value::String(value.clone()));
            }
        }
        let mut call = Call::json(url, &attempt.idempotency_key, &body)?;
        call.hide_url();
        Ok(call)
    }
}

impl<T> Connector<T> for Slack
where
    for<'a> SlackMessage: From<&'a T>,
{
    fn describe(&self) -> String {
        format!("Slack webhook in {:?}", self.url)
    }

    fn check(&self) -> Result<()> {
        self.client.check(&parse(&self.url.read()?)?)
    }

    fn deliver(&self, attempt: &Attempt<T>) -> impl Future<Output = Result<(), Failure>> + Send {
        let call = self.call(attempt);
        async move { self.client.send(call?).await?.judge(REMEDIES) }
    }
}

fn parse(url: &str) -> Result<reqwest::Url> {
    http::parse_url(url, "the Slack webhook's address")
}
