//! The options of a mail server in one line.

use url::Url;

use super::smtp::{Smtp, Tls};
use crate::connectors::Secret;
use crate::{Error, Result};

const SHAPE: &str = "a mail server is given as \
    smtp://USER@HOST:PORT?from=ADDRESS&password_env=NAME (STARTTLS) or smtps://… (TLS at once); also password_file=PATH, \
    ca=PATH, helo=NAME, and tls=none for a server on this machine";

/// Reads the options from a URL. Nothing of one that is wrong is shown: it may hold a password.
pub(super) fn parse(url: &str) -> Result<Smtp> {
    let wrong = |what: &str| Error::config(format!("the URL of a mail server {what}: {SHAPE}"));
    let url = Url::parse(url).map_err(|error| wrong(&format!("cannot be read ({error})")))?;
    if url.password().is_some() {
        return Err(wrong("must not hold a password, which the list of processes would show"));
    }
    let tls = match url.scheme() {
        "smtp" => Tls::StartTls,
        "smtps" => Tls::Implicit,
        other => return Err(wrong(&format!("begins with {other}:"))),
    };
    let mut smtp = Smtp::at(url.host_str().unwrap_or_default().trim_matches(['[', ']'])).tls(tls);
    if let Some(port) = url.port() {
        smtp = smtp.port(port);
    }
    let mut password = None;
    for (name, value) in url.query_pairs() {
        match (name.as_ref(), value.as_ref()) {
            ("from", from) => smtp = smtp.from(from),
            ("password_env", name) => password = Some(Secret::env(name)),
            ("password_file", path) => password = Some(Secret::file(path)),
            ("ca", path) => smtp = smtp.ca(path),
            ("helo", name) => smtp = smtp.helo(name),
            ("tls", "none") => smtp = smtp.tls(Tls::None),
            ("tls", _) => return Err(wrong("has a `tls` that is not none")),
            // The value may be a password under a wrong name.
            (other, _) => return Err(wrong(&format!("has an unknown option {other:?}"))),
        }
    }
    let user = decoded(url.username()).ok_or_else(|| wrong("has a user that is not UTF-8"))?;
    match (user.is_empty(), password) {
        (true, None) => Ok(smtp),
        (false, Some(password)) => Ok(smtp.login(user, password)),
        (true, Some(_)) => Err(wrong("has a password and no user")),
        (false, None) => Err(wrong("has a user, and does not say where the password is")),
    }
}

/// A part of a URL in which signs such as `@` are written as `%40`.
fn decoded(part: &str) -> Option<String> {
    // A form's value is decoded in the same way, but for the plus sign.
    let form = format!("v={}", part.replace('+', "%2B"));
    let (_, value) = url::form_urlencoded::parse(form.as_bytes()).next()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_holds_every_option() {
        let url = "smtp://ops%40example.org@mail.example.org:2525?from=a@example.org&password_env=P&ca=/ca.pem&helo=h";
        let built = Smtp::at("mail.example.org").port(2525).from("a@example.org").ca("/ca.pem").helo("h");
        let built = built.login("ops@example.org", Secret::env("P"));
        assert_eq!(format!("{:?}", parse(url).unwrap()), format!("{built:?}"));
        assert_eq!(parse("smtps://[::1]?from=a@b").unwrap().address(), "mail server [::1]:465");
        assert_eq!(parse("smtp://localhost?tls=none").unwrap().address(), "mail server localhost:25");
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_shown() {
        let said = |url: &str| parse(url).unwrap_err().to_string();
        assert!(said("smtp://u:hunter2@h").starts_with("the URL of a mail server must not hold a password"));
        for url in
            ["smtp://u:hunter2@h", "smtp://u:hunter2@h:x", "smtp://h?password=hunter2", "hunter2://h", "smtp://u@h"]
        {
            assert!(!said(url).replace("hunter2:", "").contains("hunter2"), "{}", said(url));
        }
    }
}
