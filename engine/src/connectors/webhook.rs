//! Items to any address that takes HTTP requests.

use std::future::Future;

use headwater_operators::{Attempt, Failure, FailureKind};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;
use sha2::Sha256;

use super::http::{self, Call, Client, Login, Remedy};
use super::{Connector, Secret};
use crate::{Error, Result};

const SIGNATURE: HeaderName = HeaderName::from_static("x-headwater-signature");

const REMEDIES: &[Remedy] = &[(&[401, 403], "mend the webhook's secret headers or its signature's key")];

/// Brings each item to an address over HTTP: as JSON by `POST`, unless said otherwise.
///
/// With each request goes `Idempotency-Key`, the same for every attempt of an item. What every option does and what
/// every answer means is in `docs/webhook.md`.
///
/// ```
/// use headwater::connectors::{Connector, Secret, Webhook};
/// use headwater::prelude::*;
///
/// let orders: Webhook<String> = Webhook::to("https://shop.example/hooks/orders")
///     .header("X-Team", "payments")
///     .bearer(Secret::env("SHOP_TOKEN"))
///     .sign(Secret::file("/run/secrets/shop-key"));
/// assert_eq!(orders.describe(), "webhook POST https://shop.example/hooks/orders");
///
/// // An address per item: where one host is away, items to the others go on.
/// let callbacks = Webhook::to_each(|order: &(String, u32)| order.0.clone()).body("text/plain", |order| {
///     Ok(order.1.to_string().into_bytes())
/// });
/// assert_eq!(callbacks.lane(&("http://a.example:8080/done".to_owned(), 7)), "a.example:8080");
/// ```
pub struct Webhook<T> {
    address: Address<T>,
    method: WebhookMethod,
    headers: Vec<(String, String)>,
    secret_headers: Vec<(String, Secret)>,
    login: Option<Login>,
    key: Option<Secret>,
    content_type: &'static str,
    body: Box<MakeBody<T>>,
    client: Client,
}

type MakeBody<T> = dyn Fn(&T) -> Result<Vec<u8>> + Send + Sync;

/// How a webhook asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookMethod {
    /// `POST`.
    #[default]
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
}

enum Address<T> {
    Same(String),
    Secret(Secret),
    Each(Box<dyn Fn(&T) -> String + Send + Sync>),
}

impl<T: Serialize> Webhook<T> {
    /// All items to one URL. One that has a token in it is a secret: [`to_secret`](Self::to_secret).
    pub fn to(url: impl Into<String>) -> Self {
        Self::at(Address::Same(url.into()))
    }

    /// All items to one URL that is itself a secret, and never shown but for its host.
    pub fn to_secret(url: Secret) -> Self {
        Self::at(Address::Secret(url))
    }

    /// Each item to the URL that it says. An item without a proper one goes to the dead letters.
    pub fn to_each(url: impl Fn(&T) -> String + Send + Sync + 'static) -> Self {
        Self::at(Address::Each(Box::new(url)))
    }

    fn at(address: Address<T>) -> Self {
        let json = |item: &T| {
            serde_json::to_vec(item).map_err(|error| Error::record("not to be written as JSON").caused_by(error))
        };
        Self {
            address,
            method: WebhookMethod::default(),
            headers: Vec::new(),
            secret_headers: Vec::new(),
            login: None,
            key: None,
            content_type: "application/json",
            body: Box::new(json),
            client: Client::default(),
        }
    }
}

impl<T> Webhook<T> {
    /// Asks in another way than by `POST`.
    #[must_use]
    pub fn method(mut self, method: WebhookMethod) -> Self {
        self.method = method;
        self
    }

