//! What an answer means for an item.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_operators::Failure;
use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::{origin, shortened};
use crate::clock;

/// So much of a body is read, in bytes, where the answer is no.
const BODY_AT_MOST: usize = 4096;
/// A body that takes longer is shown as far as it came: the status is known by then.
const BODY_WITHIN: Duration = Duration::from_secs(1);
/// So much of it is shown, in characters.
const SHOWN_AT_MOST: usize = 300;
/// The longest wait that a receiver is given.
const WAIT_AT_MOST: Duration = Duration::from_secs(24 * 3600);

/// Statuses that every item would get, and what to do about them. No item is given up for one.
pub(in super::super) type Remedy = (&'static [u16], &'static str);

/// How a receiver answered.
pub(in super::super) struct Answer {
    pub status: StatusCode,
    /// The beginning of the body, in one line and without secrets; empty where the answer is yes.
    pub said: String,
    place: String,
    retry_after: Option<Duration>,
    moved_to: Option<String>,
}

impl Answer {
    /// Reads what there is to know. A body that says yes is not waited for.
    pub(super) async fn read(mut response: Response, place: String, hidden: &[String]) -> Self {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let moved_to = location.and_then(|location| response.url().join(location).ok()).map(|url| origin(&url));
        let said = if status.is_success() { String::new() } else { said(&mut response, hidden).await };
        Self { status, said, place, retry_after, moved_to }
    }

    /// What was answered, for people: `https://a.example answered 400 Bad Request: no such field`.
    pub fn describe(&self) -> String {
        let colon = if self.said.is_empty() { "" } else { ": " };
        format!("{} answered {}{colon}{}", self.place, self.status, shortened(&self.said, SHOWN_AT_MOST))
    }

    /// What becomes of the item.
    ///
    /// # Errors
    /// Unless the answer is yes.
    pub fn judge(self, remedies: &[Remedy]) -> Result<(), Failure> {
        if self.status.is_success() {
            return Ok(());
        }
        let (code, what) = (self.status.as_u16(), self.describe());
        let remedy = remedies.iter().find(|(statuses, _)| statuses.contains(&code));
        let failure = match (code, remedy) {
            (_, Some((_, remedy))) => Failure::unreachable(format!("{what}; {remedy}")),
            (401 | 403 | 407, None) => Failure::unreachable(format!("{what}; mend the credentials")),
            (300..=399, None) => {
                let to = self.moved_to.map(|to| format!(" to {to}")).unwrap_or_default();
                Failure::unreachable(format!("{what}; it redirects{to}: give the URL that it redirects to"))
            }
            (408 | 425 | 429 | 500.., None) => Failure::transient(what),
            _ => return Err(Failure::permanent(what)),
        };
        Err(match self.retry_after {
            Some(wait) => failure.retry_after(wait),
            None => failure,
        })
    }
}

/// The beginning of a body without what is hidden, in one line.
async fn said(response: &mut Response, hidden: &[String]) -> String {
    let mut body = Vec::new();
    let more = async {
        while body.len() < BODY_AT_MOST {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
        false
    };
    let whole = tokio::time::timeout(BODY_WITHIN, more).await.unwrap_or(false);
    let mut text = String::from_utf8_lossy(&body).into_owned();
    for secret in hidden.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "***");
    }
    if !whole {
        // Where it was cut there may be a part of a secret.
        let longest = hidden.iter().map(|secret| secret.chars().count()).max().unwrap_or_default();
        let keep = text.chars().count().saturating_sub(longest);
        text = text.chars().take(keep).collect();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How long the receiver wants to be left alone: seconds, or a time, which is taken by the receiver's own clock where it
/// says what that shows.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::trim);
    let time = |text: &str| httpdate::parse_http_date(text).ok();
    let wanted = text(RETRY_AFTER)?;
    let wait = match wanted.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = text(DATE).and_then(time).unwrap_or_else(wall);
            time(wanted)?.duration_since(now).unwrap_or_default()
        }
    };
    Some(wait.min(WAIT_AT_MOST))
}

fn wall() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(clock::wall().as_micros()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(headers: &[(&'static str, &str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        retry_after(&map).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_receiver_says_in_seconds_or_as_a_time_how_long_it_wants_to_be_left_alone() {
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[("retry-after", "17")]), Some(17));
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        assert_eq!(wait(&[("retry-after", "-1")]), None);
        assert_eq!(wait(&[("retry-after", "99999999")]), Some(86_400));
        let noon = ("date", "Sun, 06 Nov 1994 12:00:00 GMT");
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 12:01:30 GMT"), noon]), Some(90));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 11:00:00 GMT"), noon]), Some(0));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 12:01:30 GMT")]), Some(0), "by the clock, long past");
    }

    #[test]
    fn a_status_says_what_becomes_of_the_item() {
        use headwater_operators::FailureKind::{Permanent, Transient, Unreachable};
        let judged = |code, remedies| {
            let status = StatusCode::from_u16(code).unwrap();
            let place = "http://a".to_owned();
            let retry_after = Some(Duration::from_secs(1));
            Answer { status, said: String::new(), place, retry_after, moved_to: None }.judge(remedies)
        };
        for code in [200, 201, 202, 204] {
            assert_eq!(judged(code, &[]), Ok(()));
        }
        let kinds = [(Transient, [408, 425, 429, 500, 503, 599]), (Permanent, [400, 404, 405, 409, 410, 422])];
        for (kind, code) in kinds.iter().flat_map(|(kind, codes)| codes.iter().map(move |code| (*kind, *code))) {
            assert_eq!(judged(code, &[]).unwrap_err().kind, kind, "{code}");
        }
        for code in [301, 302, 308, 401, 403, 407] {
            assert_eq!(judged(code, &[]).unwrap_err().kind, Unreachable, "{code}");
        }
        let gone = judged(404, &[(&[404, 410], "make it again")]).unwrap_err();
        assert_eq!((gone.kind, gone.message.as_str()), (Unreachable, "http://a answered 404 Not Found; make it again"));
    }
}
