//! The flagship as a job, with state and outputs on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use headwater::prelude::*;

use crate::common::bars::Run;
use crate::common::{Alert, DAY, Row, Transaction, at, cpu, expected_alerts, rss_mb, user, write_transactions};

fn job<T: Send + 'static>(source: Stream<Vec<T>>, time: fn(&T) -> Timestamp, user: fn(&T) -> &Text) {
    source
        .event_time(time, Lateness::minutes(5))
        .key_by_ref(user)
        .window(Tumbling::days(1))
        .count()
        .once(|count| *count > 10)
        .map(|pane| Alert { user: pane.key, day: pane.window.start, count: pane.value })
        .sink(Topic::json("alerts"));
}

/// One worker, commits every second.
pub fn options(directory: &std::path::Path, memory_bytes: usize) -> RunOptions {
    RunOptions {
        state: Some(directory.join("state")),
        commit_interval: Duration::from_secs(1),
        workers: 1,
        memory_bytes,
        ..RunOptions::default()
    }
}

/// A file of transactions, and how many alerts belong to it.
pub struct Transactions {
    directory: tempfile::TempDir,
    records: u64,
    bytes: u64,
    /// How many alerts there must be.
    pub alerts: u64,
}

impl Transactions {
    pub fn write(records: u64, users: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bytes = write_transactions(&directory.path().join("transactions.jsonl"), records, users);
        Self { directory, records, bytes, alerts: expected_alerts(records, users) }
    }

    pub fn bytes_each(&self) -> u64 {
        self.bytes / self.records
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("transactions.jsonl")
    }

    /// From JSON Lines, exactly once, committed every second.
    pub fn run(&self, memory_bytes: usize) -> Run {
        self.run_from(Input::Files(self.file().to_str().unwrap().to_owned()), memory_bytes)
    }

    /// The same from wherever the same transactions are.
    pub fn run_from(&self, input: Input, memory_bytes: usize) -> Run {
        let place = tempfile::tempdir().unwrap();
        let alerts = place.path().join("alerts.jsonl");
        let run =
            self.run_between("flagship", input, Output::File(alerts.clone()), &options(place.path(), memory_bytes));
        assert_eq!(lines(&alerts), self.alerts, "the run is void");
        run
    }

    /// The same to wherever, where the caller counts the alerts.
    pub fn run_between(&self, name: &str, input: Input, output: Output, options: &RunOptions) -> Run {
        let flagship = flagship(name, input, output);
        timed(self.records, || flagship.run(options, &Control::default()))
    }
}

/// The flagship over transactions in JSON.
pub fn flagship(name: &str, input: Input, output: Output) -> Job {
    let flagship = Job::new(name);
    job(flagship.source(Topic::json::<Transaction>("transactions")), |tx| tx.at, |tx| &tx.user);
    flagship.bind_input("transactions", input);
    flagship.bind_output("alerts", output);
    flagship
}

/// A run from a generator, and what it had in memory.
pub struct Generated {
    pub run: Run,
    /// Resident after a fifth of the records.
    pub early_rss_mb: u64,
    /// Resident at the end.
    pub late_rss_mb: u64,
}

/// From a generator, exactly once, within a memory budget.
pub fn generated(records: u64, users: u64, memory_bytes: usize) -> Generated {
    let directory = tempfile::tempdir().unwrap();
    let flagship = Job::new("flagship");
    let numbers = flagship.source(Topic::json::<u64>("rows"));
    job(
        numbers.map(move |n| Row { user: user(n, users), at: at(n % 100_000_000), amount: 1 }),
        |row| row.at,
        |row| &row.user,
    );
    flagship.bind_input("rows", Input::of(Generator::new(1, |n, _: &mut Random| n).count(records)));
    let output = bind_alerts(&flagship, directory.path());
    let control = Control::default();
    let ended = AtomicBool::new(false);
    let (run, (early_rss_mb, late_rss_mb)) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch_memory(&control, &ended, records / 5));
        let run = timed(records, || flagship.run(&options(directory.path(), memory_bytes), &control));
        ended.store(true, Ordering::Relaxed);
        (run, watch.join().unwrap())
    });
    assert_eq!(lines(&output), expected_alerts(records, users), "the run is void");
    Generated { run, early_rss_mb, late_rss_mb }
}

/// The resident memory when `early` records were committed, and the last one before the end.
fn watch_memory(control: &Control, ended: &AtomicBool, early: u64) -> (u64, u64) {
    let (mut at_first, mut last) = (None, 0);
    while !ended.load(Ordering::Relaxed) {
        last = rss_mb();
        if at_first.is_none() && control.progress.committed().records_in >= early {
            at_first = Some(last);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (at_first.expect("a fifth was committed before the end"), last)
}

/// How the close of many panes went.
pub struct Closed {
    pub run: Run,
    /// The longest epoch while they closed.
    pub longest: Duration,
    pub epochs: u64,
}

/// Closes `panes` panes at one instant.
pub fn close(panes: u64) -> Closed {
    let directory = tempfile::tempdir().unwrap();
    let flagship = Job::new("close");
    flagship
        .source(Topic::json::<u64>("rows"))
        .event_time(move |n| if *n < panes { DAY } else { DAY.plus(Duration::from_secs(3 * 86_400)) }, Lateness::NONE)
        .key_by(|n| *n)
        .window(Tumbling::days(1))
        .count()
        .on_close()
        .map(|pane| pane.key)
        .sink(Topic::json("closed"));
    flagship.bind_input("rows", Input::of(Generator::new(1, |n, _: &mut Random| n).count(panes + 1)));
    let output = directory.path().join("closed.jsonl");
    flagship.bind_output("closed", Output::File(output.clone()));
    let options = RunOptions { commit_interval: Duration::from_millis(200), ..options(directory.path(), 1 << 30) };
    let control = Control::default();
    let ended = AtomicBool::new(false);
    let (run, (longest, epochs)) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| longest_epoch(&control, &ended, panes));
        let run = timed(panes, || flagship.run(&options, &control));
        ended.store(true, Ordering::Relaxed);
        (run, watch.join().unwrap())
    });
    assert_eq!(lines(&output), panes + 1, "the run is void");
    assert!(epochs > 0, "the run is void: nothing was committed while panes closed");
    Closed { run, longest, epochs }
}

fn timed(records: u64, run: impl FnOnce() -> headwater::Result<Summary>) -> Run {
    let (began, before) = (Instant::now(), cpu());
    run().unwrap();
    Run { records, wall: began.elapsed(), cpu: cpu() - before }
}

fn bind_alerts(flagship: &Job, place: &Path) -> PathBuf {
    let output = place.join("alerts.jsonl");
    flagship.bind_output("alerts", Output::File(output.clone()));
    output
}

fn lines(output: &Path) -> u64 {
    std::fs::read_to_string(output).unwrap().lines().count() as u64
}

/// Watches commits from the moment that everything is read. The longest time between two, and how many there were.
fn longest_epoch(control: &Control, ended: &AtomicBool, panes: u64) -> (Duration, u64) {
    let (mut longest, mut epochs) = (Duration::ZERO, 0);
    let mut last: Option<(u64, Instant)> = None;
    while !ended.load(Ordering::Relaxed) {
        let committed = control.progress.committed();
        if committed.records_in >= panes {
            let (epoch, since) = *last.get_or_insert((committed.epoch, Instant::now()));
            if committed.epoch > epoch {
                longest = longest.max(since.elapsed());
                epochs += 1;
                last = Some((committed.epoch, Instant::now()));
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (longest, epochs)
}
