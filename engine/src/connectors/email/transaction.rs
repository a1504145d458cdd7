//! Handing a mail to a server, and what each of its answers means for the mail.

use headwater_operators::Failure;
use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{Extension, MailParameter};

use super::letter::Letter;

/// Why a connection did not take a mail.
pub(super) enum Refusal {
    /// It is of no use any more, and nothing was sent: another one may do.
    Stale(Failure),
    /// The server said so.
    Answer(Failure),
}

/// Begins a mail, which is where a connection turns out to be closed.
pub(super) async fn begin(connection: &mut AsyncSmtpConnection, letter: &Letter, server: &str) -> Result<(), Refusal> {
    let mut parameters = Vec::new();
    if letter.is_international() {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let why = format!("{server} takes only addresses in ASCII, and the mail has another (no SMTPUTF8)");
            return Err(Refusal::Answer(Failure::permanent(why)));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let begun = connection.command(Mail::new(Some(letter.from.clone()), parameters)).await;
    let Err(error) = begun else { return Ok(()) };
    match status(&error) {
        None => Err(Refusal::Stale(lost(&error, server, "before the mail was sent"))),
        Some(421) => Err(Refusal::Stale(answer(&error, server, "is closing down"))),
        Some(530 | 534 | 535 | 538) => Err(Refusal::Answer(no_login(&error, server))),
        // Nothing about the item is in this command unless it is about its letters: each item would be refused.
        Some(500..) if !letter.is_international() => Err(Refusal::Answer(Failure::unreachable(format!(
            "{server} takes no mail from {}: {}; give it one that this login may send as, with `Smtp::from`",
            letter.from,
            reply(&error),
        )))),
        Some(_) => Err(Refusal::Answer(answer(&error, server, "refuses the mail"))),
    }
}

/// Sends a mail that was begun.
///
/// Recipients that are refused for good do not keep the mail from the others; while one may be taken later, nobody gets it,
/// so that nobody gets it twice.
pub(super) async fn send(connection: &mut AsyncSmtpConnection, letter: &Letter, server: &str) -> Result<(), Failure> {
    let refused = recipients(connection, letter, server).await?;
    let unsent = |error: Error| match status(&error) {
        Some(_) => answer(&error, server, "refuses the mail"),
        None => lost(&error, server, "before the mail was sent"),
    };
    connection.command(Data).await.map_err(unsent)?;
    if let Err(error) = connection.message(&letter.bytes).await {
        return Err(match status(&error) {
            Some(_) => answer(&error, server, "refuses the mail"),
            None => lost(&error, server, "after the mail was sent, so that it may have been delivered"),
        });
    }
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::permanent(format!("{server} refuses {}; the others have the mail", refused.join(" and "))))
}

/// Names the recipients: those that are refused for good, if it is not all.
async fn recipients(
    connection: &mut AsyncSmtpConnection,
    letter: &Letter,
    server: &str,
) -> Result<Vec<String>, Failure> {
    let mut refused = Vec::new();
    let told = |address: &Address, error: &Error| format!("the recipient {address}: {}", reply(error));
    for address in &letter.to {
        let Err(error) = connection.command(Rcpt::new(address.clone(), Vec::new())).await else { continue };
        match status(&error) {
            None => return Err(lost(&error, server, "before the mail was sent")),
            Some(530 | 534 | 535 | 538) => return Err(no_login(&error, server)),
            Some(500..) => refused.push(told(address, &error)),
            Some(_) => return Err(Failure::transient(format!("{server} refuses for now {}", told(address, &error)))),
        }
    }
    if refused.len() < letter.to.len() {
        return Ok(refused);
    }
    Err(Failure::permanent(format!("{server} refuses {}", refused.join(" and "))))
}

/// The code of an answer; none, where there was no answer.
pub(super) fn status(error: &Error) -> Option<u16> {
    error.status().map(u16::from)
}

/// The answer as it came: `550 5.1.1 no such mailbox`.
pub(super) fn reply(error: &Error) -> String {
    let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let code = status(error).map(|code| code.to_string()).unwrap_or_default();
    format!("{code} {said}").trim().to_owned()
}

/// A refusal, for good or for now as its code says.
fn answer(error: &Error, server: &str, what: &str) -> Failure {
    let message = format!("{server} {what}: {}", reply(error));
    if error.is_permanent() { Failure::permanent(message) } else { Failure::transient(message) }
}

fn no_login(error: &Error, server: &str) -> Failure {
    Failure::unreachable(format!(
        "{server} takes no mail without a login: {}; give it with `Smtp::login`",
        reply(error)
    ))
}

fn lost(error: &Error, server: &str, when: &str) -> Failure {
    let failure = Failure::transient(format!("the connection to {server} was lost {when}"));
    // What the library wraps around it says nothing more.
    match std::error::Error::source(error) {
        Some(source) => failure.caused_by(source),
        None => failure,
    }
}
