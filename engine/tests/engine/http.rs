//! What a running job answers over HTTP.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use headwater::prelude::*;
use headwater::source::{ChannelSource, Measure, Partition, Source};

use crate::scrape::{address, ask, figure, get, page, wait_until};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn options() -> RunOptions {
    RunOptions { workers: 2, commit_interval: Duration::from_millis(10), http: Some(ANY_PORT), ..RunOptions::default() }
}

/// A job that runs beside the test.
struct Beside {
    control: Control,
    address: SocketAddr,
    thread: JoinHandle<Result<Summary>>,
}

impl Beside {
    fn start(options: RunOptions, job: impl FnOnce() -> Job + Send + 'static) -> Self {
        let control = Control::default();
        let handle = control.clone();
        let thread = thread::spawn(move || job().run(&options, &handle));
        let address = address(&control);
        Self { control, address, thread }
    }

    fn wait_until_ready(&self) {
        assert!(wait_until(|| get(self.address, "/readyz").0 == 200), "{:?}", get(self.address, "/readyz"));
    }

    fn stop(self) -> Summary {
        self.control.stop();
        self.thread.join().unwrap().unwrap()
    }
}

/// Copies the numbers of a channel.
fn copy(numbers: ChannelSource<u64>) -> Job {
    let job = Job::new("copy");
    job.source(Topic::json::<u64>("numbers")).sink(Topic::json("copies"));
    job.bind_input("numbers", Input::of(numbers));
    job.bind_output("copies", Output::of(Captured::<u64>::new()));
    job
}

/// Counts seconds per minute, from a file with late and bad lines and from a channel that stays open.
fn counting(file: String, live: ChannelSource<i64>) -> Job {
    let job = Job::new("counting");
    let seconds = |second: &i64| Timestamp::from_seconds(*second);
    let lines = job.source(Topic::json::<i64>("lines")).on_bad_record(BadRecords::DeadLetter(Topic::json("letters")));
    let lines = lines.event_time(seconds, Lateness::NONE);
    let more = job.source(Topic::json::<i64>("live")).event_time(seconds, Lateness::NONE);
    lines
        .union(more)
        .key_by(|second| second % 7)
        .window(Tumbling::minutes(1))
        .late(Topic::json("late"))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("counts"));
    job.bind_input("lines", Input::Files(file));
    job.bind_input("live", Input::of(live));
    job.bind_output("counts", Output::of(Captured::<u64>::new()));
    job.bind_output("late", Output::Nowhere);
    job.bind_output("letters", Output::of(Captured::<DeadLetter>::new()));
    job
}

