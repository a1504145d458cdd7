//! Mails to a real mail server, which says afterwards what it has got.

use std::collections::BTreeSet;
use std::future::Future;
use std::thread;
use std::time::Duration;

use headwater::connectors::Secret;
use headwater::connectors::email::{Email, EmailTemplate, Smtp, Tls};
use headwater::operators::FailureKind;
use headwater::prelude::*;
use serde_json::json;

use crate::mail_server::MailServer;

const KEY: &str = "limit/ann/2026-11-22";

fn mail() -> Email {
    Email::to("Ann <ann@example.org>").subject("Über the limit").text("This was your 11th payment today.")
}

fn attempt<T>(item: T) -> Attempt<T> {
    let added = Timestamp::from_seconds(1_000_000);
    Attempt { item, idempotency_key: KEY.to_owned(), number: 1, added, at: added.plus(Duration::from_secs(5)), seq: 7 }
}

/// What an outbox calls a connector from.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn deliver<T>(connector: &impl Connector<T>, item: T) -> Result<(), Failure> {
    connector.check().unwrap();
    wait(connector.deliver(&attempt(item)))
}

/// Asserts that a mail cannot be sent, for this kind of reason, and that people are told these things and no secret.
#[track_caller]
fn assert_fails(server: &MailServer, result: Result<(), Failure>, kind: FailureKind, told: &[&str]) {
    let failure = result.expect_err("it was delivered");
    assert_eq!(failure.kind, kind, "{failure}");
    let said = failure.to_string();
    for part in told.iter().copied().chain([format!("localhost:{}", server.port).as_str()]) {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    if server.data.join("password").exists() {
        assert!(!format!("{failure:?}").contains(&server.password()), "{failure:?}");
    }
}

/// Waits, with a bound.
#[expect(clippy::disallowed_methods, reason = "a mail server is another process, which tells nobody when it is done")]
fn wait_until(done: impl Fn() -> bool) {
    assert!(
        (0..1_000).any(|_| done() || (thread::sleep(Duration::from_millis(20)), false).1),
        "it does not come to it"
    );
}

#[test]
fn a_mail_arrives_whole_encrypted_and_by_a_login() {
    let server = MailServer::start();
    let html = "<p>This was your <b>11th</b> payment today: ä.</p>";
    let mail = mail().and_to("bob@example.org").html(html).reply_to("desk@example.org").header("X-Team", "payments");
    deliver(&server.smtp(), mail).unwrap();
    let message = server.message();
    assert_eq!(message["from"], "alerts@example.org");
    assert_eq!(message["to"], json!(["ann@example.org", "bob@example.org"]));
    assert_eq!(message["subject"], "Über the limit");
    assert_eq!(message["text"].as_str().unwrap().trim(), "This was your 11th payment today.");
    assert_eq!(message["html"].as_str().unwrap().trim(), html);
    assert_eq!((&message["tls"], &message["user"]), (&json!(true), &json!("alerts")));
    let headers = &message["headers"];
    assert_eq!(headers["Idempotency-Key"], KEY);
    assert_eq!(headers["Message-ID"], "<limit/ann/2026-11-22@example.org>");
    assert_eq!(headers["Date"], "Mon, 12 Jan 1970 13:46:45 +0000");
    assert_eq!(headers["From"], "Alerts <alerts@example.org>");
    assert_eq!(headers["To"], "Ann <ann@example.org>, bob@example.org");
    assert_eq!(headers["Reply-To"], "desk@example.org");
    assert_eq!(headers["X-Team"], "payments");
    assert_eq!(headers["Auto-Submitted"], "auto-generated");
}

#[test]
fn a_mail_arrives_over_tls_from_the_first_byte_by_options_in_a_url() {
    let server = MailServer::start();
    let (port, data) = (server.port + 2, server.data.display());
    let url =
        format!("smtps://alerts@localhost:{port}?from=a@example.org&password_file={data}/password&ca={data}/ca.pem");
    deliver(&Smtp::from_url(&url).unwrap(), mail()).unwrap();
    assert_eq!((&server.message()["tls"], &server.message()["user"]), (&json!(true), &json!("alerts")));
}

#[test]
fn mails_are_made_of_items_by_a_function_or_a_template() {
    let server = MailServer::start();
    let alert = || Alert::firing("HighErrorRate", "12 % of <requests> fail", Timestamp::from_seconds(60));
    let by_function = server
        .smtp()
        .email(|alert: &Alert| Email::to("oncall@example.org").subject(alert.identity()).text(alert.summary.clone()));
    deliver(&by_function, alert()).unwrap();
    let template = EmailTemplate::new("{{ name }} is {{ status }}", "{{ summary }}").to("oncall@example.org");
    let by_template = server.smtp().template(template.html("<b>{{ summary }}</b>"));
    deliver(&by_template, alert()).unwrap();
    let [first, second] = server.messages().try_into().unwrap();
    assert_eq!((&first["subject"], &first["html"]), (&json!("HighErrorRate{}"), &json!(null)));
    assert_eq!(second["subject"], "HighErrorRate is firing");
    assert_eq!(second["html"].as_str().unwrap().trim(), "<b>12 % of &lt;requests&gt; fail</b>");
}

#[test]
fn a_connection_is_used_again_until_the_server_closes_it() {
    let server = MailServer::start();
    let smtp = server.smtp();
    wait(async {
        for _ in 0..3 {
            smtp.deliver(&attempt(mail())).await.unwrap();
        }
        assert_eq!((server.count("connections"), server.count("logins")), (1, 1));
        server.dev("kill");
        server.dev("start");
        // That the one that was kept is closed is not an attempt that failed.
        smtp.deliver(&attempt(mail())).await.unwrap();
    });
    assert_eq!((server.count("connections"), server.messages().len()), (1, 4));
}

#[test]
fn mails_wait_for_a_server_that_is_not_there() {
    let server = MailServer::stopped(&[]);
    let smtp = Smtp::at("localhost").port(server.port).from("alerts@example.org");
    let told = ["no connection to mail server", "refused"];
    assert_fails(&server, deliver(&smtp, mail()), FailureKind::Unreachable, &told);
    server.dev("start");
    deliver(&server.smtp(), mail()).unwrap();
    server.message();

    let nowhere = Smtp::at("no-such-host.invalid").from("alerts@example.org");
    assert_eq!(deliver(&nowhere, mail()).unwrap_err().kind, FailureKind::Unreachable);
}

#[test]
fn mails_wait_for_a_server_that_is_frozen() {
    let server = MailServer::start();
    let smtp = server.smtp().connect_timeout(Duration::from_millis(700));
    // Once with a connection that was kept, and once without any.
    wait(async {
        smtp.deliver(&attempt(mail())).await.unwrap();
        server.dev("pause");
        for _ in 0..2 {
            let frozen = smtp.deliver(&attempt(mail())).await;
            assert_fails(&server, frozen, FailureKind::Unreachable, &["gave no answer in 700ms"]);
        }
        server.dev("resume");
    });
    deliver(&server.smtp(), mail()).unwrap();
}

#[test]
fn a_wrong_password_holds_mails_up_until_it_is_mended() {
    let server = MailServer::start();
    let file = server.data.join("my-password");
    std::fs::write(&file, "sesame-open").unwrap();
    let smtp = server.smtp_as(Secret::file(&file));
    let refused = deliver(&smtp, mail());
    let failure = format!("{refused:?}");
    assert!(!failure.contains("sesame-open"), "{failure}");
    let told = ["refuses the login of alerts: 535", "set the right password in file", "my-password"];
    assert_fails(&server, refused, FailureKind::Unreachable, &told);
    assert_eq!((server.messages().len(), server.count("refused_logins")), (0, 1));

    std::fs::write(&file, server.password()).unwrap();
    deliver(&smtp, mail()).unwrap();
    std::fs::remove_file(&file).unwrap();
    server.dev("kill");
    server.dev("start");
    let told = ["cannot be used", "my-password cannot be read"];
    assert_fails(&server, wait(smtp.deliver(&attempt(mail()))), FailureKind::Unreachable, &told);
}

#[test]
fn a_login_that_is_missing_holds_mails_up() {
    let server = MailServer::start();
    let told = ["takes no mail without a login: 530", "Smtp::login"];
    assert_fails(&server, deliver(&server.smtp_without_login(), mail()), FailureKind::Unreachable, &told);
}

#[test]
fn a_mail_that_may_have_arrived_is_sent_again_with_the_same_key() {
    let server = MailServer::start();
    let smtp = server.smtp();
    server.fail(&json!({"slow": 600}));
    let first = thread::scope(|scope| {
        let sending = scope.spawn(|| deliver(&smtp, mail()));
        wait_until(|| !server.messages().is_empty());
        server.dev("kill");
        sending.join().unwrap()
    });
    let told = ["was lost after the mail was sent, so that it may have been delivered"];
    assert_fails(&server, first, FailureKind::Transient, &told);

    server.dev("start");
    let second = Attempt { number: 2, at: Timestamp::from_seconds(1_000_009), ..attempt(mail()) };
    wait(smtp.deliver(&second)).unwrap();
    server.fail(&json!({"drop": 1, "keep": false}));
    assert_fails(&server, deliver(&smtp, mail()), FailureKind::Transient, &told);
    let [first, second] = server.messages().try_into().unwrap();
    for header in ["Idempotency-Key", "Message-ID"] {
        assert_eq!(first["headers"][header], second["headers"][header]);
    }
    assert_ne!(first["headers"]["Date"], second["headers"]["Date"]);
}

#[test]
fn a_slow_server_takes_no_longer_than_the_caller_allows() {
    let server = MailServer::start();
    let smtp = server.smtp();
    wait(async {
        smtp.deliver(&attempt(mail())).await.unwrap();
        server.fail(&json!({"slow": 600}));
        let limit = Duration::from_millis(400);
        let late = tokio::time::timeout(limit, smtp.deliver(&attempt(mail()))).await;
        assert!(late.is_err(), "{late:?}");
        server.heal();
        // The connection on which an answer is still to come is not used again.
        smtp.deliver(&attempt(mail())).await.unwrap();
    });
    assert_eq!((server.count("connections"), server.messages().len()), (2, 3));
}

#[test]
fn a_recipient_that_is_refused_keeps_the_mail_from_nobody_else() {
    let server = MailServer::start();
    let smtp = server.smtp();
    server.fail(&json!({"reject": ["bob@example.org"]}));
    wait(async {
        let alone = smtp.deliver(&attempt(Email::to("bob@example.org"))).await;
        let told = ["refuses the recipient bob@example.org: 550 5.1.1 no mailbox bob@example.org here"];
        assert_fails(&server, alone, FailureKind::Permanent, &told);
        assert_eq!(server.messages(), [json!(null); 0]);

        let among_others = smtp.deliver(&attempt(mail().and_to("bob@example.org").and_to("eve@example.org"))).await;
        let told = ["refuses the recipient bob@example.org: 550", "the others have the mail"];
        assert_fails(&server, among_others, FailureKind::Permanent, &told);
        assert_eq!(server.message()["to"], json!(["ann@example.org", "eve@example.org"]));

        smtp.deliver(&attempt(mail())).await.unwrap();
    });
    assert_eq!((server.count("connections"), server.messages().len()), (1, 2));
}

#[test]
fn refusals_for_now_and_for_good_are_told_apart() {
    let server = MailServer::start();
    let smtp = server.smtp();
    let fail = |code: u16, at: &str| {
        server.fail(&json!({"refuse": code, "at": at}));
        deliver(&smtp, mail().and_to("bob@example.org"))
    };
    assert_fails(&server, fail(451, "data"), FailureKind::Transient, &["refuses the mail: 451 4.3.0 refused as told"]);
    assert_fails(&server, fail(421, "data"), FailureKind::Transient, &["refuses the mail: 421"]);
    assert_fails(&server, fail(550, "data"), FailureKind::Permanent, &["refuses the mail: 550 5.3.0 refused as told"]);
    assert_fails(&server, fail(450, "rcpt"), FailureKind::Transient, &["for now the recipient ann@example.org: 450"]);
    assert_fails(&server, fail(550, "rcpt"), FailureKind::Permanent, &["ann@example.org", "bob@example.org"]);
    assert_fails(&server, fail(452, "mail"), FailureKind::Transient, &["452"]);
    assert_fails(&server, fail(421, "mail"), FailureKind::Transient, &["is closing down: 421"]);
    let told = ["takes no mail from alerts@example.org: 550", "Smtp::from"];
    assert_fails(&server, fail(550, "mail"), FailureKind::Unreachable, &told);
    assert_eq!(server.messages(), [json!(null); 0]);
    // It refuses once, and takes the next attempt.
    server.fail(&json!({"refuse": 451, "at": "data", "times": 1}));
    assert_eq!(deliver(&smtp, mail()).unwrap_err().kind, FailureKind::Transient);
    deliver(&smtp, mail()).unwrap();
    server.message();
}

#[test]
fn an_address_that_is_none_is_refused_for_good_before_anybody_is_asked() {
    let server = MailServer::start();
    let failure = deliver(&server.smtp(), Email::to("nobody")).unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Permanent, "no mail address: \"nobody\""));
    assert_eq!(server.count("connections"), 0);
}

