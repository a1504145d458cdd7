//! The broker: topics, and transactions in them.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::common::{cpu_of, line, transaction};
use crate::environment;

/// What is asked where topics end.
pub struct Ends {
    all: BaseConsumer,
    committed: BaseConsumer,
}

impl Ends {
    /// Whether a transaction is open that has written to partition 0 of this topic.
    pub fn differ(&self, topic: &str) -> bool {
        let end = |asker: &BaseConsumer| asker.fetch_watermarks(topic, 0, PATIENCE).unwrap().1;
        // Asked for in this order, a commit in between makes no difference.
        let all = end(&self.all);
        end(&self.committed) < all
    }
}

/// Of a member of a group: an instance of Headwater that has ended is one for so long.
const SESSION: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);

/// A broker that does nothing else.
pub struct Cluster {
    brokers: String,
    pid: String,
}

impl Cluster {
    pub fn of_environment() -> Self {
        Self { brokers: environment("KAFKA_BROKERS"), pid: environment("BROKER_PID") }
    }

    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// CPU time of the broker until now.
    pub fn cpu(&self) -> Duration {
        cpu_of(&self.pid)
    }

    /// Makes a topic of one partition that stamps records when they come.
    pub fn create(&self, topic: &str) {
        let stamped = "message.timestamp.type=LogAppendTime";
        self.topics(&["--create", "--topic", topic, "--partitions", "1", "--config", stamped]);
    }

    /// Deletes all topics but this one and the broker's own.
    pub fn keep_only(&self, topic: &str) {
        self.topics(&["--delete", "--if-exists", "--topic", &format!("(?!__|{topic}$).*")]);
    }

    /// Deletes a group with the offsets it has committed, once the sessions of its members are over.
    pub fn forget_group(&self, group: &str) {
        let deadline = Instant::now() + SESSION * 2;
        let delete = || self.run("consumer-groups", &["--delete", "--group", group]).stdout;
        // The tool's exit code does not tell.
        while !String::from_utf8_lossy(&delete()).contains("was successful") {
            assert!(Instant::now() < deadline, "group {group} has members");
            std::thread::sleep(SESSION / 10);
        }
    }

    /// Where partition 0 of a topic ends, for readers of everything and for those of what is committed.
    pub fn ends(&self) -> Ends {
        let asker = |level: &str| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", &self.brokers).set("isolation.level", level);
            config.create::<BaseConsumer>().unwrap()
        };
        Ends { all: asker("read_uncommitted"), committed: asker("read_committed") }
    }

    fn topics(&self, arguments: &[&str]) {
        self.tool("topics", arguments);
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let output = self.run(name, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dev/kafka tool {name} {arguments:?}: {said}");
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("dev/kafka");
        let mut tool = Command::new(script);
        tool.args(["tool", name, "--bootstrap-server", &self.brokers]).args(arguments);
        tool.output().unwrap()
    }

    /// kcat at this broker, told what to do.
    pub fn kcat(&self, arguments: &[&str]) -> Command {
        let mut kcat = Command::new("kcat");
        kcat.args(["-b", &self.brokers, "-q", "-X", "log_level=3"]).args(arguments);
        kcat
    }

    /// Writes transactions to a new topic, with the user as key or without one. Returns the bytes of a value.
    pub fn load(&self, topic: &str, records: u64, users: u64, keyed: bool) -> u64 {
        self.create(topic);
        // Batches as the console producer of benches/kafka makes them.
        let mut arguments = vec!["-P", "-t", topic, "-X", "batch.size=500000", "-X", "linger.ms=100"];
        if keyed {
            arguments.extend(["-K", "\t"]);
        }
        let mut producer = self.kcat(&arguments).stdin(Stdio::piped()).spawn().expect("kcat can be run");
        let mut input = std::io::BufWriter::with_capacity(1 << 20, producer.stdin.take().unwrap());
        let mut bytes = 0;
        for n in 0..records {
            let tx = transaction(n, users);
            // The example's ids are texts.
            let line = line(&tx, format_args!("\"t-{n}\""));
            bytes += line.len() as u64;
            if keyed {
                write!(input, "{}\t", tx.user).unwrap();
            }
            writeln!(input, "{line}").unwrap();
        }
        drop(input.into_inner().unwrap());
        assert!(producer.wait().unwrap().success(), "the transactions could not be written");
        bytes / records
    }
}
