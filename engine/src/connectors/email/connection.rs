//! Connections: opened with TLS and a login, and kept for the next mail.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_operators::Failure;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::Rset;

use super::letter::Letter;
use super::smtp::{Options, Tls};
use super::transaction::{Refusal, begin, reply, status};
use crate::Result;
use crate::clock;

/// What is kept open at most, as many as an outbox uses at once unless told otherwise; and how long at most: servers close
/// what is idle after five minutes or so.
const KEPT_MAX: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Connections that wait for the next mail.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<(AsyncSmtpConnection, Instant)>>);

impl Kept {
    /// A connection on which the mail is begun: one that was kept, if it still is one, or a new one. A host that does
    /// not answer is unreachable; by the outbox's own limit the attempt would count.
    pub async fn begin(&self, options: &Options, letter: &Letter) -> Result<AsyncSmtpConnection, Failure> {
        let begun = tokio::time::timeout(options.connect_timeout, self.begin_at_all(options, letter)).await;
        begun.unwrap_or_else(|_| {
            let hint = match (options.tls, options.port()) {
                (Tls::StartTls, 465) => "; port 465 is for `Tls::Implicit`",
                _ => "",
            };
            let (server, limit) = (options.address(), options.connect_timeout);
            Err(Failure::unreachable(format!("{server} gave no answer in {limit:?}{hint}")))
        })
    }

    async fn begin_at_all(&self, options: &Options, letter: &Letter) -> Result<AsyncSmtpConnection, Failure> {
        let server = options.address();
        while let Some(mut connection) = self.take() {
            // A mail whose recipients were all refused is still begun. And it shows whether anybody is there.
            if connection.command(Rset).await.is_err() {
                continue;
            }
            match begin(&mut connection, letter, &server).await {
                Ok(()) => return Ok(connection),
                Err(Refusal::Answer(failure)) => return Err(failure),
                // It was closed meanwhile.
                Err(Refusal::Stale(_)) => {}
            }
        }
        let mut connection = open(options).await?;
        match begin(&mut connection, letter, &server).await {
            Ok(()) => Ok(connection),
            Err(Refusal::Answer(failure) | Refusal::Stale(failure)) => Err(failure),
        }
    }

    /// Keeps one for the next mail.
    pub fn put(&self, connection: AsyncSmtpConnection) {
        let mut kept = self.lock();
        if kept.len() < KEPT_MAX {
            kept.push((connection, clock::now()));
        }
    }

    fn take(&self) -> Option<AsyncSmtpConnection> {
        let mut kept = self.lock();
        kept.retain(|(_, since)| clock::now().duration_since(*since) < KEPT_FOR);
        kept.pop().map(|(connection, _)| connection)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(AsyncSmtpConnection, Instant)>> {
        // A list of connections is whole wherever a panic cut it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, encrypts and logs in. Nothing of a mail was sent where it fails, and it would fail for any other mail.
async fn open(options: &Options) -> Result<AsyncSmtpConnection, Failure> {
    let server = options.address();
    let misconfigured = |error: crate::Error| Failure::unreachable(format!("{server} cannot be used: {error}"));
    // Read here, so that a password or a certificate that was exchanged is used from the next connection on.
    let tls = tls(options).map_err(misconfigured)?;
    let password = options.login.as_ref().map(|(_, password)| password.read()).transpose().map_err(misconfigured)?;
    let helo = options.client_id();
    let (at_once, later) = if options.tls == Tls::Implicit { (tls, None) } else { (None, tls) };
    let host = (options.host.as_str(), options.port());
    let connecting = AsyncSmtpConnection::connect_tokio1(host, Some(options.connect_timeout), &helo, at_once, None);
    let mut connection = connecting.await.map_err(|error| not_opened(&error, options))?;
    if let Some(tls) = later {
        if !connection.can_starttls() {
            return Err(Failure::unreachable(format!(
                "{server} does not offer STARTTLS, and nothing is sent in plain text; try `Tls::Implicit`, usually at port \
                 465, or for a server on this machine `Tls::None`"
            )));
        }
        connection.starttls(tls, &helo).await.map_err(|error| not_opened(&error, options))?;
    }
    if let (Some((user, _)), Some(password)) = (&options.login, password) {
        let credentials = Credentials::new(user.clone(), password);
        let logged_in = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
        logged_in.map_err(|error| not_logged_in(&error, options))?;
    }
    Ok(connection)
}

/// How to encrypt, unless nothing is to be.
pub(super) fn tls(options: &Options) -> Result<Option<TlsParameters>> {
    if matches!(options.tls, Tls::None | Tls::NoneEvenOverNetworks) {
        return Ok(None);
    }
    let mut parameters = TlsParameters::builder(options.host.clone());
    if let Some(file) = &options.ca {
        let wrong = || crate::Error::config(format!("no certificates can be read from {}", file.display()));
        let pem = std::fs::read(file).map_err(|error| wrong().caused_by(error))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| wrong().caused_by(error))?;
        if !pem.windows(10).any(|part| part == b"-----BEGIN") {
            return Err(wrong().caused_by("there is none in PEM format in it"));
        }
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters.build();
    parameters.map(Some).map_err(|error| crate::Error::config("TLS cannot be set up").caused_by(error))
}

fn not_opened(error: &Error, options: &Options) -> Failure {
    let server = options.address();
    if status(error).is_some() {
        return Failure::unreachable(format!("{server} takes no connections now: {}", reply(error)));
    }
    let source = std::error::Error::source(error);
    let cause = source.map(ToString::to_string).unwrap_or_default();
    let hint = match cause.as_str() {
        cause if cause.contains("UnknownIssuer") || cause.contains("CaUsedAsEndEntity") => {
            "; if the server's certificate is by an authority of your own, name the file of that with `Smtp::ca`"
        }
        cause if cause.contains("not valid for name") || cause.contains("NotValidForName") => {
            "; use the name that the server's certificate is for"
        }
        cause if cause.contains("InvalidContentType") && options.tls == Tls::Implicit => {
            "; the server does not begin with TLS at this port: try `Tls::StartTls`, usually at port 587"
        }
        _ => "",
    };
    let failure = Failure::unreachable(format!("no connection to {server}{hint}"));
    match source {
        Some(source) => failure.caused_by(source),
        None => failure,
    }
}

fn not_logged_in(error: &Error, options: &Options) -> Failure {
    let server = options.address();
    let (user, place) = match &options.login {
        Some((user, password)) => (user.as_str(), password.to_string()),
        None => ("", String::new()),
    };
    match status(error) {
        Some(code @ (400..=499 | 530..=539)) => Failure::unreachable(format!(
            "{server} refuses the login of {user}: {}{}",
            reply(error),
            if code < 500 { String::new() } else { format!("; set the right password in {place}, it is read anew") },
        )),
        // Servers may repeat a command that they do not know, and with it the password.
        Some(code) => Failure::unreachable(format!("{server} does not know how to log in {user}: {code}")),
        None if error.is_client() => Failure::unreachable(format!(
            "{server} offers no login by PLAIN or LOGIN{}",
            if options.tls == Tls::None { " without TLS" } else { "" },
        )),
        None => Failure::unreachable(format!("the connection to {server} was lost while logging in")),
    }
}
