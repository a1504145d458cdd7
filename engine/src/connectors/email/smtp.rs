//! The options of a mail server, and mails sent through it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use headwater_operators::{Attempt, Failure, FailureKind};
use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;

use super::connection::{self, Kept};
use super::letter::Letter;
use super::transaction;
use super::url;
use super::{Email, EmailTemplate, Stamp, Templated};
use crate::connectors::Secret;
use crate::{Connector, Error, Result};

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// It begins in plain text and is encrypted before the login, or it fails: port 587.
    #[default]
    StartTls,
    /// It is from its first byte: port 465.
    Implicit,
    /// It is not, which is refused but for a server on this machine: port 25.
    None,
    /// It is not, and everybody on the way to the server can read mails and password: port 25.
    NoneEvenOverNetworks,
}

/// A mail server that takes mails: a [`Connector`] of [`Email`]s.
///
/// ```
/// use headwater::connectors::Secret;
/// use headwater::connectors::email::{Email, Smtp};
/// use headwater::prelude::*;
///
/// let mail = Smtp::at("mail.example.org")
///     .login("alerts", Secret::env("SMTP_PASSWORD"))
///     .from("Alerts <alerts@example.org>");
/// assert_eq!(Connector::<Email>::describe(&mail), "mail server mail.example.org:587");
///
/// // What is wrong is found before anything runs.
/// let error = Connector::<Email>::check(&Smtp::at("mail.example.org")).unwrap_err();
/// assert_eq!(error.to_string(), "mail server mail.example.org:587 has no sender: give one with `Smtp::from`");
///
/// // Of items of another type it makes mails by a function, or by a template.
/// let pages = mail.email(|alert: &Alert| {
///     Email::to("oncall@example.org").subject(alert.identity()).text(alert.summary.clone())
/// });
/// assert_eq!(pages.describe(), "mail server mail.example.org:587");
/// ```
///
/// It opens as many connections as mails are sent at once, keeps them for a minute, and needs a tokio runtime with its timer enabled.
pub struct Smtp {
    options: Options,
    kept: Kept,
}

/// What is to be known of a server.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub host: String,
    pub port: Option<u16>,
    pub tls: Tls,
    pub ca: Option<PathBuf>,
    pub login: Option<(String, Secret)>,
    pub from: String,
    pub helo: Option<String>,
    pub connect_timeout: Duration,
}

impl Smtp {
    /// A mail server on a host, by name or address. The port goes by [`Tls`] unless [`port`](Self::port) says it.
    pub fn at(host: impl Into<String>) -> Self {
        let options = Options {
            host: host.into(),
            port: None,
            tls: Tls::default(),
            ca: None,
            login: None,
            from: String::new(),
            helo: None,
            connect_timeout: Duration::from_secs(5),
        };
        Self { options, kept: Kept::default() }
    }

    /// The same from one line: `smtp://alerts@mail.example.org?from=alerts@example.org&password_env=SMTP_PASSWORD`, and
    /// `smtps://…` for TLS at once. `docs/email.md` lists what else can stand in it. A password cannot: it would be read
    /// in the list of processes.
    ///
    /// # Errors
    /// `Config` with the shape that it should have.
    pub fn from_url(url: &str) -> Result<Self> {
        url::parse(url)
    }

