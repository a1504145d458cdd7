//! A broker, and what tests do with it as its operators and producers.

use std::future::Future;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use headwater::kafka::Kafka;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

pub const AT_MOST: Duration = Duration::from_secs(30);

/// A cluster, and how to stop it.
pub struct Broker {
    pub address: String,
    /// Port and data directory of one that is ours.
    pub own: Option<(u16, PathBuf)>,
    /// What it is started with, KEY=VALUE.
    settings: Vec<String>,
}

impl Broker {
    /// The one that tests share, each with topics of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("KAFKA_BROKERS") {
            Ok(address) => Self { address, own: None, settings: Vec::new() },
            Err(_) => Self::start(),
        })
    }

    /// One of the test's own, to be killed.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with settings of its own.
    pub fn start_with(settings: &[&str]) -> Self {
        Self::start_at(free_port(), settings.iter().map(|setting| (*setting).to_owned()).collect())
    }

    /// The same on a port.
    pub fn start_at(port: u16, settings: Vec<String>) -> Self {
        let data = tempfile::Builder::new().prefix("headwater-kafka-").tempdir().unwrap().keep();
        let broker = Self { address: format!("127.0.0.1:{port}"), own: Some((port, data)), settings };
        broker.reap();
        broker.dev("start");
        broker
    }

    /// Starts what ends the broker when this process has ended, in whatever way: then its standard input closes.
    fn reap(&self) {
        let (port, data) = self.own.as_ref().unwrap();
        let script = format!(
            "read -r _; '{}' kill --port {port} --data '{1}'; rm -rf '{1}'",
            script().display(),
            data.display()
        );
        let mut reaper = Command::new("sh");
        reaper.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its standard input stays open for as long as this process lives.
        Box::leak(Box::new(reaper.process_group(0).spawn().unwrap()));
    }

    /// Runs a command of `dev/kafka` on it.
    pub fn dev(&self, command: &str) {
        let mut dev = self.command(command);
        if command == "start" {
            dev.args(self.settings.iter().flat_map(|setting| ["--set", setting]));
        }
        let output = dev.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "dev/kafka {command} failed: {said}\nThese tests need a broker. `dev/setup test` installs what it takes, or \
             KAFKA_BROKERS=host:port names one that runs."
        );
    }

    /// A command of `dev/kafka` on it, to be run.
    pub fn command(&self, command: &str) -> Command {
        let (port, data) = self.own.as_ref().expect("a broker of our own");
        let mut dev = Command::new(script());
        dev.args([command, "--port", &port.to_string(), "--data"]).arg(data);
        dev
    }

    pub fn kafka(&self) -> Kafka {
        Kafka::at(&self.address)
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// A topic that no other test has.
    pub fn topic(&self, name: &str, partitions: i32) -> String {
        let name = self.unused(name);
        self.create(&name, partitions);
        name
    }

    /// The name of a topic that there is not.
    pub fn unused(&self, name: &str) -> String {
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let number = TOPICS.fetch_add(1, Ordering::Relaxed);
        format!("{name}-{}-{number}", std::process::id())
    }

    pub fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for result in wait(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap() {
            result.unwrap();
        }
    }

    /// A topic that takes no larger batches than this.
    pub fn small_topic(&self, name: &str, max_message_bytes: usize) -> String {
        let name = self.unused(name);
        let bytes = max_message_bytes.to_string();
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", &bytes);
        wait(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap().remove(0).unwrap();
        name
    }

    /// How many partitions a topic has; `None` where there is no such topic.
    pub fn partitions(&self, name: &str) -> Option<usize> {
        let metadata = self.admin().inner().fetch_metadata(None, AT_MOST).unwrap();
        let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
        Some(topic.partitions().len())
    }

    /// All committed records of a topic, at least so many.
    pub fn read(&self, topic: &str, at_least: usize) -> Vec<Read> {
        let mut config = self.config();
        config.set("group.id", "readers").set("auto.offset.reset", "error").set("enable.partition.eof", "true");
        let consumer: BaseConsumer = config.create().unwrap();
        let partitions = self.partitions(topic).unwrap();
        let mut assigned = TopicPartitionList::new();
        for partition in 0..partitions {
            assigned.add_partition_offset(topic, partition as i32, rdkafka::Offset::Beginning).unwrap();
        }
        consumer.assign(&assigned).unwrap();
        let (mut records, mut ended) = (Vec::new(), std::collections::BTreeSet::new());
        while ended.len() < partitions || records.len() < at_least {
            match consumer.poll(AT_MOST) {
                Some(Ok(message)) => records.push(Read::of(&message)),
                Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                Some(Err(error)) => panic!("{topic}: {error}"),
                None => panic!("{topic} has {} of {at_least} records", records.len()),
            }
        }
        records
    }

    /// Has Kafka's own producer write lines of a key, a tab and a value.
    pub fn console_producer(&self, topic: &str, lines: &[u8]) {
        self.tool(&["console-producer", "--topic", topic, "--reader-property", "parse.key=true"], lines);
    }

    /// Runs a tool of Kafka.
    pub fn tool(&self, arguments: &[&str], input: &[u8]) {
        let port = self.address.rsplit_once(':').unwrap().1;
        let mut tool = Command::new(script());
        tool.args(["tool", "--port", port]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut tool = tool.spawn().unwrap();
        tool.stdin.take().unwrap().write_all(input).unwrap();
        assert!(tool.wait().unwrap().success(), "{arguments:?}");
    }

    pub fn delete(&self, name: &str) {
        for result in wait(self.admin().delete_topics(&[name], &AdminOptions::new())).unwrap() {
            result.unwrap();
        }
    }

    /// Deletes and creates a topic.
    pub fn recreate(&self, name: &str, partitions: i32) {
        self.delete(name);
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        // A deletion takes a moment.
        let created = || wait(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap().remove(0).is_ok();
        assert!((0..100).any(|_| created() || pause()), "{name} cannot be created again");
    }

    pub fn add_partitions(&self, name: &str, partitions: usize) {
        let partitions = NewPartitions::new(name, partitions);
        for result in wait(self.admin().create_partitions([&partitions], &AdminOptions::new())).unwrap() {
            result.unwrap();
        }
    }

    /// Deletes what is before an offset, as retention does.
    pub fn delete_records(&self, name: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(name, partition, rdkafka::Offset::Offset(before)).unwrap();
        let deleted = wait(self.admin().delete_records(&offsets, &AdminOptions::new())).unwrap();
        deleted.find_partition(name, partition).unwrap().error().unwrap();
    }

    /// Waits until all before an offset can be read: the markers of a transaction are written after its commit.
    pub fn settle(&self, topic: &str, partition: i32, end: i64) {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let stable = || consumer.fetch_watermarks(topic, partition, AT_MOST).unwrap().1;
        assert!((0..500).any(|_| stable() >= end || pause()), "{topic}[{partition}] does not reach {end}");
    }

    pub fn producer(&self) -> Writer {
        Writer { producer: self.config().create().unwrap() }
    }

    pub fn producer_with(&self, key: &str, value: &str) -> Writer {
        Writer { producer: self.config().set(key, value).create().unwrap() }
    }

    pub fn transactional(&self, id: &str) -> Writer {
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(AT_MOST).unwrap();
        Writer { producer }
    }

    /// Writes numbers to a partition.
    pub fn write(&self, topic: &str, partition: i32, numbers: impl IntoIterator<Item = u64>) {
        let writer = self.producer();
        numbers.into_iter().for_each(|number| writer.send(topic, partition, number));
        writer.flush();
    }
}

/// A record as it was read.
#[derive(Debug, PartialEq)]
pub struct Read {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub millis: Option<i64>,
    pub partition: i32,
}

impl Read {
    fn of(message: &rdkafka::message::BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
            millis: message.timestamp().to_millis(),
            partition: message.partition(),
        }
    }

    /// The value as a number.
    pub fn number(&self) -> u64 {
        std::str::from_utf8(self.value.as_ref().unwrap()).unwrap().parse().unwrap()
    }
}

/// A producer.
pub struct Writer {
    pub producer: BaseProducer,
}

impl Writer {
    pub fn send(&self, topic: &str, partition: i32, number: u64) {
        let payload = number.to_string();
        self.send_record(BaseRecord::<(), str>::to(topic).partition(partition).payload(payload.as_str()));
    }

    pub fn send_record(&self, record: BaseRecord<'_, (), str>) {
        let mut waiting = Some(record);
        while let Some(record) = waiting.take() {
            if let Err((error, record)) = self.producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(rdkafka::error::RDKafkaErrorCode::QueueFull), "{error}");
                self.producer.poll(Duration::from_millis(10));
                waiting = Some(record);
            }
        }
    }

    /// A record with everything: key `a`, a header `trace`, a time in milliseconds. Without a value it is a tombstone.
    pub fn send_whole(&self, topic: &str, value: Option<&str>, trace: &str, millis: i64) {
        let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some(trace) });
        let record = BaseRecord::<str, str>::to(topic).partition(0).key("a").headers(headers).timestamp(millis);
        let record = if let Some(value) = value { record.payload(value) } else { record };
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    pub fn flush(&self) {
        self.producer.flush(AT_MOST).unwrap();
    }

    pub fn begin(&self) {
        self.producer.begin_transaction().unwrap();
    }

    pub fn commit(&self) {
        self.producer.commit_transaction(AT_MOST).unwrap();
    }

    pub fn abort(&self) {
        self.flush();
        self.producer.abort_transaction(AT_MOST).unwrap();
    }
}

/// A port below those that the system hands out to outgoing connections, one of which could take it meanwhile.
pub fn free_port() -> u16 {
    static PORTS: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() * 16;
    let next = || (20_000 + (first + PORTS.fetch_add(1, Ordering::Relaxed)) % 10_000) as u16;
    std::iter::repeat_with(next).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("dev/kafka")
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Waits a moment; false, to go on with.
#[expect(clippy::disallowed_methods, reason = "a broker is another process, which tells nobody when it is done")]
pub fn pause() -> bool {
    std::thread::sleep(Duration::from_millis(20));
    false
}
