//! The systems that are compared, and how each is started.

use std::process::Command;

use crate::alerts::Alerts;
use crate::cluster::Cluster;
use crate::environment;
use crate::process::Pinned;

#[derive(Clone, Copy, PartialEq)]
pub enum System {
    Headwater,
    KafkaStreams {
        /// Whether it comes back as the member of its group that it was.
        is_static: bool,
    },
}

/// What a run reads, and where it keeps its things.
pub struct Place<'a> {
    pub cluster: &'a Cluster,
    pub input: &'a str,
    /// A name that no other run has.
    pub run: String,
    pub directory: tempfile::TempDir,
    /// Whether the user is the key of the input.
    pub keyed: bool,
}

impl<'a> Place<'a> {
    pub fn new(cluster: &'a Cluster, input: &'a str, run: String, keyed: bool) -> Self {
        Self { cluster, input, run, directory: tempfile::tempdir().unwrap(), keyed }
    }

    fn output(&self) -> String {
        format!("{}-alerts", self.run)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// Deletes what the run left at the broker: a system names topics by the job, so the next run would go on with it.
    pub fn clean_up(self) {
        self.cluster.keep_only(self.input);
    }
}

impl System {
    pub fn name(self) -> String {
        match self {
            Self::Headwater if writes_to_kafka() => "Headwater, alerts to a topic".into(),
            Self::Headwater => "Headwater, alerts to a file".into(),
            Self::KafkaStreams { is_static: true } => {
                format!("Kafka Streams {}, static member", environment("PEER_VERSION"))
            }
            Self::KafkaStreams { is_static: false } => format!("Kafka Streams {}", environment("PEER_VERSION")),
        }
    }

    /// Where the alerts of a run go, made ready.
    pub fn alerts(self, place: &Place) -> Alerts {
        if self == Self::Headwater && !writes_to_kafka() {
            return Alerts::File(place.directory.path().join("alerts.jsonl"));
        }
        place.cluster.create(&place.output());
        Alerts::Topic(place.output())
    }

    pub fn start(self, place: &Place) -> Pinned {
        match self {
            Self::Headwater => Pinned::start(&environment("HEADWATER_ALERTS"), &headwater(place)),
            Self::KafkaStreams { is_static } => {
                Pinned::start(&environment("PEER_JAVA"), &kafka_streams(place, is_static))
            }
        }
    }
}

/// One worker, commits every second, a stop where the topic ends.
fn headwater(place: &Place) -> Vec<String> {
    let output = if writes_to_kafka() {
        format!("alerts=kafka:{}", place.output())
    } else {
        format!("alerts={}", place.path("alerts.jsonl"))
    };
    let mut arguments = vec!["--quiet".to_owned(), "--until-end".to_owned()];
    for (flag, value) in [
        ("--brokers", place.cluster.brokers().to_owned()),
        ("--input", format!("transactions=kafka:{}", place.input)),
        ("--output", output),
        ("--state", place.path("state")),
        ("--commit-interval", "1s".to_owned()),
        ("--workers", "1".to_owned()),
        ("--memory", "1GB".to_owned()),
    ] {
        arguments.extend([flag.to_owned(), value]);
    }
    arguments
}

/// Whether the build of Headwater knows Kafka topics as outputs: what it says of `--output` tells.
/// `HEADWATER_OUTPUT=file` has it write files all the same.
fn writes_to_kafka() -> bool {
    if let Ok(output) = std::env::var("HEADWATER_OUTPUT") {
        return output == "kafka";
    }
    let help = Command::new(environment("HEADWATER_ALERTS")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut of_output = help.lines().skip_while(|line| !line.trim_start().starts_with("--output"));
    let first = of_output.next().unwrap_or_default();
    let rest = of_output.take_while(|line| !line.trim_start().starts_with('-'));
    first.contains("kafka:") || rest.collect::<String>().contains("kafka:") || help.contains("--output NAME=kafka:")
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
