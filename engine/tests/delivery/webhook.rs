//! Any address that takes HTTP requests.

use headwater::connectors::{Secret, Webhook, WebhookMethod};
use headwater::operators::FailureKind::{Permanent, Unreachable};
use headwater::prelude::*;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};

use crate::faults::Subject;
use crate::receiver::{KEY, Receiver, Reply, attempt, deliver};

const TOKEN: &str = "tok-3fb1a2c4d5";
const PASSWORD: &str = "pa55-9e8d7c6b";
const SIGNING: &str = "sign-0a1b2c3d4e";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    number: u32,
    callback: String,
}

fn order() -> Order {
    Order { number: 7, callback: String::new() }
}

#[test]
fn an_item_arrives_as_json_with_headers_and_a_key() {
    let server = Receiver::replying([]);
    let hook = Webhook::to(server.url("/orders?v=1")).header("X-Team", "shop").bearer(Secret::plain(TOKEN));
    hook.check().unwrap();
    assert_eq!(hook.describe(), format!("webhook POST {}", server.url("/orders")));
    assert_eq!(hook.lane(&order()), server.address.to_string());
    assert_eq!(deliver(&hook, &attempt(order(), 1)), Ok(()));
    let request = server.next();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/orders?v=1"));
    assert_eq!(serde_json::from_str::<Order>(&request.body).unwrap(), order());
    let headers = ["content-type", "idempotency-key", "x-team", "authorization", "x-headwater-signature"];
    let values = ["application/json", KEY, "shop", &format!("Bearer {TOKEN}"), ""];
    assert_eq!(headers.map(|name| request.header(name)), values);
    assert!(request.header("user-agent").starts_with("headwater/"));
}

#[test]
fn a_body_and_a_method_of_ones_own_arrive() {
    let server = Receiver::replying([]);
    let hook = Webhook::to(server.url("/"))
        .method(WebhookMethod::Put)
        .basic_auth("shop", Secret::plain(PASSWORD))
        .body("text/csv", |order: &Order| match order.number {
            0 => Err(Error::record("order 0 is nobody's")),
            number => Ok(format!("{number};").into_bytes()),
        });
    assert_eq!(deliver(&hook, &attempt(order(), 1)), Ok(()));
    let request = server.next();
    assert_eq!((request.method.as_str(), request.body.as_str()), ("PUT", "7;"));
    assert_eq!(request.header("content-type"), "text/csv");
    assert_eq!(request.header("authorization"), "Basic c2hvcDpwYTU1LTllOGQ3YzZi");
    let failure = deliver(&hook, &attempt(Order { number: 0, ..order() }, 1)).unwrap_err();
    assert_eq!(failure.kind, Permanent);
    assert_eq!(failure.to_string(), "no body can be made of the item: order 0 is nobody's");
}

#[test]
fn a_receiver_can_check_the_signature() {
    let server = Receiver::replying([]);
    let hook = Webhook::to(server.url("/")).sign(Secret::plain(SIGNING));
    assert_eq!(deliver(&hook, &attempt(order(), 1)), Ok(()));
    let request = server.next();
    let (time, signature) = request.header("x-headwater-signature").split_once(',').unwrap();
    let time = time.strip_prefix("t=").unwrap();
    assert_eq!(time, "1772366400", "of the attempt");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SIGNING.as_bytes()).unwrap();
    mac.update(format!("{time}.{}", request.body).as_bytes());
    let expected: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(signature, format!("v1={expected}"));
}

/// Computed elsewhere: `printf '1772366400.7' | openssl dgst -sha256 -hmac sign-0a1b2c3d4e`.
#[test]
fn the_signature_is_what_others_compute() {
    let server = Receiver::replying([]);
    let hook = Webhook::to(server.url("/")).sign(Secret::plain(SIGNING));
    assert_eq!(deliver(&hook, &attempt(7_u32, 1)), Ok(()));
    let request = server.next();
    assert_eq!(
        request.header("x-headwater-signature"),
        "t=1772366400,v1=813a3a375c47a1c6f7b3dd529eba68204af246dc6f8be7fc1cb54f712cd0e2cb"
    );
}

#[test]
fn each_fault_of_a_receiver_is_told_for_what_it_is() {
    let connect = |url: &str| {
        Webhook::to(format!("{url}/orders"))
            .bearer(Secret::plain(TOKEN))
            .secret_header("X-Api-Key", Secret::plain(PASSWORD))
            .sign(Secret::plain(SIGNING))
    };
    let secrets = &[TOKEN, PASSWORD, SIGNING];
    let kinds = [400, 404, 405, 409, 410, 413, 422].map(|status| (status, Permanent));
    Subject { connect: &connect, item: order(), secrets, kinds: &kinds }.assert_takes_faults();
}

#[test]
fn a_password_is_hidden_as_it_is_encoded() {
    let connect = |url: &str| Webhook::to(url).basic_auth("shop", Secret::plain(PASSWORD));
    let secrets = &[PASSWORD, "c2hvcDpwYTU1LTllOGQ3YzZi"];
    Subject { connect: &connect, item: order(), secrets, kinds: &[] }.assert_takes_faults();
}

