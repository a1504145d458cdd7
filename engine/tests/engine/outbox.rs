//! Outboxes: what is delivered, how often, and what becomes of the rest.
#![allow(clippy::disallowed_methods, reason = "a throttle is measured by the clock")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use headwater::operators::FailureKind;
use headwater::prelude::*;

/// Notes every attempt, and answers as a function says: of the item, and how often it has come.
#[derive(Clone)]
pub struct Receiver(Arc<Inner>);

struct Inner {
    attempts: Mutex<Vec<(Instant, Attempt<String>)>>,
    answer: Box<Answer>,
}

type Answer = dyn Fn(&str, usize) -> Result<(), Failure> + Send + Sync;

impl Receiver {
    pub fn new(answer: impl Fn(&str, usize) -> Result<(), Failure> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { attempts: Mutex::default(), answer: Box::new(answer) }))
    }

    /// One that takes nothing, and has the run stopped at the first attempt.
    pub fn closing(control: &Control) -> Self {
        let stop = control.clone();
        Self::new(move |_, _| {
            stop.stop();
            Err(Failure::transient("closed"))
        })
    }

    pub fn attempts(&self) -> Vec<Attempt<String>> {
        self.0.attempts.lock().unwrap().iter().map(|(_, attempt)| attempt.clone()).collect()
    }

    pub fn items(&self) -> Vec<String> {
        self.attempts().into_iter().map(|attempt| attempt.item).collect()
    }

    fn times(&self) -> Vec<Instant> {
        self.0.attempts.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
}

impl Connector<String> for Receiver {
    fn describe(&self) -> String {
        "a receiver".to_owned()
    }

    fn lane(&self, item: &String) -> String {
        item.split_once('@').map_or_else(String::new, |(_, lane)| lane.to_owned())
    }

    async fn deliver(&self, attempt: &Attempt<String>) -> Result<(), Failure> {
        let mut attempts = self.0.attempts.lock().unwrap();
        attempts.push((Instant::now(), attempt.clone()));
        let seen = attempts.iter().filter(|(_, other)| other.item == attempt.item).count();
        drop(attempts);
        (self.0.answer)(&attempt.item, seen)
    }
}

pub fn quick() -> Retry {
    Retry::schedule([0, 20, 40, 60].map(Duration::from_millis))
}

/// A job that delivers `items`, and what it could not deliver.
pub fn job(items: &[&str], outbox: Outbox<String, Receiver>) -> (Job, Captured<DeadLetter>) {
    let job = Job::new("letters");
    job.source(Topic::lines::<String>("items")).deliver(outbox);
    let items: Vec<String> = items.iter().map(|item| (*item).to_owned()).collect();
    job.bind_input("items", Input::of(Rows::new(items)));
    let dead = Captured::new();
    job.bind_output("post.dead-letters", Output::of(dead.clone()));
    (job, dead)
}

pub fn options() -> RunOptions {
    RunOptions { commit_interval: Duration::from_millis(20), workers: 2, ..RunOptions::default() }
}

pub fn run(job: &Job) -> Summary {
    job.run(&options(), &Control::default()).unwrap()
}

#[test]
fn each_item_is_delivered_once_and_the_run_ends_when_all_are() {
    let receiver = Receiver::new(|_, _| Ok(()));
    let items: Vec<String> = (0..500).map(|number| format!("item {number}")).collect();
    let names: Vec<&str> = items.iter().map(String::as_str).collect();
    let (job, dead) = job(&names, Outbox::new("post", receiver.clone()));
    let summary = run(&job);
    let mut delivered = receiver.items();
    delivered.sort();
    let mut expected = items.clone();
    expected.sort();
    assert_eq!(delivered, expected);
    assert_eq!(dead.records(), []);
    assert!(summary.committed.records_out.contains(&("post".to_owned(), 500)), "{:?}", summary.committed.records_out);
    let keys: std::collections::HashSet<String> =
        receiver.attempts().into_iter().map(|attempt| attempt.idempotency_key).collect();
    assert_eq!(keys.len(), 500);
}

