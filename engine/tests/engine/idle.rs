//! An input that has nothing holds nobody back, and one that comes back is judged by the time that has passed.

use std::thread;

use headwater::prelude::*;

/// Far beyond what a busy machine needs.
const AT_MOST: Duration = Duration::from_secs(60);

#[test]
fn a_quiet_input_holds_nothing_back_until_it_speaks() {
    let job = Job::new("idle");
    let seconds = |second: &i64| Timestamp::from_seconds(*second);
    let busy = job.source(Topic::json::<i64>("busy")).event_time(seconds, Lateness::seconds(5));
    let quiet = job.source(Topic::json::<i64>("quiet")).event_time(seconds, Lateness::seconds(5));
    busy.union(quiet)
        .key_by(|_| 0u8)
        .window(Tumbling::minutes(1))
        .late(Topic::json("late"))
        .count()
        .on_close()
        .map(|pane| (pane.window.end.as_seconds(), pane.value))
        .sink(Topic::json("counts"));
    let (to_busy, from_busy) = channel::<i64>();
    let (to_quiet, from_quiet) = channel::<i64>();
    let (counts, late) = (Captured::<(i64, u64)>::new(), Captured::<Late<i64>>::new());
    job.bind_input("busy", Input::of(from_busy));
    job.bind_input("quiet", Input::of(from_quiet));
    job.bind_output("counts", Output::of(counts.clone()));
    job.bind_output("late", Output::of(late.clone()));

    let sender = {
        let (counts, late) = (counts.clone(), late.clone());
        to_quiet.send([70]);
        to_busy.send([1, 130, 200]);
        thread::spawn(move || {
            // 70 holds the second minute open until its input falls idle. Whichever falls idle last, time is at 195.
            let closed = counts.wait_for(3, AT_MOST);
            // Its minute has closed without it.
            to_quiet.send([71]);
            let told = late.wait_for(1, AT_MOST);
            to_quiet.send([210]);
            to_quiet.close();
            to_busy.close();
            (closed, told)
        })
    };
    let options = RunOptions { workers: 3, idle_after: Duration::from_millis(100), ..RunOptions::default() };
    let summary = job.run(&options, &Control::default()).unwrap();
    assert_eq!(sender.join().unwrap(), (true, true));
    assert_eq!(counts.take(), [(60, 1), (120, 1), (180, 1), (240, 2)]);
    assert_eq!(late.take().iter().map(|late| late.record).collect::<Vec<_>>(), [71]);
    assert_eq!(summary.committed.late, 1);
}

#[test]
fn inputs_that_are_united_before_they_have_time_end_one_after_the_other() {
    let job = Job::new("united");
    let first = job.source(Topic::json::<i64>("first"));
    first
        .union(job.source(Topic::json("second")))
        .event_time(|second: &i64| Timestamp::from_seconds(*second), Lateness::NONE)
        .key_by(|_| 0u8)
        .window(Tumbling::minutes(1))
        .count()
        .on_close()
        .map(|pane| (pane.window.end.as_seconds(), pane.value))
        .sink(Topic::json("counts"));
    let ((to_first, from_first), (to_second, from_second)) = (channel::<i64>(), channel::<i64>());
    let counts = Captured::<(i64, u64)>::new();
    job.bind_input("first", Input::of(from_first));
    job.bind_input("second", Input::of(from_second));
    job.bind_output("counts", Output::of(counts.clone()));
    let sender = {
        let counts = counts.clone();
        thread::spawn(move || {
            to_first.send([10, 20]);
            to_first.close();
            // The first minute closes when the first input is over, by the second one's time alone.
            to_second.send([30, 70]);
            let closed = counts.wait_for(1, AT_MOST);
            to_second.close();
            closed
        })
    };
    let options = RunOptions { workers: 2, idle_after: Duration::from_millis(50), ..RunOptions::default() };
    job.run(&options, &Control::default()).unwrap();
    assert!(sender.join().unwrap(), "nothing closed while one input was over");
    assert_eq!(counts.take(), [(60, 3), (120, 1)]);
}
