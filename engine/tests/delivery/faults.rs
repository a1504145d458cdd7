//! What goes wrong between a connector and its receiver, the same for all that speak HTTP.

use headwater::operators::FailureKind::{self, Permanent, Transient, Unknown, Unreachable};
use headwater::prelude::*;

use crate::receiver::{KEY, Received, Receiver, Reply, attempt, deliver, nobody, wait};

/// A connector, and what it must keep to itself.
pub struct Subject<'a, C, T> {
    /// To a server with this base URL.
    pub connect: &'a dyn Fn(&str) -> C,
    pub item: T,
    pub secrets: &'a [&'a str],
    /// Whether a status is one that all items would get: what it means where it is not 401, 403 or a redirect.
    pub kinds: &'a [(u16, FailureKind)],
}

impl<C: Connector<T>, T: Clone> Subject<'_, C, T> {
    /// Goes through all of them.
    pub fn assert_takes_faults(&self) {
        self.refused();
        self.statuses();
        self.left_alone();
        self.broken_off();
        self.slow();
        self.one_of_many();
    }

    #[track_caller]
    fn assert_hidden(&self, connector: &C, failure: &Failure) {
        let said = format!("{failure} {failure:?} {}", connector.describe());
        for secret in self.secrets {
            assert!(!said.contains(secret), "{secret} is in: {said}");
        }
    }

    /// Makes an attempt that must fail.
    #[track_caller]
    fn fails(&self, connector: &C, number: u32) -> Failure {
        let failure = deliver(connector, &attempt(self.item.clone(), number)).expect_err("this must fail");
        self.assert_hidden(connector, &failure);
        failure
    }

    fn refused(&self) {
        let connector = (self.connect)(&format!("http://{}", nobody()));
        assert_eq!(connector.check().map_err(|error| error.to_string()), Ok(()), "that nobody is there is no mistake");
        let failure = self.fails(&connector, 1);
        assert_eq!(failure.kind, Unreachable, "{failure}");
        assert!(failure.to_string().contains("refused"), "{failure}");
        let connector = (self.connect)("http://no-such-host.invalid");
        assert_eq!(self.fails(&connector, 1).kind, Unreachable);
    }

    /// The server says all that it was told, which no message may repeat.
    fn statuses(&self) {
        let common = [(401, Unreachable), (403, Unreachable), (302, Unreachable), (308, Unreachable)];
        let later = [408, 425, 429, 500, 502, 503, 504].map(|status| (status, Transient));
        for (status, kind) in common.into_iter().chain(later).chain(self.kinds.iter().copied()) {
            let server = Receiver::start(move |request| {
                let headers = vec![("location", "http://elsewhere.example/path")];
                Reply::Status(status, headers, format!("no: {}\n{}", echo(request), request.body))
            });
            let connector = (self.connect)(&server.url(""));
            for number in 1..=2 {
                let failure = self.fails(&connector, number);
                assert_eq!((failure.kind, failure.retry_after), (kind, None), "{status}: {failure}");
                assert!(failure.message.contains(&status.to_string()), "{failure}");
                assert!(!failure.message.contains("elsewhere.example/path"), "{failure}");
                assert!(failure.message.chars().count() < 600, "{failure}");
            }
            assert_eq!(server.next().header("idempotency-key"), KEY);
            assert_eq!(server.next().header("idempotency-key"), KEY);
            assert_eq!(server.rest().len(), 0, "an attempt is one request");
        }
    }

    fn left_alone(&self) {
        let seconds = Reply::Status(429, vec![("retry-after", "7")], String::new());
        let date = ("date", "Sun, 01 Mar 2026 12:00:00 GMT");
        let time = Reply::Status(503, vec![("retry-after", "Sun, 01 Mar 2026 12:02:00 GMT"), date], String::new());
        let server = Receiver::replying([seconds, time]);
        let connector = (self.connect)(&server.url(""));
        for (number, wait) in [(1, 7), (2, 120)] {
            let failure = self.fails(&connector, number);
            assert_eq!((failure.kind, failure.retry_after), (Transient, Some(Duration::from_secs(wait))), "{failure}");
        }
        assert_eq!(deliver(&connector, &attempt(self.item.clone(), 3)), Ok(()));
        let keys = server.rest().iter().map(|request| request.header("idempotency-key").to_owned()).collect::<Vec<_>>();
        assert_eq!(keys, [KEY; 3]);
    }

    /// What was said is what counts, also where it breaks off after the status.
    fn broken_off(&self) {
        let server = Receiver::replying([
            Reply::HangUp,
            Reply::Cut(500, "out of".into()),
            Reply::Cut(400, "not th".into()),
            Reply::Cut(200, "al".into()),
        ]);
        let connector = (self.connect)(&server.url(""));
        for (number, kind) in [(1, Unknown), (2, Transient), (3, Permanent)] {
            let failure = self.fails(&connector, number);
            assert_eq!(failure.kind, kind, "{failure}");
        }
        assert_eq!(deliver(&connector, &attempt(self.item.clone(), 4)), Ok(()));
        let keys = server.rest().iter().map(|request| request.header("idempotency-key").to_owned()).collect::<Vec<_>>();
        assert_eq!(keys, [KEY; 4]);
    }

    /// The outbox ends an attempt that takes too long; the next one must not suffer from it.
    fn slow(&self) {
        let server = Receiver::replying([Reply::Silence]);
        let connector = (self.connect)(&server.url(""));
        let first = attempt(self.item.clone(), 1);
        let short = Duration::from_millis(200);
        assert!(wait(async { tokio::time::timeout(short, connector.deliver(&first)).await }).is_err());
        assert_eq!(deliver(&connector, &attempt(self.item.clone(), 2)), Ok(()));
        assert_eq!(
            [server.next(), server.next()].map(|request| request.header("idempotency-key").to_owned()),
            [KEY; 2]
        );
    }

    fn one_of_many(&self) {
        let server = Receiver::start(|request| {
            let bad = request.header("idempotency-key") == "bad";
            Reply::Status(if bad { 400 } else { 202 }, Vec::new(), "this one is wrong".into())
        });
        let connector = (self.connect)(&server.url(""));
        for key in ["good", "bad", "better"] {
            let attempt = Attempt { idempotency_key: key.into(), ..attempt(self.item.clone(), 1) };
            match deliver(&connector, &attempt) {
                Ok(()) => assert_ne!(key, "bad"),
                Err(failure) => {
                    assert_eq!((key, failure.kind), ("bad", Permanent), "{failure}");
                    assert!(failure.message.contains("400 Bad Request: this one is wrong"), "{failure}");
                }
            }
        }
    }
}

/// All that a server knows.
fn echo(request: &Received) -> String {
    let headers = request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let headers = headers.collect::<Vec<_>>().join("\n");
    format!("{} http://{}{}\n{headers}", request.path, request.header("host"), request.path)
}
