//! The flagship, count per user and day with an alert once past ten: CPU time per record on one worker.
//!
//! `cargo bench -p headwater-benches --bench flagship [-- memory|keys|files|budget|growth|close]`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark measures and prints"
)]

mod common;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use common::{Alert, DAY, Row, Transaction, at, cpu, expected_alerts, peak_rss_mb, user, write_transactions};
use headwater::operators::{Activity, Origin};
use headwater::operators::{
    Batch, Chain, Counter, EventTime, Exchange, KeyByRef, Map, Merge, Message, Once, Output as Next, Progress,
    WindowAggregate,
};
use headwater::prelude::*;
use headwater::state::{Bulk, Epoch, LocalOptions, LocalState, Shard, Store};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|arg| arg == name);
    println!("{:<44} {:>12} {:>14} {:>10} {:>10}", "flagship, one worker", "records", "records/s", "CPU ns", "peak MB");
    if runs("memory") {
        for _ in 0..5 {
            memory(10_000_000, 1_000_000);
        }
    }
    if runs("keys") {
        for users in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
            memory(20_000_000, users);
        }
    }
    if runs("files") {
        for _ in 0..3 {
            files(5_000_000, 1_000_000);
        }
    }
    if runs("budget") {
        job_from_generator("10 M users, 256 MB", 30_000_000, 10_000_000, 256 << 20);
    }
    if runs("close") {
        close(5_000_000);
    }
    if runs("growth") {
        job_from_generator("steady 100 k users, 50 M records", 50_000_000, 100_000, 256 << 20);
    }
}

fn report(name: &str, records: u64, wall: Duration, cpu: Duration) {
    println!(
        "{name:<44} {records:>12} {:>14.0} {:>10.0} {:>10}",
        records as f64 / wall.as_secs_f64(),
        cpu.as_nanos() as f64 / records as f64,
        peak_rss_mb()
    );
}

/// A store without anything in it: what is committed stays in the blocks, which the benchmark keeps as its log.
struct Nothing;

