//! What waits in an outbox: where nobody answers, and where there is much of it.
#![allow(clippy::disallowed_methods, reason = "a test waits until a time that the clock says")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use headwater::prelude::*;

use crate::outbox::{Receiver, job, kept, options, run};

#[test]
fn where_nobody_answers_items_wait_and_one_asks_and_other_lanes_go_on() {
    let refusals = AtomicUsize::new(3);
    let receiver = Receiver::new(move |item, _| {
        let refuses = |left: usize| left.checked_sub(1);
        match item.split_once('@') {
            Some((_, "dead")) if refusals.fetch_update(Relaxed, Relaxed, refuses).is_ok() => {
                Err(Failure::unreachable("connection refused"))
            }
            _ => Ok(()),
        }
    });
    let mut names: Vec<String> = (0..100).map(|number| format!("{number}@dead")).collect();
    names.extend((0..100).map(|number| format!("{number}@alive")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // One attempt for each: those that nobody answers do not count.
    let outbox = Outbox::new("post", receiver.clone()).retry(Retry::never()).concurrency(1);
    let (job, dead) = job(&names, outbox);
    run(&job);
    assert_eq!(dead.records(), []);
    let attempts = receiver.attempts();
    assert_eq!(attempts.len(), 203, "a lane on which nobody answers is asked by one item at a time");
    assert!(attempts.iter().all(|attempt| attempt.number == 1));
    let items = receiver.items();
    let last_alive = items.iter().rposition(|item| item.ends_with("@alive")).unwrap();
    let first_dead = items.iter().position(|item| item.ends_with("1@dead")).unwrap();
    assert!(items.len() - last_alive > 90, "the living lane waited: {last_alive} {first_dead}");
}

/// Counts what comes once somebody is there.
#[derive(Clone, Default)]
struct Away {
    is_back: Arc<AtomicBool>,
    came: Arc<AtomicUsize>,
}

impl Connector<String> for Away {
    fn describe(&self) -> String {
        "one that is away".to_owned()
    }

    async fn deliver(&self, _: &Attempt<String>) -> Result<(), Failure> {
        if !self.is_back.load(Relaxed) {
            return Err(Failure::unreachable("nobody is there"));
        }
        self.came.fetch_add(1, Relaxed);
        Ok(())
    }
}

fn backlog(dir: &std::path::Path, away: Away, bound: usize) -> Job {
    let job = Job::new("backlog");
    let outbox = Outbox::new("post", away).bound(bound).retry(Retry::never());
    job.source(Topic::lines::<String>("items")).deliver(outbox);
    job.bind_input("items", Input::Files(dir.join("items.txt").display().to_string()));
    job
}

#[test]
fn a_backlog_pauses_the_input_and_drains_when_somebody_is_back() {
    const ITEMS: usize = 100_000;
    const BOUND: usize = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let items: String = (0..ITEMS).map(|number| format!("item {number:060}\n")).collect();
    std::fs::write(dir.path().join("items.txt"), items).unwrap();
    let away = Away::default();
    let control = Control::default();
    let read = || control.progress.records_in() as usize;
    let options = RunOptions { state: Some(dir.path().join("state")), memory_bytes: 16 << 20, ..options() };
    std::thread::scope(|scope| {
        let run = scope.spawn(|| backlog(dir.path(), away.clone(), BOUND).run(&options, &control).unwrap());
        let deadline = Instant::now() + Duration::from_secs(60);
        while read() < BOUND {
            assert!(Instant::now() < deadline, "only {} were read", read());
            std::thread::yield_now();
        }
        // Whatever was on its way still comes; then the input stands still for as long as nobody answers.
        let (epoch, mut last) = (control.progress.committed().epoch, read());
        while control.progress.committed().epoch < epoch + 3 {
            assert!(Instant::now() < deadline, "no commits");
            last = last.max(read());
            std::thread::yield_now();
        }
        assert!(last <= 2 * BOUND, "{last} items were read, and {BOUND} may wait");
        let began = Instant::now();
        away.is_back.store(true, Relaxed);
        run.join().unwrap();
        println!("{ITEMS} items, {last} of them read while nobody was there, drained in {:?}", began.elapsed());
    });
    assert_eq!(away.came.load(Relaxed), ITEMS);
    assert_eq!(std::fs::read_to_string(dir.path().join("state/post.dead-letters.jsonl")).unwrap_or_default(), "");
}

#[test]
fn an_item_that_is_never_answered_keeps_no_others_of_its_lane_waiting() {
    let receiver = Receiver::new(|item, _| match item {
        "never@host" => Err(Failure::unreachable("403 Forbidden")),
        _ => Ok(()),
    });
    let mut names = vec!["never@host".to_owned()];
    names.extend((0..50).map(|number| format!("{number}@host")));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let outbox = Outbox::new("post", receiver.clone()).concurrency(1).max_age(Duration::from_secs(5));
    let (job, dead) = job(&names, outbox);
    run(&job);
    let letters = dead.take();
    assert_eq!(letters.len(), 1, "{letters:?}");
    let tries = receiver.items().iter().filter(|item| *item == "never@host").count();
    // At once, and then at 1, 2 and 4 seconds, whether or not the others are done by then.
    assert!(tries <= 5, "it was tried {tries} times in 5 s");
    assert_eq!(receiver.items().len() - tries, 50);
}

#[test]
fn a_run_that_delivers_nothing_is_not_held_up_by_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let names: String = (0..5_000).map(|number| format!("item {number}\n")).collect();
    std::fs::write(dir.path().join("items.txt"), names).unwrap();
    let control = Control::default();
    let closed = Receiver::closing(&control);
    let (job, options) = kept(dir.path(), &closed, |outbox| outbox.bound(1));
    job.run(&options, &control).unwrap();
    let attempts = closed.items().len();
    let (job, options) = kept(dir.path(), &closed, |outbox| outbox.bound(1));
    job.run(&RunOptions { deliver: Some(false), ..options }, &Control::default()).unwrap();
    assert_eq!(closed.items().len(), attempts, "it delivered");
}