    /// At this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.options.port = Some(port);
        self
    }

    /// Encrypted in this way; [`Tls::StartTls`] unless said.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.options.tls = tls;
        self
    }

    /// Trusts the authorities in this file, in PEM format, beside those of the system.
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.options.ca = Some(file.into());
        self
    }

    /// Logs in, by PLAIN or LOGIN.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: Secret) -> Self {
        self.options.login = Some((user.into(), password));
        self
    }

    /// Who all mails are from: `Alerts <alerts@example.org>`.
    #[must_use]
    pub fn from(mut self, address: impl Into<String>) -> Self {
        self.options.from = address.into();
        self
    }

    /// What it calls itself to the server, `[127.0.0.1]` unless said: some servers want the name of the machine.
    #[must_use]
    pub fn helo(mut self, name: impl Into<String>) -> Self {
        self.options.helo = Some(name.into());
        self
    }

    /// How long it may take to connect, encrypt and log in until the server counts as unreachable; 5 s unless said.
    /// It should be below [`Outbox::timeout`](crate::Outbox::timeout).
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.options.connect_timeout = limit;
        self
    }

    /// A connector of items of which this function makes mails.
    pub fn email<T, F: Fn(&T) -> Email + Send + Sync + 'static>(self, write: F) -> EmailOf<F> {
        EmailOf { smtp: self, write }
    }

    /// A connector of items of which a template makes mails.
    pub fn template(self, template: EmailTemplate) -> Templated {
        Templated { smtp: self, template }
    }

    pub(super) fn address(&self) -> String {
        self.options.address()
    }

    pub(super) fn check_options(&self) -> Result<()> {
        self.options.check().map(drop)
    }

    pub(super) async fn send(&self, email: &Email, stamp: Stamp<'_>) -> Result<(), Failure> {
        let server = self.options.address();
        let from = self.options.sender().map_err(|error| Failure::unreachable(error.to_string()))?;
        let letter = Letter::write(&from, email, stamp)?;
        let mut connection = self.kept.begin(&self.options, &letter).await?;
        let sent = transaction::send(&mut connection, &letter, &server).await;
        // One that was lost, or whose server refuses for now, is left.
        if sent.as_ref().err().is_none_or(|failure| failure.kind == FailureKind::Permanent) {
            self.kept.put(connection);
        }
        sent
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

impl Options {
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            Tls::StartTls => 587,
            Tls::Implicit => 465,
            Tls::None | Tls::NoneEvenOverNetworks => 25,
        })
    }

    /// For messages.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("mail server [{}]:{}", self.host, self.port()),
            false => format!("mail server {}:{}", self.host, self.port()),
        }
    }

    pub fn client_id(&self) -> ClientId {
        self.helo.as_ref().map_or_else(ClientId::default, |name| ClientId::Domain(name.clone()))
    }

    pub fn sender(&self) -> Result<Mailbox> {
        let server = self.address();
        if self.from.is_empty() {
            return Err(Error::config(format!("{server} has no sender: give one with `Smtp::from`")));
        }
        let wrong = |error| {
            Error::config(format!("{server} has a sender that is no mail address: {:?}", self.from)).caused_by(error)
        };
        self.from.parse::<Mailbox>().map_err(wrong)
    }

    fn check(&self) -> Result<()> {
        let server = self.address();
        if self.host.is_empty() || !self.host.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::config(format!("{:?} is no host of a mail server", self.host)));
        }
        if self.tls == Tls::None && !is_this_machine(&self.host) {
            return Err(Error::config(format!(
                "{server} is not on this machine, and without TLS everybody on the way can read mails and password: use \
                 `Tls::StartTls` or `Tls::Implicit`, or `Tls::NoneEvenOverNetworks` if that is meant"
            )));
        }
        if let Some(name) = self.helo.as_ref().filter(|name| name.is_empty() || name.contains(char::is_whitespace)) {
            return Err(Error::config(format!("{server} is told {name:?}, which is no name, by `Smtp::helo`")));
        }
        self.sender()?;
        if let Some((_, password)) = &self.login {
            password.read().map_err(|error| error.within(&server))?;
        }
        connection::tls(self).map(drop).map_err(|error| error.within(&server))
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Connector<Email> for Smtp {
    fn describe(&self) -> String {
        self.address()
    }

    fn check(&self) -> Result<()> {
        self.check_options()
    }

    async fn deliver(&self, attempt: &Attempt<Email>) -> Result<(), Failure> {
        self.send(&attempt.item, Stamp::of(attempt)).await
    }
}

/// A mail server that makes its mails from items by a function: [`Smtp::email`].
pub struct EmailOf<F> {
    smtp: Smtp,
    write: F,
}

impl<T: Send + Sync, F: Fn(&T) -> Email + Send + Sync + 'static> Connector<T> for EmailOf<F> {
    fn describe(&self) -> String {
        self.smtp.address()
    }

    fn check(&self) -> Result<()> {
        self.smtp.check_options()
    }

    async fn deliver(&self, attempt: &Attempt<T>) -> Result<(), Failure> {
        let email = (self.write)(&attempt.item);
        self.smtp.send(&email, Stamp::of(attempt)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_refused(smtp: Smtp, with: &str) {
        let error = smtp.check_options().unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Config);
        assert!(error.to_string().contains(with), "{error}");
    }

    #[test]
    fn what_is_wrong_with_the_options_is_told_with_the_remedy() {
        let smtp = |host: &str| Smtp::at(host).from("a@example.org");
        smtp("mail.example.org").check_options().unwrap();
        assert_refused(smtp(""), "is no host");
        assert_refused(smtp("h").from("nobody"), "a sender that is no mail address: \"nobody\"");
        assert_refused(smtp("h").login("u", Secret::env("NO_SUCH_VARIABLE")), "environment variable NO_SUCH_VARIABLE");
        assert_refused(smtp("h").helo("a b"), "no name");
        assert_refused(smtp("h").ca("/no/such/file"), "no certificates can be read from /no/such/file");
        assert_refused(smtp("h").ca("Cargo.toml"), "there is none in PEM format in it");
    }

    #[test]
    fn plain_text_is_for_this_machine_unless_it_is_meant() {
        let plain = |host: &str, tls| Smtp::at(host).from("a@example.org").tls(tls);
        for here in ["localhost", "127.0.0.1", "::1"] {
            plain(here, Tls::None).check_options().unwrap();
        }
        assert_refused(plain("mail.example.org", Tls::None), "Tls::NoneEvenOverNetworks");
        plain("mail.example.org", Tls::NoneEvenOverNetworks).check_options().unwrap();
    }
}