impl Store for Nothing {
    fn multi_get(&self, _: &str, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        Ok(vec![None; keys.len()])
    }
    fn scan(&self, _: &str, _: &[u8], _: &[u8], _: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
    fn durable(&self) -> Epoch {
        Epoch(0)
    }
    fn apply(&self, _: &Bulk) -> Result<()> {
        Ok(())
    }
}

struct Counted(Rc<Cell<u64>>);

impl Next<Vec<Alert>> for Counted {
    fn send(&mut self, message: Message<Vec<Alert>>) -> Result<()> {
        if let Message::Batch(batch) = message {
            self.0.set(self.0.get() + batch.records.len() as u64);
        }
        Ok(())
    }
    fn work(&mut self) -> Result<Progress> {
        Ok(Progress::Done)
    }
}

/// From typed rows in memory, committed every second to a log in memory.
fn memory(records: u64, users: u64) {
    const BATCH: u64 = 1024;
    const AHEAD: u64 = 64;
    let options = LocalOptions {
        shards: 32,
        owned: (0..32).map(Shard).collect(),
        committed: Epoch(0),
        memory_bytes: usize::MAX / 2,
    };
    let local = LocalState::new(Arc::new(Nothing), options, Vec::new());
    let alerts = Rc::new(Cell::new(0));
    let mut source = pipeline(&local, Box::new(Counted(Rc::clone(&alerts))));
    let origin = Origin { id: 0, name: "rows/0".into() };
    source.send(Message::Origin(origin, Activity::Active)).unwrap();
    let (mut log, mut wall, mut used) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    let mut commit_at = Duration::from_secs(1);
    let mut n = 0;
    // Rows are made in stretches whose time does not count.
    while n < records {
        let ready: Vec<Vec<Row>> = (0..AHEAD * 16)
            .map(|batch| {
                let from = n + batch * BATCH;
                (from..from + BATCH).map(|n| Row { user: user(n, users), at: at(n), amount: 1 }).collect()
            })
            .collect();
        let (began, cpu_before) = (Instant::now(), cpu());
        for rows in ready {
            n += rows.len() as u64;
            let times = vec![Timestamp::MIN; rows.len()];
            source.send(Message::Batch(Batch::new(rows, times))).unwrap();
            if wall + began.elapsed() >= commit_at {
                commit_at += Duration::from_secs(1);
                source.send(Message::Barrier(local.epoch())).unwrap();
                log.push(local.finish_epoch().unwrap().blocks);
                local.begin_epoch();
            }
        }
        wall += began.elapsed();
        used += cpu() - cpu_before;
    }
    assert_eq!(alerts.get(), expected_alerts(n, users), "the run is void");
    report(&format!("memory, {users} users, 1 s commits"), n, wall, used);
}

fn pipeline(local: &LocalState, sink: Box<dyn Next<Vec<Alert>>>) -> Box<dyn Next<Vec<Row>>> {
    let by_user = Arc::new(KeyByRef::new(|row: &Row| &row.user));
    let window = WindowAggregate {
        id: "rows".into(),
        keying: Arc::clone(&by_user),
        windows: Arc::new(Tumbling::days(1)),
        aggregate: Arc::new(Count),
        trigger: Arc::new(Once(|count: &u64| *count > 10)),
        allowed_lateness: Duration::ZERO,
    };
    let map =
        Map::new(Arc::new(|pane: Pane<Text, u64>| Alert { user: pane.key, day: pane.window.start, count: pane.value }));
    let map = Chain::new(map, sink);
    let window = Chain::new(window.open(local, None, Counter::new()).unwrap(), Box::new(map));
    let merged = Merge::inputs(1, Box::new(window)).pop().unwrap();
    let exchange = Exchange::new(by_user, vec![0; 32].into(), vec![Box::new(merged)]).unwrap();
    let times = Arc::new(|row: &Row| row.at);
    Box::new(EventTime::new("rows/time", times, Lateness::minutes(5), local, Box::new(exchange)))
}

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

fn options(directory: &std::path::Path, memory_bytes: usize) -> RunOptions {
    RunOptions {
        state: Some(directory.join("state")),
        commit_interval: Duration::from_secs(1),
        workers: 1,
        memory_bytes,
        ..RunOptions::default()
    }
}

/// From JSON Lines, exactly once, committed every second.
fn files(records: u64, users: u64) {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("transactions.jsonl");
    let bytes = write_transactions(&input, records, users);
    let flagship = Job::new("flagship");
    let source = flagship.source(Topic::json::<Transaction>("transactions"));
    job(source, |tx| tx.at, |tx| &tx.user);
    flagship.bind_input("transactions", Input::Files(input.to_str().unwrap().to_owned()));
    let output = directory.path().join("alerts.jsonl");
    flagship.bind_output("alerts", Output::File(output.clone()));
    let (began, before) = (Instant::now(), cpu());
    flagship.run(&options(directory.path(), 1 << 30), &Control::default()).unwrap();
    let (wall, used) = (began.elapsed(), cpu() - before);
    let alerts = std::fs::read_to_string(&output).unwrap().lines().count() as u64;
    assert_eq!(alerts, expected_alerts(records, users), "the run is void");
    report(&format!("JSON Lines of {} bytes, {users} users", bytes / records), records, wall, used);
}

/// From a generator, exactly once, within a memory budget.
fn job_from_generator(name: &str, records: u64, users: u64, memory_bytes: usize) {
    let directory = tempfile::tempdir().unwrap();
    let flagship = Job::new("flagship");
    let numbers = flagship.source(Topic::json::<u64>("rows"));
    job(
        numbers.map(move |n| Row { user: user(n, users), at: at(n % 100_000_000), amount: 1 }),
        |row| row.at,
        |row| &row.user,
    );
    flagship.bind_input("rows", Input::of(Generator::new(1, |n, _: &mut Random| n).count(records)));
    let output = directory.path().join("alerts.jsonl");
    flagship.bind_output("alerts", Output::File(output.clone()));
    let (began, before) = (Instant::now(), cpu());
    flagship.run(&options(directory.path(), memory_bytes), &Control::default()).unwrap();
    let (wall, used) = (began.elapsed(), cpu() - before);
    report(name, records, wall, used);
    let alerts = std::fs::read_to_string(&output).unwrap().lines().count() as u64;
    assert_eq!(alerts, expected_alerts(records, users), "the run is void");
}

/// Closes `panes` panes at one instant: how long the longest epoch is while it goes on.
fn close(panes: u64) {
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
    let (began, before) = (Instant::now(), cpu());
    let (longest, epochs) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| longest_epoch(&control, &ended, panes));
        flagship.run(&options, &control).unwrap();
        ended.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    report(&format!("{panes} panes closed at one instant"), panes, began.elapsed(), cpu() - before);
    println!("  the longest of {epochs} epochs while they closed: {longest:.0?}");
    assert_eq!(std::fs::read_to_string(&output).unwrap().lines().count() as u64, panes + 1, "the run is void");
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
