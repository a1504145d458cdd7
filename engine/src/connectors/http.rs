//! What the connectors that speak HTTP share: the client, what is sent, and what an answer means for an item.

mod answer;

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_operators::Failure;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::{Action, Policy};
use reqwest::{Method, Url};

use super::Secret;
use crate::{Error, Result};

pub(super) use answer::{Answer, Remedy};

/// A server that does not take a connection within this time is not there.
const CONNECT_AT_MOST: Duration = Duration::from_secs(5);

/// A connection that was not used for so long is closed: sooner than servers and what is between do it, for who asks while
/// they do cannot know what became of the request.
const IDLE_AT_MOST: Duration = Duration::from_secs(15);

/// The name that receivers know the header by.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a header cannot hold. `%` is among them so that different keys stay different.
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// Makes requests. Connections are kept and used again.
///
/// There are two clients because one that speaks TLS cannot be made where the system has no certificates, which
/// plain HTTP has no need of.
#[derive(Clone, Default)]
pub(super) struct Client(Arc<Clients>);

#[derive(Default)]
struct Clients {
    redirects: usize,
    plain: OnceLock<reqwest::Client>,
    secure: OnceLock<reqwest::Client>,
}

impl Client {
    /// One that follows so many redirects.
    pub fn following(redirects: usize) -> Self {
        Self(Arc::new(Clients { redirects, ..Clients::default() }))
    }

    /// Finds out whether a URL can be asked at all.
    pub fn check(&self, url: &Url) -> Result<()> {
        let refused = |error| Error::config(format!("no client for {}", origin(url))).caused_by(error);
        self.to(url).map(|_| ()).map_err(refused)
    }

    fn to(&self, url: &Url) -> Result<&reqwest::Client, reqwest::Error> {
        let secure = url.scheme() == "https";
        let made = if secure { &self.0.secure } else { &self.0.plain };
        if let Some(client) = made.get() {
            return Ok(client);
        }
        let limit = self.0.redirects;
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_AT_MOST)
            .pool_idle_timeout(IDLE_AT_MOST)
            .redirect(if limit == 0 { Policy::none() } else { Policy::custom(move |to| follow(to, limit)) });
        if !secure {
            client = client.tls_certs_only([]);
        }
        let client = client.build()?;
        Ok(made.get_or_init(|| client))
    }

    /// Makes a request and waits for the answer, however it turns out.
    ///
    /// # Errors
    /// Where there is no answer: [`unreachable`](Failure::unreachable) where nothing was sent, else
    /// [`unknown`](Failure::unknown).
    pub async fn send(&self, call: Call) -> Result<Answer, Failure> {
        let Call { method, url, headers, body, at_most, basic, mut hidden } = call;
        let place = origin(&url);
        // Nothing can be sent anywhere, whatever the item.
        let unable = |error| Failure::unreachable(format!("no client for {place}")).caused_by(&error);
        let client = self.to(&url).map_err(unable)?;
        let mut request = client.request(method, url).headers(headers).body(body);
        if let Some((user, password)) = basic {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(at_most) = at_most {
            request = request.timeout(at_most);
        }
        let request = request.build().map_err(|error| failed(&place, error))?;
        hidden.extend(secrets(request.headers()));
        // The whole before its parts.
        hidden.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let response = client.execute(request).await.map_err(|error| failed(&place, error))?;
        Ok(Answer::read(response, place, &hidden).await)
    }
}

/// What a receiver that repeats a secret header would show: the password as it is encoded there.
fn secrets(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let sensitive = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    sensitive.map(|value| value.trim_start_matches("Basic ").to_owned())
}

/// What no answer means. Its URL may hold a secret, so the error is told without it.
fn failed(place: &str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let failure = if error.is_builder() {
        Failure::permanent(format!("no request can be made to {place}"))
    } else if error.is_connect() {
        Failure::unreachable(format!("{place} cannot be reached"))
    } else if error.is_timeout() {
        Failure::unknown(format!("{place} did not answer in time"))
    } else {
        Failure::unknown(format!("{place} took the request, and the connection ended before its answer"))
    };
    match error.source() {
        Some(cause) => failure.caused_by(cause),
        None => failure.caused_by(&error),
    }
}

/// Follows only what sends the same request again (301 and 302 would make a `GET` without the body of it), and only to
/// the same place, because the secrets go along.
fn follow(to: reqwest::redirect::Attempt<'_>, limit: usize) -> Action {
    let again = matches!(to.status().as_u16(), 307 | 308);
    let same = to.previous().last().is_some_and(|from| from.origin() == to.url().origin());
    if again && same && to.previous().len() <= limit { to.follow() } else { to.stop() }
}

