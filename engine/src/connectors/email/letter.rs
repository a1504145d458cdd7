//! A mail as it goes over the wire: who it is for, and its bytes.

use std::time::{Duration, UNIX_EPOCH};

use headwater_operators::Failure;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};

use super::{Email, Stamp};

/// Headers that say what was done, which an item must not say otherwise. MIME's own begin with `Content-`.
const OWN_HEADERS: [&str; 12] = [
    "bcc",
    "cc",
    "date",
    "from",
    "idempotency-key",
    "message-id",
    "mime-version",
    "reply-to",
    "return-path",
    "sender",
    "subject",
    "to",
];

/// Longer keys are shortened in `Message-ID`, which cannot be folded and whose line must not be longer than 998.
const ID_CHARS_MAX: usize = 400;

/// A mail that can be sent.
pub(super) struct Letter {
    pub from: Address,
    pub to: Vec<Address>,
    pub bytes: Vec<u8>,
}

impl Letter {
    /// Writes a mail.
    ///
    /// # Errors
    /// Permanent: no later attempt makes an address out of what is none.
    pub fn write(from: &Mailbox, email: &Email, stamp: Stamp<'_>) -> Result<Self, Failure> {
        if email.to.is_empty() {
            return Err(Failure::permanent("the mail is to nobody: `to` is empty"));
        }
        let mut message = Message::builder().from(from.clone()).subject(&email.subject).date(date(stamp));
        let mut to = Vec::with_capacity(email.to.len());
        for address in &email.to {
            let mailbox = mailbox(address)?;
            if !to.contains(&mailbox.email) {
                to.push(mailbox.email.clone());
                message = message.to(mailbox);
            }
        }
        if let Some(address) = &email.reply_to {
            message = message.reply_to(mailbox(address)?);
        }
        let id = format!("<{}@{}>", id(stamp.key), from.email.domain());
        message = message
            // By `HeaderValue::new` it would be folded, and programs differ in what they then take for the id.
            .raw_header(HeaderValue::dangerous_new_pre_encoded(name("Message-ID")?, id.clone(), id))
            .raw_header(HeaderValue::new(name("Idempotency-Key")?, one_line(stamp.key)))
            // So that no absence is reported to the sender.
            .raw_header(HeaderValue::new(name("Auto-Submitted")?, "auto-generated".to_owned()));
        for (header, value) in &email.headers {
            message = message.raw_header(HeaderValue::new(name_of_item(header)?, one_line(value)));
        }
        let message = match &email.html {
            Some(html) => message.multipart(MultiPart::alternative_plain_html(email.text.clone(), html.clone())),
            None => message.singlepart(SinglePart::plain(email.text.clone())),
        };
        let message = message.map_err(|error| Failure::permanent("no mail can be made of it").caused_by(&error))?;
        Ok(Self { from: from.email.clone(), to, bytes: message.formatted() })
    }

    /// Whether an address is in letters that only some servers take.
    pub fn is_international(&self) -> bool {
        std::iter::once(&self.from).chain(&self.to).any(|address| !AsRef::<str>::as_ref(address).is_ascii())
    }
}

fn date(stamp: Stamp<'_>) -> std::time::SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(stamp.at.as_micros()).unwrap_or_default())
}

fn mailbox(address: &str) -> Result<Mailbox, Failure> {
    address
        .trim()
        .parse()
        .map_err(|error| Failure::permanent(format!("no mail address: {address:?}")).caused_by(&error))
}

fn name(name: &str) -> Result<HeaderName, Failure> {
    HeaderName::new_from_ascii(name.to_owned())
        .map_err(|error| Failure::permanent(format!("no header's name: {name:?}")).caused_by(&error))
}

fn name_of_item(header: &str) -> Result<HeaderName, Failure> {
    let lower = header.to_ascii_lowercase();
    if lower.starts_with("content-") || OWN_HEADERS.contains(&lower.as_str()) {
        return Err(Failure::permanent(format!("the header {header} is written by the connector itself")));
    }
    // The library lets line feeds through.
    if !header.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::permanent(format!("no header's name: {header:?}")));
    }
    name(header)
}

/// A line's end in a value would begin another header.
fn one_line(value: &str) -> String {
    value.split(['\r', '\n']).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A key in the letters that a `Message-ID` is made of; different keys stay different.
fn id(key: &str) -> String {
    let mut id = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'/' | b'+' => id.push(char::from(byte)),
            _ => id.push_str(&format!("={byte:02x}")),
        }
    }
    if id.len() > ID_CHARS_MAX {
        id.truncate(ID_CHARS_MAX);
        id.push_str(&format!("={:08x}", crc32fast::hash(key.as_bytes())));
    }
    id
}

#[cfg(test)]
mod tests {
    use headwater_operators::{FailureKind, Timestamp};

    use super::*;

    fn write(email: &Email) -> Result<String, Failure> {
        let stamp = Stamp { key: "mail/pane 7:ä", at: Timestamp::from_seconds(60) };
        let letter = Letter::write(&"Alerts <alerts@example.org>".parse().unwrap(), email, stamp)?;
        Ok(String::from_utf8(letter.bytes).unwrap())
    }

    #[test]
    fn a_letter_carries_its_key_and_the_time_of_the_attempt() {
        let mail = Email::to("Ann <ann@example.org>").and_to("bob@example.org").and_to("bob@example.org");
        let text =
            write(&mail.subject("Überlauf").text("Grüße").reply_to("ops@example.org").header("X-Team", "a")).unwrap();
        for line in [
            "From: Alerts <alerts@example.org>",
            "To: Ann <ann@example.org>, bob@example.org",
            "Reply-To: ops@example.org",
            "Date: Thu, 01 Jan 1970 00:01:00 +0000",
            "Message-ID: <mail/pane=207=3a=c3=a4@example.org>",
            "Auto-Submitted: auto-generated",
            "X-Team: a",
            "Content-Type: text/plain; charset=utf-8",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.is_ascii());
    }

    #[test]
    fn nothing_in_an_item_becomes_a_header_of_its_own() {
        let evil = "a\r\nBcc: all@example.org\r\n\r\n";
        let mail = Email::to("ann@example.org").subject(evil).text("t").header("X-Team", evil);
        let text = write(&mail).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("Bcc")), "{text}");
        for wrong in [
            mail.clone().header("Bcc", "b@example.org"),
            mail.clone().header("content-type", "text/html"),
            mail.clone().header("X-A\r\nBcc", "b@example.org"),
            mail.clone().header("", ""),
            mail.clone().and_to("bob@example.org\r\nBcc: all@example.org"),
            mail.clone().and_to("nobody"),
            Email { to: Vec::new(), ..mail.clone() },
        ] {
            assert_eq!(write(&wrong).unwrap_err().kind, FailureKind::Permanent, "{wrong:?}");
        }
        assert_eq!(write(&mail.and_to("nobody")).unwrap_err().message, "no mail address: \"nobody\"");
    }

    #[test]
    fn ids_are_short_and_differ() {
        let long = "k".repeat(1000);
        assert!(id(&long).len() < 450);
        assert_ne!(id(&long), id(&format!("{long}k")));
        assert_ne!(id("a b"), id("a=20b"));
    }
}