    /// Sends a header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends a header more, whose value is never shown.
    #[must_use]
    pub fn secret_header(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.secret_headers.push((name.into(), secret));
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

    /// Signs each request: `X-Headwater-Signature: t=SECONDS,v1=HEX`. `SECONDS` is when the attempt was decided on, since
    /// 1970; `HEX` is HMAC-SHA256 with this key over `SECONDS`, a full stop and the body, as it was sent. A receiver
    /// that computes the same, and refuses what is older than it likes, knows that a request comes from whoever has the
    /// key and is not somebody's repetition.
    #[must_use]
    pub fn sign(mut self, key: Secret) -> Self {
        self.key = Some(key);
        self
    }

    /// Makes the body otherwise than as JSON. An item that it fails for goes to the dead letters.
    #[must_use]
    pub fn body(
        mut self,
        content_type: &'static str,
        body: impl Fn(&T) -> Result<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        (self.content_type, self.body) = (content_type, Box::new(body));
        self
    }

    /// Follows at most so many redirects of one request; none unless said. Only 307 and 308, which have the same request
    /// made again, and only within one scheme, host and port, because the secrets go along.
    #[must_use]
    pub fn follow_redirects(mut self, at_most: usize) -> Self {
        self.client = Client::following(at_most);
        self
    }

    fn url(&self, item: &T) -> Result<Url, Failure> {
        match &self.address {
            Address::Same(url) => parse(url).map_err(|error| Failure::unreachable(error.to_string())),
            Address::Secret(url) => parse(&http::read(url)?).map_err(|error| Failure::unreachable(error.to_string())),
            Address::Each(url) => http::parse_url(&url(item), "what the item is to go to")
                .map_err(|error| Failure::permanent(error.to_string())),
        }
    }

    fn call(&self, attempt: &Attempt<T>) -> Result<Call, Failure> {
        let url = self.url(&attempt.item)?;
        let body = (self.body)(&attempt.item)
            .map_err(|error| Failure::permanent(format!("no body can be made of the item: {error}")))?;
        let signature = self.key.as_ref().map(|key| signature(&http::read(key)?, attempt, &body)).transpose()?;
        let mut call = Call::new(url, &attempt.idempotency_key, self.content_type, body);
        call.method = self.method.into();
        for (name, value) in &self.headers {
            let (name, value) = header(name, value).map_err(|error| Failure::unreachable(error.to_string()))?;
            call.headers.insert(name, value);
        }
        for (name, secret) in &self.secret_headers {
            let name = header_name(name).map_err(|error| Failure::unreachable(error.to_string()))?;
            call.secret_header(name, "", secret)?;
        }
        if let Some(login) = &self.login {
            login.write(&mut call)?;
        }
        if let Some((key, value)) = signature {
            call.headers.insert(SIGNATURE, value);
            call.hidden.push(key);
        }
        if let Address::Secret(_) = self.address {
            call.hide_url();
        }
        Ok(call)
    }
}

impl<T: 'static> Connector<T> for Webhook<T> {
    fn describe(&self) -> String {
        let method = Method::from(self.method);
        match &self.address {
            Address::Same(url) => match parse(url) {
                Ok(url) => format!("webhook {method} {}{}", http::origin(&url), url.path()),
                Err(_) => format!("webhook {method}"),
            },
            Address::Secret(url) => format!("webhook {method} to the URL in {url:?}"),
            Address::Each(_) => format!("webhook {method} to each item's URL"),
        }
    }

    fn check(&self) -> Result<()> {
        match &self.address {
            Address::Same(url) => self.client.check(&parse(url)?)?,
            Address::Secret(url) => self.client.check(&parse(&url.read()?)?)?,
            Address::Each(_) => {}
        }
        for (name, value) in &self.headers {
            header(name, value)?;
        }
        for (name, secret) in &self.secret_headers {
            header_name(name)?;
            http::check_header(secret)?;
        }
        self.login.as_ref().map_or(Ok(()), Login::check)?;
        self.key.as_ref().map_or(Ok(()), |key| key.read().map(drop))
    }

    fn lane(&self, item: &T) -> String {
        match &self.address {
            Address::Same(url) => parse(url).map(|url| http::lane(&url)).unwrap_or_default(),
            // It is the only one, and to read it for every item would be much.
            Address::Secret(_) => String::new(),
            Address::Each(url) => Url::parse(&url(item)).map(|url| http::lane(&url)).unwrap_or_default(),
        }
    }

    fn deliver(&self, attempt: &Attempt<T>) -> impl Future<Output = Result<(), Failure>> + Send {
        let call = self.call(attempt);
        let is_one_of_many = matches!(self.address, Address::Each(_));
        async move {
            let answer = self.client.send(call?).await?;
            answer.judge(REMEDIES).map_err(|failure| match failure.kind {
                // Whoever refuses us at an address of the item's own speaks for that address alone.
                FailureKind::Unreachable if is_one_of_many => Failure { kind: FailureKind::Transient, ..failure },
                _ => failure,
            })
        }
    }
}

impl From<WebhookMethod> for Method {
    fn from(method: WebhookMethod) -> Self {
        match method {
            WebhookMethod::Post => Self::POST,
            WebhookMethod::Put => Self::PUT,
            WebhookMethod::Patch => Self::PATCH,
        }
    }
}

fn parse(url: &str) -> Result<Url> {
    http::parse_url(url, "the webhook's address")
}

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::try_from(name)
        .map_err(|error| Error::config(format!("a webhook's header cannot be called {name:?}")).caused_by(error))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let checked = HeaderValue::try_from(value)
        .map_err(|error| Error::config(format!("a webhook's header {name} cannot be {value:?}")).caused_by(error))?;
    Ok((header_name(name)?, checked))
}

/// The key, which is to be hidden, and the header.
fn signature<T>(key: &str, attempt: &Attempt<T>, body: &[u8]) -> Result<(String, HeaderValue), Failure> {
    let time = attempt.at.as_seconds();
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| Failure::unreachable("the webhook's key cannot sign"))?;
    mac.update(format!("{time}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let header = HeaderValue::try_from(format!("t={time},v1={hex}")).expect("digits and signs are visible ASCII");
    Ok((key.to_owned(), header))
}
