//! Jobs that end in an outbox, and receivers within the process.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use headwater::prelude::*;
use headwater::progress::Phase;

use crate::common::bars::Run;
use crate::common::{Transaction, cpu, transaction};

/// An item of 170 bytes of JSON, of one of a million users.
pub fn item(n: u64) -> Transaction {
    transaction(n, 1_000_000)
}

/// What was delivered to a [`Server`].
#[derive(Default)]
struct Log {
    delivered: u64,
    /// When so many were.
    mark: Option<(u64, Instant)>,
    last: Option<Instant>,
    /// When the items of the lane that is always up came.
    others: Vec<(u64, Instant)>,
}

/// A receiver that takes everything at once, unless it is down for the items of one lane. A clone is the same.
#[derive(Clone, Default)]
pub struct Server {
    is_down: Arc<AtomicBool>,
    /// Its rate is that of the items after so many.
    warm_up: u64,
    log: Arc<Mutex<Log>>,
}

/// Which items are of the lane that may be down.
pub fn may_be_down(item: &Transaction) -> bool {
    !item.id.is_multiple_of(10)
}

impl Server {
    /// One whose [rate](Self::rate) is that of the items after so many: an outbox begins with few at once.
    pub fn warmed_up_by(items: u64) -> Self {
        Self { warm_up: items, ..Self::default() }
    }

    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Relaxed);
    }

    /// Items that were delivered.
    pub fn delivered(&self) -> u64 {
        self.log.lock().unwrap().delivered
    }

    /// Which items of the lane that is always up were delivered, and when.
    pub fn others(&self) -> Vec<(u64, Instant)> {
        self.log.lock().unwrap().others.clone()
    }

    /// Items a second.
    pub fn rate(&self) -> f64 {
        let log = self.log.lock().unwrap();
        let (already, since) = log.mark.unwrap();
        (log.delivered - already) as f64 / (log.last.unwrap() - since).as_secs_f64()
    }

    /// Forgets what was delivered, and how many items that were.
    pub fn forget(&self) -> u64 {
        std::mem::take(&mut *self.log.lock().unwrap()).delivered
    }
}

impl Connector<Transaction> for Server {
    fn describe(&self) -> String {
        "a server".to_owned()
    }

    fn lane(&self, item: &Transaction) -> String {
        if may_be_down(item) { "down" } else { "up" }.to_owned()
    }

    async fn deliver(&self, attempt: &Attempt<Transaction>) -> Result<(), Failure> {
        if may_be_down(&attempt.item) && self.is_down.load(Relaxed) {
            return Err(Failure::unreachable("connection refused"));
        }
        let now = Instant::now();
        let mut log = self.log.lock().unwrap();
        log.delivered += 1;
        if log.delivered == self.warm_up {
            log.mark = Some((log.delivered, now));
        }
        log.last = Some(now);
        if !may_be_down(&attempt.item) {
            log.others.push((attempt.item.id, now));
        }
        Ok(())
    }
}

/// One worker, with state on disk.
pub fn options(place: &Path) -> RunOptions {
    RunOptions { state: Some(place.join("state")), workers: 1, ..RunOptions::default() }
}

/// Runs a job over this many items until its outbox is empty.
pub fn drain<C: Connector<Transaction>>(
    input: Input,
    items: u64,
    outbox: Outbox<Transaction, C>,
    change: impl Fn(&mut RunOptions),
) -> Run {
    let place = tempfile::tempdir().unwrap();
    let job = Job::new("post");
    job.source(Topic::json::<Transaction>("items")).deliver(outbox);
    job.bind_input("items", input);
    let mut options = options(place.path());
    change(&mut options);
    let (began, before) = (Instant::now(), cpu());
    job.run(&options, &Control::default()).unwrap();
    Run { records: items, wall: began.elapsed(), cpu: cpu() - before }
}

/// A job that runs on a thread of its own.
pub struct Running {
    pub control: Control,
    thread: JoinHandle<()>,
    _place: tempfile::TempDir,
}

impl Running {
    /// Starts a job and waits until it runs.
    pub fn start(memory_bytes: usize, job: impl FnOnce(&Path) -> Job + Send + 'static) -> Self {
        let (control, place) = (Control::default(), tempfile::tempdir().unwrap());
        let (watched, path) = (control.clone(), place.path().to_owned());
        let thread = std::thread::spawn(move || {
            let options = RunOptions { memory_bytes, ..options(&path) };
            job(&path).run(&options, &watched).unwrap();
        });
        let running = Self { control, thread, _place: place };
        running.wait_until(|| running.control.progress.phase() == Phase::Running);
        running
    }

    /// Waits for something that has to come, which is looked for every few milliseconds.
    pub fn wait_until(&self, mut is_so: impl FnMut() -> bool) {
        while !is_so() {
            assert!(!self.thread.is_finished(), "the run is void: the job ended");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no more is read, which three seconds show: what goes makes room for more.
    pub fn wait_until_paused(&self) -> u64 {
        let read = || self.control.progress.records_in();
        let mut last = (read(), Instant::now());
        self.wait_until(|| {
            let now = read();
            if now != last.0 {
                last = (now, Instant::now());
            }
            last.1.elapsed() > Duration::from_secs(3)
        });
        last.0
    }

    /// Ends it after its epoch.
    pub fn stop(self) {
        self.control.stop();
        self.finish();
    }

    /// Waits for its end.
    pub fn finish(self) {
        self.thread.join().unwrap();
    }
}

/// CPU time per second of this process, while nobody here does anything, in thousandths of a core.
pub fn cpu_at_rest(time: Duration) -> f64 {
    let (began, before) = (Instant::now(), cpu());
    std::thread::sleep(time);
    (cpu() - before).as_secs_f64() * 1e3 / began.elapsed().as_secs_f64()
}