#[test]
fn what_fails_is_tried_by_the_schedule_and_then_a_dead_letter() {
    let receiver = Receiver::new(|item, seen| match item {
        "refused" => Err(Failure::permanent("no such user")),
        "busy" => Err(Failure::transient("try later").caused_by(&std::io::Error::other("full"))),
        "shy" if seen < 3 => Err(Failure::transient("not now")),
        _ => Ok(()),
    });
    let (job, dead) = job(&["refused", "busy", "shy", "plain"], Outbox::new("post", receiver.clone()).retry(quick()));
    run(&job);
    let mut seen: HashMap<String, Vec<u32>> = HashMap::new();
    for attempt in receiver.attempts() {
        seen.entry(attempt.item).or_default().push(attempt.number);
    }
    assert_eq!(seen["refused"], [1]);
    assert_eq!(seen["busy"], [1, 2, 3, 4]);
    assert_eq!(seen["shy"], [1, 2, 3]);
    assert_eq!(seen["plain"], [1]);
    let mut letters: Vec<(String, String)> =
        dead.take().into_iter().map(|letter| (letter.payload.unwrap(), letter.error)).collect();
    letters.sort();
    let letter = |item: &str, error: &str| (format!("{item:?}"), error.to_owned());
    assert_eq!(letters, [letter("busy", "try later: full"), letter("refused", "no such user")]);
}

