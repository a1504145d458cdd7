//! Work that a commit left over, timers that are due and windows that are closing, is done once after a restart.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater::prelude::*;
use headwater::source::{Partition, Poll, Polled, Source};
use headwater::state::{RocksOptions, RocksStore, Store, recover};

const KEYS: u64 = 40_000;

/// A row per key, and after them, once the gate is open, one a day later by which everything is due.
#[derive(Clone)]
struct Gated {
    open: Arc<AtomicBool>,
    next: u64,
}

impl Source<(u64, i64)> for Gated {
    fn describe(&self) -> String {
        "rows behind a gate".into()
    }
    fn partitions(&self) -> Result<Vec<String>> {
        Ok(vec!["0".into()])
    }
    fn open(&self, _: &str, position: Option<&str>) -> Result<Box<dyn Partition<(u64, i64)>>> {
        Ok(Box::new(Self { next: position.map_or(0, |position| position.parse().unwrap()), ..self.clone() }))
    }
}

impl Partition<(u64, i64)> for Gated {
    fn poll(&mut self, polled: &mut Polled<(u64, i64)>, rows_max: usize) -> Result<Poll> {
        match self.next {
            KEYS if !self.open.load(Ordering::Relaxed) => return Ok(Poll::Quiet),
            KEYS => polled.records.push((KEYS, 86_400)),
            next if next > KEYS => return Ok(Poll::End),
            next => polled.records.extend((next..KEYS.min(next + rows_max as u64)).map(|key| (key, 0))),
        }
        polled.bytes += polled.records.len() * 16;
        self.next += polled.records.len() as u64;
        Ok(Poll::Records)
    }
    fn position(&self) -> String {
        self.next.to_string()
    }
}

/// The job's one output, and how it is run.
struct Runs<'a> {
    directory: &'a Path,
    workers: usize,
    job: fn() -> Job,
    open: Arc<AtomicBool>,
}

impl Runs<'_> {
    fn run(&self, control: &Control) -> Summary {
        let job = (self.job)();
        job.bind_input("rows", Input::of(Gated { open: Arc::clone(&self.open), next: 0 }));
        job.bind_output("out", Output::File(self.directory.join("out.jsonl")));
        let options = RunOptions {
            state: Some(self.directory.join("state")),
            commit_interval: Duration::from_millis(1),
            workers: self.workers,
            ..RunOptions::default()
        };
        job.run(&options, control).unwrap()
    }

    /// Runs until this many records are read, and not a commit longer.
    fn run_until_read(&self, records: u64) {
        let (control, over) = (Control::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while control.progress.records_in() < records && !over.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                control.stop();
            });
            self.run(&control);
            over.store(true, Ordering::Relaxed);
        });
    }

    fn out(&self) -> Vec<u64> {
        let out = fs::read_to_string(self.directory.join("out.jsonl")).unwrap();
        out.lines().map(|line| line.parse().unwrap()).collect()
    }
}

impl Runs<'_> {
    /// How many keys the tables hold.
    fn stored(&self) -> usize {
        let database = self.directory.join("state/db");
        let store = RocksStore::open(database, Vec::<String>::new(), &RocksOptions::default()).unwrap();
        recover(&store, &store).unwrap();
        let mut stored = 0;
        for table in store.tables() {
            let mut count = |_: &[u8], _: &[u8]| {
                stored += 1;
                ControlFlow::Continue(())
            };
            store.scan(&table, &[0], &[0xfe; 9], &mut count).unwrap();
        }
        stored
    }
}

fn check(job: fn() -> Job) {
    for workers in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let runs = Runs { directory: directory.path(), workers, job, open: Arc::default() };
        runs.run_until_read(KEYS);
        runs.open.store(true, Ordering::Relaxed);
        runs.run_until_read(1);
        assert!(runs.out().len() < KEYS as usize, "nothing was left over");
        for _ in 0..4 {
            // It does what it is started with, and hardly more.
            let stopped = Control::default();
            stopped.stop();
            runs.run(&stopped);
        }
        assert!(runs.run(&Control::default()).committed.ended);
        let mut keys = runs.out();
        keys.sort_unstable();
        assert!(keys.iter().copied().eq(0..=KEYS), "{} keys for {}", keys.len(), KEYS + 1);
        assert_eq!(runs.stored(), 0, "stored keys that nothing will ever read");
    }
}

fn closing() -> Job {
    let job = Job::new("closing");
    job.source(Topic::json::<(u64, i64)>("rows"))
        .event_time(|row| Timestamp::from_seconds(row.1), Lateness::NONE)
        .key_by(|row| row.0)
        .window(Tumbling::hours(1))
        .count()
        .on_close()
        .map(|pane| pane.key)
        .sink(Topic::json("out"));
    job
}

fn ringing() -> Job {
    let job = Job::new("ringing");
    job.source(Topic::json::<(u64, i64)>("rows"))
        .event_time(|row| Timestamp::from_seconds(row.1), Lateness::NONE)
        .key_by(|row| row.0)
        .process(
            "ringing",
            |turn: &mut Turn<'_, u64, (), u64>, _| {
                *turn.state_mut() = Some(());
                turn.set_timer(Clock::Event, turn.time().plus(Duration::from_secs(60)));
                Ok(())
            },
            |turn, _, _| {
                if turn.state_mut().take().is_some() {
                    let key = *turn.key();
                    turn.emit(key);
                }
                Ok(())
            },
        )
        .sink(Topic::json("out"));
    job
}

#[test]
fn windows_that_are_closing_close_once() {
    check(closing);
}

#[test]
fn timers_that_are_due_fire_once() {
    check(ringing);
}