#[test]
fn a_running_job_is_scraped() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines.jsonl");
    std::fs::write(&file, "100\n\"bad\"\n130\n").unwrap();
    let (live, source) = channel::<i64>();
    let file = file.to_str().unwrap().to_owned();
    let state = Some(directory.path().join("state"));
    let running = Beside::start(RunOptions { state, ..options() }, move || counting(file, source));
    running.wait_until_ready();
    assert_eq!(get(running.address, "/healthz"), (200, "ok\n".to_owned()));
    live.send([200]);
    let committed = || running.control.progress.committed();
    let second = Some(Timestamp::from_seconds(200));
    assert!(wait_until(|| committed().watermark == second), "{:?}", committed());
    live.send([5]);
    // Windows close in pieces, perhaps after the epoch of the watermark.
    let is_written = |topic: &str, number| committed().records_out.contains(&(topic.to_owned(), number));
    assert!(wait_until(|| is_written("late", 1) && is_written("counts", 2)), "{:?}", committed());
    let page = page(running.address);
    for (series, expected) in [
        ("records_read_total{job=\"counting\",topic=\"lines\",partition=\"0\"}", 3.0),
        ("records_read_total{job=\"counting\",topic=\"live\",partition=\"0\"}", 2.0),
        ("records_written_total{job=\"counting\",topic=\"counts\"}", 2.0),
        ("records_written_total{job=\"counting\",topic=\"late\"}", 1.0),
        ("records_written_total{job=\"counting\",topic=\"letters\"}", 1.0),
        ("late_records_total{job=\"counting\"}", 1.0),
        ("bad_records_total{job=\"counting\"}", 1.0),
        ("open_windows{job=\"counting\"}", 1.0),
        ("restarts_total{job=\"counting\"}", 0.0),
        ("phase{job=\"counting\",phase=\"running\"}", 1.0),
        ("phase{job=\"counting\",phase=\"opening\"}", 0.0),
        ("restore_expected_records{job=\"counting\"}", 0.0),
    ] {
        assert_eq!(figure(&page, &format!("headwater_{series}")), Some(expected), "{series} in\n{page}");
    }
    let one = |name: &str| figure(&page, &format!("headwater_{name}{{job=\"counting\"}}")).unwrap();
    let commits = one("commits_total");
    assert!(commits >= 2.0 && one("epoch") == commits, "{page}");
    assert_eq!(one("commit_seconds_count"), commits);
    let bucket = figure(&page, "headwater_commit_seconds_bucket{job=\"counting\",le=\"+Inf\"}");
    assert_eq!(bucket, Some(commits));
    assert!(one("commit_seconds_sum") > 0.0 && one("last_commit_seconds") > 0.0, "{page}");
    assert!(one("changed_rows_total") >= 3.0 && one("changed_bytes_total") > one("changed_rows_total"), "{page}");
    assert!(one("state_memory_bytes") > 0.0 && one("write_behind_bytes") > 0.0, "{page}");
    let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - 200.0;
    assert!((one("watermark_delay_seconds") - since_1970).abs() < 60.0, "{page}");

    let address = running.address;
    running.stop();
    assert!(TcpStream::connect(address).is_err(), "the port outlives the job");
}

/// What earlier processes did is theirs: counters begin at 0 with each, and other figures go on.
#[test]
fn counters_are_of_the_process_and_the_epoch_is_of_the_job() {
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions { state: Some(directory.path().join("state")), ..options() };
    let mut epoch = 0.0;
    for round in 1..=2 {
        let (feed, source) = channel::<u64>();
        // What a channel was sent before must be there again.
        feed.send(0..10 * round);
        let running = Beside::start(options.clone(), move || copy(source));
        let read = "headwater_records_read_total{job=\"copy\",topic=\"numbers\",partition=\"0\"}";
        assert!(wait_until(|| figure(&page(running.address), read) == Some(10.0)), "round {round}");
        let page = page(running.address);
        let written = "headwater_records_written_total{job=\"copy\",topic=\"copies\"}";
        assert_eq!(figure(&page, written), Some(10.0), "{page}");
        let before = std::mem::replace(&mut epoch, figure(&page, "headwater_epoch{job=\"copy\"}").unwrap());
        assert!(epoch > before, "{page}");
        assert_eq!(running.stop().committed.records_in, 10 * round);
    }
}

/// Numbers that cannot be had while something is away.
#[derive(Clone, Default)]
struct Away(Arc<AtomicBool>);

impl Source<u64> for Away {
    fn describe(&self) -> String {
        "numbers that may be away".into()
    }
    fn partitions(&self) -> Result<Vec<String>> {
        Ok(vec!["0".into()])
    }
    fn open(&self, partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<u64>>> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the well is dry"));
        }
        channel::<u64>().1.open(partition, position)
    }
    fn measures(&self) -> Vec<Measure> {
        let level = |well: &str, value| Measure {
            name: "well_level_meters",
            help: "How much water there is",
            grows: false,
            labels: vec![("well", well.to_owned())],
            value,
        };
        vec![level("north", 1.5), level("south", f64::NAN)]
    }
}