#[test]
fn items_with_the_same_order_key_come_one_after_the_other_and_hold_up_no_others() {
    let receiver = Receiver::new(|item, seen| match item {
        "a1" if seen < 4 => Err(Failure::transient("not now")),
        _ => Ok(()),
    });
    let names: Vec<String> =
        ["a", "b"].iter().flat_map(|key| (1..=20).map(move |number| format!("{key}{number}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let outbox = Outbox::new("post", receiver.clone()).retry(quick()).in_order_by(|item: &String| item[..1].to_owned());
    let (job, _) = job(&names, outbox);
    run(&job);
    let items = receiver.items();
    let of = |key: &str| -> Vec<String> {
        let mut of: Vec<String> = items.iter().filter(|item| item.starts_with(key)).cloned().collect();
        of.dedup();
        of
    };
    let expected = |key: &str| -> Vec<String> { (1..=20).map(|number| format!("{key}{number}")).collect() };
    assert_eq!(of("a"), expected("a"));
    assert_eq!(of("b"), expected("b"));
    let at = |item: &str| items.iter().rposition(|other| other == item).unwrap();
    assert!(at("b2") < at("a1"), "b waited for a: {items:?}");
}

#[test]
fn a_throttle_and_priorities_hold_for_the_whole_job() {
    let receiver = Receiver::new(|_, _| Ok(()));
    let mut names: Vec<String> = (0..30).map(|number| format!("plain {number}")).collect();
    names.extend((0..5).map(|number| format!("vip {number}")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let outbox = Outbox::new("post", receiver.clone())
        .throttle(Throttle::per_second(20.0).burst(1))
        .priority(|item: &String| u8::from(item.starts_with("vip")));
    let (job, _) = job(&names, outbox);
    run(&job);
    let times = receiver.times();
    let took = times[times.len() - 1] - times[0];
    assert!(took > Duration::from_millis(1_500), "35 at 20 a second took {took:?}");
    let items = receiver.items();
    let last_vip = items.iter().rposition(|item| item.starts_with("vip")).unwrap();
    assert!(last_vip < 15, "{items:?}");
}

#[test]
fn nothing_of_an_epoch_that_does_not_commit_is_delivered() {
    let receiver = Receiver::new(|_, _| Ok(()));
    let job = Job::new("letters");
    job.source(Topic::json::<u64>("items"))
        .map(|number| number.to_string())
        .deliver(Outbox::new("post", receiver.clone()));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("items.jsonl");
    std::fs::write(&file, "1\n2\nthree\n").unwrap();
    job.bind_input("items", Input::Files(file.display().to_string()));
    let options =
        RunOptions { state: Some(dir.path().join("state")), commit_interval: Duration::from_secs(5), ..options() };
    let error = job.run(&options, &Control::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Record, "{error}");
    assert_eq!(receiver.items(), Vec::<String>::new());
}

/// A job over a file with its state in a directory.
pub fn kept(
    dir: &std::path::Path,
    receiver: &Receiver,
    outbox: impl Fn(Outbox<String, Receiver>) -> Outbox<String, Receiver>,
) -> (Job, RunOptions) {
    let job = Job::new("letters");
    job.source(Topic::lines::<String>("items")).deliver(outbox(Outbox::new("post", receiver.clone())));
    job.bind_input("items", Input::Files(dir.join("items.txt").display().to_string()));
    (job, RunOptions { state: Some(dir.join("state")), ..options() })
}

#[test]
fn what_waits_is_kept_when_the_run_is_stopped_and_delivered_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let names: String = (0..50).map(|number| format!("item {number}\n")).collect();
    std::fs::write(dir.path().join("items.txt"), names).unwrap();
    let control = Control::default();
    let closed = Receiver::closing(&control);
    let (job, options) = kept(dir.path(), &closed, |outbox| outbox.concurrency(8));
    job.run(&options, &control).unwrap();
    assert!(closed.items().len() < 50);
    let open = Receiver::new(|_, _| Ok(()));
    let (job, options) = kept(dir.path(), &open, |outbox| outbox);
    job.run(&options, &Control::default()).unwrap();
    let mut items = open.items();
    items.sort();
    items.dedup();
    assert_eq!(items.len(), 50);
    assert_eq!(open.items().len(), 50, "an outcome that was known was forgotten");
    // The second attempt of an item has the key of its first, and is counted on.
    let key = |receiver: &Receiver| -> HashMap<String, String> {
        receiver.attempts().into_iter().map(|attempt| (attempt.item, attempt.idempotency_key)).collect()
    };
    let (before, after) = (key(&closed), key(&open));
    assert!(!before.is_empty());
    assert!(before.iter().all(|(item, key)| after[item] == *key));
    let again = open.attempts().into_iter().filter(|attempt| before.contains_key(&attempt.item));
    assert!(again.clone().all(|attempt| attempt.number == 2), "{:?}", again.collect::<Vec<_>>());
}

#[test]
fn a_run_that_starts_over_delivers_nothing_unless_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("items.txt"), "one\ntwo\n").unwrap();
    let receiver = Receiver::new(|_, _| Ok(()));
    let runs = |fresh, deliver| {
        let (job, options) = kept(dir.path(), &receiver, |outbox| outbox);
        job.run(&RunOptions { fresh, deliver, ..options }, &Control::default()).unwrap();
        receiver.items().len()
    };
    assert_eq!(runs(false, None), 2);
    assert_eq!(runs(true, None), 2, "it was sent again");
    assert_eq!(runs(true, Some(true)), 4);
    let keys: std::collections::HashSet<String> =
        receiver.attempts().into_iter().map(|attempt| attempt.idempotency_key).collect();
    assert_eq!(keys.len(), 4, "another state has other keys");
}

#[test]
fn what_is_not_delivered_lies_beside_the_state_unless_it_is_said_where() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("items.txt"), "one\n").unwrap();
    let receiver = Receiver::new(|_, _| Err(Failure::permanent("unwanted")));
    let (job, options) = kept(dir.path(), &receiver, |outbox| outbox);
    job.run(&options, &Control::default()).unwrap();
    let letters = std::fs::read_to_string(dir.path().join("state/post.dead-letters.jsonl")).unwrap();
    assert!(letters.contains("unwanted"), "{letters}");
}

#[test]
fn a_connector_that_takes_too_long_or_panics_has_failed() {
    struct Odd;
    impl Connector<String> for Odd {
        fn describe(&self) -> String {
            "an odd one".to_owned()
        }
        async fn deliver(&self, attempt: &Attempt<String>) -> Result<(), Failure> {
            match attempt.item.as_str() {
                "slow" => std::future::pending().await,
                _ => panic!("out of paper"),
            }
        }
    }
    let job = Job::new("letters");
    let outbox = Outbox::new("post", Odd).retry(Retry::never()).timeout(Duration::from_millis(50));
    job.source(Topic::lines::<String>("items")).deliver(outbox);
    job.bind_input("items", Input::of(Rows::new(vec!["slow".to_owned(), "loud".to_owned()])));
    let dead = Captured::<DeadLetter>::new();
    job.bind_output("post.dead-letters", Output::of(dead.clone()));
    run(&job);
    let mut errors: Vec<String> = dead.take().into_iter().map(|letter| letter.error).collect();
    errors.sort();
    assert!(errors[0].contains("no answer within 50 ms"), "{errors:?}");
    assert!(errors[1].contains("the connector panicked"), "{errors:?}");
}

