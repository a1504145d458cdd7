//! Mails, and the mail server that takes them. `docs/email.md` is for those who run it.
//!
//! Reading order: [`Email`], [`Smtp`] (the options), `letter` (a mail as bytes), `transaction` (how it is handed over, and
//! what each answer means), `connection` (TLS, login, and what is kept open), `template`.

mod connection;
mod letter;
mod smtp;
mod template;
mod transaction;
mod url;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use smtp::{EmailOf, Smtp, Tls};
pub use template::{EmailTemplate, Templated};

/// A mail to be sent, without what is the same for all: who it is from is an option of [`Smtp`].
///
/// ```
/// use headwater::connectors::email::Email;
///
/// let mail = Email::to("Ann <ann@example.org>")
///     .subject("Over the limit")
///     .text("This was your 11th payment today.")
///     .html("<p>This was your <b>11th</b> payment today.</p>");
/// let json = r#"{"to": "Ann <ann@example.org>", "subject": "Over the limit",
///     "text": "This was your 11th payment today.", "html": "<p>This was your <b>11th</b> payment today.</p>"}"#;
/// assert_eq!(mail, serde_json::from_str(json)?);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email {
    /// Addresses, with or without a name: `Ann <ann@example.org>`. All of them can read who the others are. In JSON a
    /// single one need not be a list.
    #[serde(deserialize_with = "one_or_more")]
    pub to: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// The mail for those whose programs show no HTML; all of it where there is none.
    pub text: String,
    /// The mail as HTML. Nothing in it is escaped any more.
    #[serde(default)]
    pub html: Option<String>,
    /// Where answers go, if not to the sender.
    #[serde(default)]
    pub reply_to: Option<String>,
    /// Further headers, `X-Priority: 1`. Those that the connector writes itself are refused.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

impl Email {
    /// A mail to an address.
    pub fn to(address: impl Into<String>) -> Self {
        Self { to: vec![address.into()], ..Self::default() }
    }

    /// The same, to one more.
    #[must_use]
    pub fn and_to(mut self, address: impl Into<String>) -> Self {
        self.to.push(address.into());
        self
    }

    /// The same, with a subject.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// The same, with a text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The same, as HTML too. What comes from a record has to be escaped; [`EmailTemplate`] does.
    #[must_use]
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// The same, answers to which go to this address.
    #[must_use]
    pub fn reply_to(mut self, address: impl Into<String>) -> Self {
        self.reply_to = Some(address.into());
        self
    }

    /// The same, with a header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }
}

/// A list, or in formats for people one that is not in a list.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Addresses {
        One(String),
        More(Vec<String>),
    }
    // What state is written in cannot tell the one from the other.
    if !deserializer.is_human_readable() {
        return Vec::deserialize(deserializer);
    }
    Ok(match Addresses::deserialize(deserializer)? {
        Addresses::One(address) => vec![address],
        Addresses::More(addresses) => addresses,
    })
}

/// What is the same for each attempt to send a mail, and what is not.
#[derive(Clone, Copy)]
struct Stamp<'a> {
    key: &'a str,
    at: headwater_operators::Timestamp,
}

impl<'a> Stamp<'a> {
    fn of<T>(attempt: &'a headwater_operators::Attempt<T>) -> Self {
        Self { key: &attempt.idempotency_key, at: attempt.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_can_be_state_and_json() {
        for mail in
            [Email::to("a@example.org"), Email::to("a@example.org").and_to("b@example.org").html("h").header("x", "y")]
        {
            let bytes = postcard::to_stdvec(&mail).unwrap();
            assert_eq!(postcard::from_bytes::<Email>(&bytes).unwrap(), mail);
            assert_eq!(serde_json::from_str::<Email>(&serde_json::to_string(&mail).unwrap()).unwrap(), mail);
        }
    }
}
