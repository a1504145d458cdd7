//! The broker: topics, and what is in them.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use headwater::kafka::Kafka;

/// A broker that may have other topics, too.
pub struct Cluster {
    brokers: String,
}

impl Cluster {
    pub fn of_environment() -> Self {
        Self { brokers: std::env::var("KAFKA_BROKERS").unwrap_or_else(|_| "127.0.0.1:19092".to_owned()) }
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    pub fn kafka(&self) -> Kafka {
        Kafka::at(&self.brokers)
    }

    /// A name that no other process has.
    pub fn unused(name: &str) -> String {
        format!("bench-{}-{name}", std::process::id())
    }

    /// Makes a topic of one partition.
    pub fn create(&self, topic: &str) {
        self.tool(&["topics", "--create", "--topic", topic, "--partitions", "1"], Stdio::null());
    }

    /// Writes the lines of a file to a new topic of one partition.
    pub fn load(&self, topic: &str, file: &Path) {
        self.create(topic);
        let producer = ["console-producer", "--topic", topic, "--producer-property", "batch.size=500000"];
        self.tool(&producer, File::open(file).unwrap().into());
    }

    /// Deletes the topics whose names begin so, a job's own ones included.
    pub fn delete(&self, prefix: &str) {
        self.tool(&["topics", "--delete", "--topic", &format!("{prefix}.*")], Stdio::null());
    }

    /// Deletes groups that have no members.
    pub fn forget_groups(&self, groups: &[String]) {
        let groups = groups.iter().flat_map(|group| ["--group", group]);
        let arguments: Vec<&str> = ["consumer-groups", "--delete"].into_iter().chain(groups).collect();
        self.tool(&arguments, Stdio::null());
    }

    fn tool(&self, arguments: &[&str], input: Stdio) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("dev/kafka");
        let mut tool = Command::new(script);
        tool.arg("tool").args(arguments).args(["--bootstrap-server", &self.brokers]);
        let status = tool.stdin(input).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "a broker at {}: dev/kafka start", self.brokers);
    }
}