#[test]
fn what_is_older_than_allowed_is_not_sent_any_more() {
    let receiver = Receiver::new(|_, _| Err(Failure::unreachable("connection refused")));
    let (job, dead) = job(&["one"], Outbox::new("post", receiver.clone()).max_age(Duration::from_millis(300)));
    run(&job);
    let letters = dead.take();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].error.contains("older than 300 ms; before that: connection refused"), "{}", letters[0].error);
}

#[test]
fn an_outbox_that_cannot_deliver_is_refused_before_anything_runs() {
    let refusal = |outbox: fn(Outbox<String, Receiver>) -> Outbox<String, Receiver>| {
        let (job, _) = job(&["one"], outbox(Outbox::new("post", Receiver::new(|_, _| Ok(())))));
        job.check().unwrap_err().to_string()
    };
    assert!(refusal(|outbox| outbox.retry(Retry::schedule([]))).contains("no attempt"));
    assert!(refusal(|outbox| outbox.throttle(Throttle::per_second(0.0))).contains("lets nothing through"));
    assert!(refusal(|outbox| outbox.concurrency(0)).contains("0 attempts at once"));
    assert!(refusal(|outbox| outbox.concurrency(5_000)).contains("more than 4,096"));
    assert!(refusal(|outbox| outbox.bound(0)).contains("bound"));
    let job = Job::new("letters");
    job.source(Topic::lines::<String>("post")).deliver(Outbox::new("post", Receiver::new(|_, _| Ok(()))));
    assert!(job.check().unwrap_err().to_string().contains("outbox `post` has the name of a topic"));
    assert_eq!(FailureKind::Permanent, Failure::permanent("x").kind);
}

#[test]
fn a_dead_letter_that_is_redriven_is_delivered_once_by_its_outbox() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let deliver = |receiver: &Receiver| {
        let job = Job::new("letters");
        job.source(Topic::lines::<String>("items")).deliver(Outbox::new("post", receiver.clone()).retry(quick()));
        job.bind_input("items", Input::of(Rows::new(vec!["one".to_owned(), "two".to_owned()])));
        job
    };
    let options = || RunOptions { state: Some(state.clone()), ..options() };
    let closed = Receiver::new(|item, _| if item == "two" { Err(Failure::permanent("closed")) } else { Ok(()) });
    deliver(&closed).run(&options(), &Control::default()).unwrap();
    let text = std::fs::read_to_string(state.join("post.dead-letters.jsonl")).unwrap();
    let letter: DeadLetter = serde_json::from_str(&text).unwrap();
    assert_eq!((letter.operator(), letter.error_type.as_str(), letter.attempts), ("post", "permanent", 1));
    assert!(letter.first_attempt.is_some() && letter.job == "letters");
    let key = closed.attempts().into_iter().find(|attempt| attempt.item == "two").unwrap().idempotency_key;
    assert_eq!(letter.idempotency_key.as_ref(), Some(&key));

    let open = Receiver::new(|_, _| Ok(()));
    let call = |words: &[&str]| {
        let state = ["--state", state.to_str().unwrap()];
        let code = deliver(&open).main_from([&["letters", "dead-letters"], words, &state].concat());
        format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
    };
    // A run that delivers nothing takes nothing back, and says so.
    assert!(call(&["redrive", "--operator", "post"]));
    let mute = RunOptions { deliver: Some(false), ..options() };
    deliver(&open).run(&mute, &Control::default()).unwrap();
    let audit = std::fs::read_to_string(state.join("post.dead-letters.jsonl.audit.jsonl")).unwrap();
    assert!(audit.contains("this run delivers nothing"), "{audit}");
    assert!(call(&["redrive", "--operator", "post"]));
    assert!(!call(&["redrive", &letter.id]), "it was redriven before");
    for _ in 0..2 {
        deliver(&open).run(&options(), &Control::default()).unwrap();
        assert_eq!(open.items(), ["two"]);
    }
    assert_eq!(open.attempts()[0].idempotency_key, key, "a receiver that has it after all must know it");
}