#[test]
fn a_secret_address_is_never_shown() {
    let connect = |url: &str| Webhook::to_secret(Secret::plain(format!("{url}/hooks/{TOKEN}?key={PASSWORD}\n")));
    let hook = connect("https://example.org");
    assert_eq!(Connector::<Order>::describe(&hook), "webhook POST to the URL in the program");
    Subject { connect: &connect, item: order(), secrets: &[TOKEN, PASSWORD], kinds: &[] }.assert_takes_faults();
    let server = Receiver::replying([Reply::Status(400, Vec::new(), format!("{PASSWORD} is no key of {TOKEN}"))]);
    let failure = deliver(&connect(&server.url("")), &attempt(order(), 1)).unwrap_err();
    assert!(failure.message.ends_with("400 Bad Request: *** is no key of ***"), "{failure}");
}

#[test]
fn each_item_goes_to_its_own_address() {
    let (a, b) = (Receiver::replying([]), Receiver::replying([]));
    let hook = Webhook::to_each(|order: &Order| order.callback.clone());
    let to = |url: String| Order { number: 7, callback: url };
    for (server, path) in [(&a, "/a"), (&b, "/b")] {
        let order = to(server.url(path));
        assert_eq!(hook.lane(&order), server.address.to_string());
        assert_eq!(deliver(&hook, &attempt(order, 1)), Ok(()));
        assert_eq!(server.next().path, path);
    }
    assert_eq!(hook.lane(&to("https://shop.example/x".into())), "shop.example:443");
    for url in ["", "shop", "ftp://shop.example", "http://me:secret@shop.example/"] {
        assert_eq!(deliver(&hook, &attempt(to(url.into()), 1)).unwrap_err().kind, Permanent, "{url}");
    }
}

#[test]
fn only_a_redirect_that_keeps_the_request_and_the_place_is_followed() {
    let elsewhere = Receiver::replying([]);
    let away: &'static str = String::leak(elsewhere.url("/"));
    let moved = |status, to| Reply::Status(status, vec![("location", to)], String::new());
    let server = Receiver::replying([
        moved(308, "/new"),
        Reply::status(200),
        moved(302, "/new"),
        moved(307, away),
        moved(307, "/1"),
        moved(307, "/2"),
        moved(307, "/3"),
    ]);
    let hook = Webhook::to(server.url("/old")).bearer(Secret::plain(TOKEN)).follow_redirects(2);
    assert_eq!(deliver(&hook, &attempt(order(), 1)), Ok(()));
    let (old, new) = (server.next(), server.next());
    assert_eq!((new.path.as_str(), new.method.as_str(), &new.body), ("/new", "POST", &old.body));
    assert_eq!((new.header("idempotency-key"), new.header("authorization")), (KEY, old.header("authorization")));
    for requests in [1, 1, 3] {
        let failure = deliver(&hook, &attempt(order(), 1)).unwrap_err();
        assert_eq!(failure.kind, Unreachable);
        assert!(failure.message.contains("give the URL that it redirects to"), "{failure}");
        assert_eq!(server.rest().len(), requests);
    }
    assert_eq!(elsewhere.rest().len(), 0, "the token goes to nobody else");
}

#[test]
fn nothing_is_sent_where_tls_is_wanted_and_not_spoken() {
    let server = Receiver::replying([]);
    let hook = Webhook::to(format!("https://{}/", server.address)).bearer(Secret::plain(TOKEN));
    assert_eq!(deliver(&hook, &attempt(order(), 1)).unwrap_err().kind, Unreachable);
    assert_eq!(server.rest().len(), 0);
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    let says = |hook: Webhook<Order>| hook.check().unwrap_err().to_string();
    let fine = || Webhook::to("http://shop.example");
    assert_eq!(says(Webhook::to("shop")), "the webhook's address is no URL: relative URL without a base");
    assert_eq!(says(Webhook::to("ftp://shop.example")), "the webhook's address is no http:// or https:// URL");
    let with_password = says(Webhook::to("http://a:hush@shop.example"));
    assert!(with_password.contains("give them as secrets") && !with_password.contains("hush"), "{with_password}");
    assert!(says(fine().header("X Team", "shop")).starts_with("a webhook's header cannot be called \"X Team\""));
    assert!(says(fine().header("X-Team", "a\nb")).starts_with("a webhook's header X-Team cannot be \"a\\nb\""));
    let unset = || Secret::env("HEADWATER_TEST_UNSET");
    let missing = "the secret in environment variable HEADWATER_TEST_UNSET cannot be read";
    for hook in
        [fine().bearer(unset()), fine().sign(unset()), fine().secret_header("A", unset()), Webhook::to_secret(unset())]
    {
        assert!(says(hook).starts_with(missing));
    }
    let broken = says(fine().bearer(Secret::plain("a\nb")));
    assert_eq!(broken, "the secret in the program has characters that no header can");
}

#[test]
fn an_exchanged_secret_is_taken_up_and_a_missing_one_gives_no_item_up() {
    let server = Receiver::replying([]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let hook = Webhook::to(server.url("/")).bearer(Secret::file(file.path()));
    for token in ["first", "second"] {
        std::fs::write(file.path(), format!("{token}\n")).unwrap();
        assert_eq!(deliver(&hook, &attempt(order(), 1)), Ok(()));
        assert_eq!(server.next().header("authorization"), format!("Bearer {token}"));
    }
    drop(file);
    let failure = deliver(&hook, &attempt(order(), 1)).unwrap_err();
    assert_eq!(failure.kind, Unreachable);
    assert!(failure.message.contains("cannot be read"), "{failure}");
}
