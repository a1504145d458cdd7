//! The systems that are compared, and how each is started.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::alerts::Alerts;
use crate::cluster::Cluster;
use crate::environment;
use crate::process::{PATIENCE, Pinned};

#[derive(Clone, Copy, PartialEq)]
pub enum System {
    Headwater {
        commit_interval: Duration,
    },
    KafkaStreams {
        /// Whether it comes back as the member of its group that it was.
        is_static: bool,
    },
}

/// The name that the example gives its job.
const HEADWATER_JOB: &str = "transaction-alerts";

/// What a run reads, and where it keeps its things.
pub struct Place<'a> {
    pub cluster: &'a Cluster,
    pub input: &'a str,
    /// A name that no other run has.
    pub run: String,
    pub directory: tempfile::TempDir,
    /// Whether the user is the key of the input.
    pub keyed: bool,
    /// Where Headwater answers over HTTP.
    http: String,
}

impl<'a> Place<'a> {
    pub fn new(cluster: &'a Cluster, input: &'a str, run: String, keyed: bool) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let http = free.local_addr().unwrap().to_string();
        Self { cluster, input, run, directory: tempfile::tempdir().unwrap(), keyed, http }
    }

    fn output(&self) -> String {
        format!("{}-alerts", self.run)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Waits until Headwater has committed so many of all records. How many it has committed.
    pub fn await_committed(&self, process: &Pinned, records: u64, all: u64) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        let mut last = 0;
        while last < records {
            assert!(
                Instant::now() < deadline && !process.has_ended(),
                "the run is void: {last} of {records} committed"
            );
            thread::sleep(Duration::from_millis(20));
            last = committed(&self.http).unwrap_or(last);
        }
        assert!(last < all, "the run is void: too few records to see it at work");
        last
    }

    /// Deletes what the run left at the broker: a system names topics by the job, so the next run would go on with it.
    pub fn clean_up(self, system: System) {
        self.cluster.keep_only(self.input);
        if system.is_headwater() {
            // The other's job has the name of the run.
            self.cluster.forget_group(HEADWATER_JOB);
        }
    }
}

impl System {
    pub const HEADWATER: Self = Self::Headwater { commit_interval: Duration::from_secs(1) };

    pub fn name(self) -> String {
        let peer = || format!("Kafka Streams {}", environment("PEER_VERSION"));
        match self {
            Self::Headwater { commit_interval } => format!("Headwater, commits every {commit_interval:?}"),
            Self::KafkaStreams { is_static: true } => peer() + ", static member",
            Self::KafkaStreams { is_static: false } => peer(),
        }
    }

    pub fn is_headwater(self) -> bool {
        matches!(self, Self::Headwater { .. })
    }

    /// The topic that the alerts of a run go to, made.
    pub fn alerts(place: &Place) -> Alerts {
        place.cluster.create(&place.output());
        Alerts(place.output())
    }

    pub fn start(self, place: &Place) -> Pinned {
        match self {
            Self::Headwater { commit_interval } => {
                let mut arguments = headwater(place, commit_interval, "state");
                arguments.extend(["--http".to_owned(), place.http.clone()]);
                Pinned::start(&environment("HEADWATER_ALERTS"), &arguments)
            }
            Self::KafkaStreams { is_static } => {
                Pinned::start(&environment("PEER_JAVA"), &kafka_streams(place, is_static))
            }
        }
    }
}

/// The records that Headwater has committed, as its metrics say.
fn committed(address: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    let read = page.lines().filter(|line| line.starts_with("headwater_records_read_total{"));
    Some(read.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64)
}

/// The topic that Headwater keeps its state in.
pub fn changelog() -> String {
    format!("{HEADWATER_JOB}.state")
}

/// A second instance of Headwater, which says on standard error what it does.
pub fn standby(place: &Place) -> Pinned {
    let mut arguments = headwater(place, Duration::from_secs(1), "standby");
    arguments.retain(|argument| argument != "--quiet");
    Pinned::start_heard(&environment("HEADWATER_ALERTS"), &arguments)
}

/// One worker, and a stop where the topic ends.
fn headwater(place: &Place, commit_interval: Duration, state: &str) -> Vec<String> {
    let mut arguments = ["--quiet", "--until-end"].map(str::to_owned).to_vec();
    for (flag, value) in [
        ("--brokers", place.cluster.brokers().to_owned()),
        ("--topic", place.input.to_owned()),
        ("--alerts", place.output()),
        ("--state", place.path(state)),
        ("--commit-interval", format!("{commit_interval:?}")),
        ("--workers", "1".to_owned()),
        ("--memory", "1GB".to_owned()),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    arguments
}

fn kafka_streams(place: &Place, is_static: bool) -> Vec<String> {
    let mut arguments = vec![
        "-Xmx2g".to_owned(),
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error".to_owned(),
        "-cp".to_owned(),
        environment("PEER_CLASSES"),
        "TransactionAlerts".to_owned(),
    ];
    arguments.extend([
        format!("input={}", place.input),
        format!("output={}", place.output()),
        format!("rekey={}", !place.keyed),
        format!("application.id={}", place.run),
        format!("bootstrap.servers={}", place.cluster.brokers()),
        format!("state.dir={}", place.path("state")),
    ]);
    if is_static {
        arguments.push("group.instance.id=peer".to_owned());
    }
    arguments
}