#[test]
fn a_certificate_by_nobody_known_is_not_trusted() {
    let server = MailServer::start();
    let login = || Secret::file(server.data.join("password"));
    let told = ["no connection to mail server", "Smtp::ca", "invalid peer certificate: UnknownIssuer"];
    for (port, tls) in [(server.port, Tls::StartTls), (server.port + 2, Tls::Implicit)] {
        let smtp = Smtp::at("localhost").port(port).tls(tls).login("alerts", login()).from("alerts@example.org");
        let failure = deliver(&smtp, mail()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable);
        assert!(told.iter().all(|part| failure.to_string().contains(part)), "{failure}");
    }
    assert_eq!((server.count("logins"), server.messages().len()), (0, 0));
}

#[test]
fn nothing_is_sent_in_plain_text_unless_that_is_meant() {
    let server = MailServer::start_with(&["--no-starttls"]);
    let told = ["does not offer STARTTLS, and nothing is sent in plain text", "Tls::Implicit", "Tls::None"];
    assert_fails(&server, deliver(&server.smtp(), mail()), FailureKind::Unreachable, &told);
    assert_eq!(server.count("logins") + server.count("refused_logins"), 0);
    deliver(&server.smtp_in_plain_text(), mail()).unwrap();
    assert_eq!(server.message()["tls"], false);
}

