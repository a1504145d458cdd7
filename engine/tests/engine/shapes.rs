//! Pipelines of every shape give the same records, on one worker and on several.

use headwater::prelude::*;

fn options(workers: usize) -> RunOptions {
    RunOptions { workers, batch_rows: 7, ..RunOptions::default() }
}

fn numbers(job: &Job, name: &str, parts: Vec<Vec<u64>>) {
    job.bind_input(name, Input::of(Rows::partitions(parts)));
}

fn sorted(mut records: Vec<u64>) -> Vec<u64> {
    records.sort_unstable();
    records
}

#[test]
fn branch_union_flat_map_filter_and_clones() {
    for workers in [1, 2, 3] {
        let job = Job::new("shapes");
        let numbers_in = job.source(Topic::json::<u64>("numbers"));
        let (even, odd) = numbers_in.branch(|number: &u64| number.is_multiple_of(2));
        let tens = even.map(|number| number * 10);
        let copies = odd.flat_map(|number| vec![number; 2]);
        let all = tens.union(copies);
        all.clone().filter(|number: &u64| *number < 20).sink(Topic::json("small"));
        all.sink(Topic::json("all"));
        numbers(&job, "numbers", vec![(0..50).collect(), (50..100).collect(), Vec::new()]);
        let (small, everything) = (Captured::<u64>::new(), Captured::<u64>::new());
        job.bind_output("small", Output::of(small.clone()));
        job.bind_output("all", Output::of(everything.clone()));
        let summary = job.run(&options(workers), &Control::default()).unwrap();

        let mut expected: Vec<u64> = (0..100).filter(|n| n % 2 == 0).map(|n| n * 10).collect();
        expected.extend((0..100).filter(|n| n % 2 == 1).flat_map(|n| [n, n]));
        assert_eq!(sorted(everything.take()), sorted(expected.clone()));
        assert_eq!(sorted(small.take()), sorted(expected.into_iter().filter(|n| *n < 20).collect()));
        assert_eq!(summary.committed.records_in, 100);
    }
}

#[test]
fn rows_of_one_key_keep_their_order_through_an_exchange() {
    for workers in [1, 2, 3] {
        let job = Job::new("order");
        job.source(Topic::json::<u64>("numbers"))
            .key_by(|number| number % 10)
            .records()
            .key_by(|number| number % 3)
            .records()
            .sink(Topic::json("out"));
        numbers(&job, "numbers", vec![(0..10_000).collect()]);
        let out = Captured::<u64>::new();
        job.bind_output("out", Output::of(out.clone()));
        job.run(&options(workers), &Control::default()).unwrap();
        let out = out.take();
        assert_eq!(out.len(), 10_000);
        for rest in 0..30 {
            let mine: Vec<u64> = out.iter().copied().filter(|n| n % 30 == rest).collect();
            assert!(mine.is_sorted(), "{workers} workers");
        }
    }
}

#[test]
fn a_live_input_is_committed_while_it_runs() {
    let job = Job::new("live");
    job.source(Topic::json::<u64>("numbers")).map(|number| number + 1).sink(Topic::json("out"));
    let (feed, source) = channel::<u64>();
    job.bind_input("numbers", Input::of(source));
    let out = Captured::<u64>::new();
    job.bind_output("out", Output::of(out.clone()));
    let options = RunOptions { commit_interval: Duration::from_millis(20), ..options(2) };
    std::thread::scope(|scope| {
        let out = &out;
        scope.spawn(move || {
            feed.send([1, 2]);
            assert!(out.wait_for(2, Duration::from_secs(20)), "committed while the input is open");
            feed.send([3]);
            assert!(out.wait_for(3, Duration::from_secs(20)));
            feed.close();
        });
        job.run(&options, &Control::default()).unwrap();
    });
    assert_eq!(sorted(out.take()), [2, 3, 4]);
}

#[test]
fn a_panic_names_the_operator_and_commits_nothing() {
    let job = Job::new("panic");
    job.source(Topic::json::<u64>("numbers"))
        .map(|number| if number == 77 { panic!("seventy-seven") } else { number })
        .sink(Topic::json("out"));
    numbers(&job, "numbers", vec![(0..100).collect()]);
    let out = Captured::<u64>::new();
    job.bind_output("out", Output::of(out.clone()));
    let error = job.run(&options(2), &Control::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Bug);
    assert_eq!(error.to_string(), "panic in `map` (numbers/map): seventy-seven; nothing of the epoch was committed");
    assert!(out.records().is_empty());
}

#[test]
fn stopping_finishes_the_epoch() {
    let job = Job::new("stop");
    job.source(Topic::json::<u64>("numbers")).sink(Topic::json("out"));
    job.bind_input("numbers", Input::of(Generator::new(1, |n, _: &mut Random| n)));
    let out = Captured::<u64>::new();
    job.bind_output("out", Output::of(out.clone()));
    let control = Control::default();
    let summary = std::thread::scope(|scope| {
        let (stop, out) = (control.clone(), &out);
        scope.spawn(move || {
            assert!(out.wait_for(1, Duration::from_secs(20)));
            stop.stop();
        });
        job.run(&options(1), &control).unwrap()
    });
    let out = out.take();
    assert_eq!(out.len() as u64, summary.committed.records_in);
    assert_eq!(out, (0..out.len() as u64).collect::<Vec<_>>());
}