/// A request.
pub(super) struct Call {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// How long it may take, where that is shorter than what the outbox allows.
    pub at_most: Option<Duration>,
    /// A user's name and password.
    basic: Option<(String, String)>,
    /// What must not be in any message.
    pub hidden: Vec<String>,
}

impl Call {
    /// A `POST` of JSON.
    pub fn json(url: Url, idempotency_key: &str, body: &impl serde::Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::permanent("the item cannot be written as JSON").caused_by(&error))?;
        Ok(Self::new(url, idempotency_key, "application/json", body))
    }

    /// A `POST`.
    pub fn new(url: Url, idempotency_key: &str, content_type: &'static str, body: Vec<u8>) -> Self {
        let key = utf8_percent_encode(idempotency_key, NOT_IN_HEADERS).to_string();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::try_from(key).expect("only visible ASCII is left"));
        Self { method: Method::POST, url, headers, body, at_most: None, basic: None, hidden: Vec::new() }
    }

    /// Adds a header with a secret in it, after what is no secret: `Bearer `.
    pub fn secret_header(&mut self, name: HeaderName, before: &str, secret: &Secret) -> Result<(), Failure> {
        let value = read(secret)?;
        let mut header = HeaderValue::try_from(format!("{before}{value}"))
            .map_err(|_| Failure::unreachable(not_in_a_header(secret).to_string()))?;
        header.set_sensitive(true);
        self.headers.insert(name, header);
        self.hidden.push(value);
        Ok(())
    }

    /// Keeps the URL out of messages, whole and in parts: it is a secret.
    pub fn hide_url(&mut self) {
        const PART_AT_LEAST: usize = 6; // a shorter one is a word rather than a secret
        let path = self.url.path().trim_end_matches('/');
        let mut parts = vec![self.url.to_string(), path.to_owned(), self.url.query().unwrap_or_default().to_owned()];
        parts.extend(path.split('/').map(str::to_owned));
        parts.extend(self.url.query_pairs().map(|(_, value)| value.into_owned()));
        self.hidden.extend(parts.into_iter().filter(|part| part.len() >= PART_AT_LEAST));
    }
}

/// Who asks.
#[derive(Clone)]
pub(super) enum Login {
    /// A token.
    Bearer(Secret),
    /// A user's name and password.
    Basic(String, Secret),
}

impl Login {
    /// Says it in a request.
    pub fn write(&self, call: &mut Call) -> Result<(), Failure> {
        match self {
            Self::Bearer(token) => call.secret_header(AUTHORIZATION, "Bearer ", token)?,
            Self::Basic(user, password) => {
                let password = read(password)?;
                call.hidden.push(password.clone());
                call.basic = Some((user.clone(), password));
            }
        }
        Ok(())
    }

    /// Finds out whether it is there.
    pub fn check(&self) -> Result<()> {
        let (Self::Bearer(secret) | Self::Basic(_, secret)) = self;
        check_header(secret)
    }
}

/// Finds out whether a secret is there and can be sent.
pub(super) fn check_header(secret: &Secret) -> Result<()> {
    HeaderValue::try_from(secret.read()?).map(drop).map_err(|_| not_in_a_header(secret))
}

fn not_in_a_header(secret: &Secret) -> Error {
    Error::config(format!("the secret in {secret:?} has characters that no header can"))
}

/// Reads a secret for an attempt. One that is not there would fail every item, so none of them is given up for it.
pub(super) fn read(secret: &Secret) -> Result<String, Failure> {
    secret.read().map_err(|error| Failure::unreachable(error.to_string()))
}

/// Reads a URL: one that can be asked, and that has no password in it, which would be shown.
///
/// # Errors
/// `Config` without the text, which may be a secret.
pub(super) fn parse_url(text: &str, what: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| Error::config(format!("{what} is no URL")).caused_by(error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Error::config(format!("{what} is no http:// or https:// URL")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::config(format!("{what} has a user's name or a password in it: give them as secrets")));
    }
    Ok(url)
}

/// The receiver of a URL, without its path, in which there may be a secret: `https://hooks.example.org`.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Host and port of a URL, what items wait for together.
pub(super) fn lane(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or_default();
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

/// At most so many characters, with a sign that there were more.
pub(super) fn shortened(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars.saturating_sub(1)).chain(['…']).collect(),
    }
}