#[test]
fn a_port_for_starttls_is_told_from_one_for_tls() {
    let server = MailServer::start();
    let told = ["does not begin with TLS at this port", "Tls::StartTls"];
    assert_fails(&server, deliver(&server.smtp().tls(Tls::Implicit), mail()), FailureKind::Unreachable, &told);
}

#[test]
fn mails_of_an_outbox_wait_until_a_server_is_there_and_arrive_once() {
    let server = MailServer::start();
    let password = Secret::plain(server.password());
    server.dev("kill");
    let alert = |number: i64| {
        Alert::firing("HighErrorRate", format!("{number} % fail"), Timestamp::from_seconds(number))
            .label("n", number.to_string())
    };
    let job = Job::new("alerts");
    let smtp = server
        .smtp_as(password)
        .email(|alert: &Alert| Email::to("oncall@example.org").subject(alert.identity()).text(alert.summary.clone()));
    job.source(Topic::json::<Alert>("alerts")).deliver(Outbox::new("mail", smtp));
    job.bind_input("alerts", Input::of(Rows::new((0..20).map(alert).collect())));
    let dead = Captured::<DeadLetter>::new();
    job.bind_output("mail.dead-letters", Output::of(dead.clone()));
    let options = RunOptions { commit_interval: Duration::from_millis(50), ..RunOptions::default() };
    thread::scope(|scope| {
        // It takes longer to start than the job, which has asked by then.
        scope.spawn(|| server.dev("start"));
        job.run(&options, &Control::default()).unwrap();
    });
    let messages = server.messages();
    let headers: BTreeSet<&str> =
        messages.iter().map(|message| message["headers"]["Idempotency-Key"].as_str().unwrap()).collect();
    assert_eq!((messages.len(), headers.len(), dead.records()), (20, 20, vec![]));
}