#[test]
fn a_job_that_waits_for_its_input_is_healthy_and_not_ready() {
    let source = Away::default();
    source.0.store(true, Ordering::Relaxed);
    let input = Input::of(source.clone());
    let running = Beside::start(options(), move || {
        let job = Job::new("waiting");
        job.source(Topic::json::<u64>("numbers")).sink(Topic::json("copies"));
        job.bind_input("numbers", input);
        job.bind_output("copies", Output::of(Captured::<u64>::new()));
        job
    });
    let is_waiting = || get(running.address, "/readyz").1.starts_with("waiting: ");
    assert!(wait_until(is_waiting), "{:?}", get(running.address, "/readyz"));
    let (status, reason) = get(running.address, "/readyz");
    assert!(status == 503 && reason.contains("the well is dry"), "{status} {reason}");
    assert_eq!(get(running.address, "/healthz").0, 200);
    let page = page(running.address);
    assert!(figure(&page, "headwater_restarts_total{job=\"waiting\"}").unwrap() >= 1.0, "{page}");
    assert_eq!(figure(&page, "headwater_phase{job=\"waiting\",phase=\"waiting\"}"), Some(1.0), "{page}");
    let level = |well| format!("headwater_well_level_meters{{job=\"waiting\",topic=\"numbers\",well=\"{well}\"}}");
    assert_eq!((figure(&page, &level("north")), figure(&page, &level("south"))), (Some(1.5), None), "{page}");
    source.0.store(false, Ordering::Relaxed);
    running.wait_until_ready();
    running.stop();
}

#[test]
fn a_taken_port_is_refused_before_anything_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let address = taken.local_addr().unwrap();
    let state = directory.path().join("state");
    let options = RunOptions { state: Some(state.clone()), http: Some(address), ..options() };
    let (feed, source) = channel::<u64>();
    feed.close();
    let error = copy(source).run(&options, &Control::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let text = error.to_string();
    assert!(text.contains(&format!("--http {address}")) && text.contains("port 0"), "{text}");
    assert!(!state.exists());
}

#[test]
fn whatever_is_sent_the_job_goes_on() {
    let (feed, source) = channel::<u64>();
    let running = Beside::start(options(), move || copy(source));
    running.wait_until_ready();
    let at = running.address;
    assert_eq!(get(at, "/").0, 404);
    assert_eq!(get(at, "/metrics/").0, 404);
    assert_eq!(get(at, "/metrics?name=x").0, 200);
    let refused = ask(at, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD\r\n"), "{refused}");
    let head = ask(at, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let plain = ask(at, "GET /metrics HTTP/1.0\r\n\r\n");
    assert!(plain.contains("content-type: text/plain; version=0.0.4"), "{plain}");
    let open = ask(at, "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\r\n");
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0"), "{open}");
    let long = format!("GET /metrics HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(1 << 20));
    for garbage in
        ["\0\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\0\u{1}", "GET /metrics HTTP/9.9\r\n\r\n", &long]
    {
        let answer = ask(at, garbage);
        let shown: String = garbage.chars().take(30).collect();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown:?} was answered with {answer}");
    }
    feed.send([1]);
    assert!(wait_until(|| running.control.progress.committed().records_in == 1));
    assert_eq!(get(at, "/readyz").0, 200);
    running.stop();
}

/// Those who say nothing are sent away, so that others have a place.
#[test]
fn who_says_nothing_holds_nobody_up_for_long() {
    let (_feed, source) = channel::<u64>();
    let running = Beside::start(options(), move || copy(source));
    running.wait_until_ready();
    let silent = |_| TcpStream::connect(running.address).unwrap();
    let mut few: Vec<TcpStream> = (0..10).map(silent).collect();
    assert_eq!(get(running.address, "/readyz").0, 200);
    let many: Vec<TcpStream> = (0..100).map(silent).collect();
    assert_eq!(get(running.address, "/readyz").0, 200);
    let mut first = few.remove(0);
    first.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(first.read(&mut [0]).is_ok_and(|read| read == 0), "it is not sent away");
    // The end of the job does not wait for them.
    running.stop();
    drop((few, many));
}
