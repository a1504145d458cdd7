//! What whoever watches a running job is told.

use std::thread;

use headwater::prelude::*;
use headwater::progress::Committed;

/// Waits, with a bound, until the picture of the last commit is as wanted.
fn watch(control: &Control, wanted: impl Fn(&Committed) -> bool) -> Committed {
    for _ in 0..2_000 {
        if wanted(&control.progress.committed()) {
            break;
        }
        thread::park_timeout(Duration::from_millis(5));
    }
    control.progress.committed()
}

#[test]
fn the_slower_input_is_said_to_hold_the_watermark_back() {
    let job = Job::new("watched");
    let seconds = |second: &i64| Timestamp::from_seconds(*second);
    let fast = job.source(Topic::json::<i64>("fast")).event_time(seconds, Lateness::seconds(5));
    let slow = job.source(Topic::json::<i64>("slow")).event_time(seconds, Lateness::seconds(5));
    fast.union(slow)
        .key_by(|second| second % 2)
        .window(Tumbling::minutes(1))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("counts"));
    let (to_fast, from_fast) = channel::<i64>();
    let (to_slow, from_slow) = channel::<i64>();
    job.bind_input("fast", Input::of(from_fast));
    job.bind_input("slow", Input::of(from_slow));
    job.bind_output("counts", Output::of(Captured::<u64>::new()));

    let control = Control::default();
    let watcher = {
        let control = control.clone();
        to_fast.send([1, 130, 131]);
        to_slow.send([70]);
        thread::spawn(move || {
            let seen = watch(&control, |seen| seen.watermark == Some(Timestamp::from_seconds(65)));
            to_fast.close();
            to_slow.close();
            seen
        })
    };
    let end = job.run(&RunOptions { workers: 2, ..RunOptions::default() }, &control).unwrap().committed;
    let seen = watcher.join().unwrap();
    assert_eq!(seen.watermark, Some(Timestamp::from_seconds(65)));
    assert_eq!(seen.held_back_by.as_deref(), Some("slow/0"));
    // The first minute has closed; 70, and 130 with 131, are in windows of their own.
    assert_eq!(seen.open_windows, 2);
    assert_eq!((end.watermark, end.held_back_by, end.open_windows), (Some(Timestamp::MAX), None, 0));
}
