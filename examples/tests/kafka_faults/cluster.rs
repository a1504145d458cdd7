//! A broker with two doors: one for the test, one behind a proxy for what is tested.

use std::net::SocketAddr;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::{Pid, Signal, kill_process};

use super::broker::{AT_MOST, Broker, free_port};
use super::proxy::Proxy;

pub struct Cluster {
    /// As the test reaches it, whatever the proxy does.
    pub broker: Broker,
    pub proxy: Proxy,
}

impl Cluster {
    pub fn start() -> Self {
        let [port, behind, controller] = [free_port(), free_port(), free_port()];
        let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], behind)));
        // Whoever comes by a door is sent back to it for all that follows.
        let settings = vec![
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}"
            ),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{}", proxy.port),
            format!("controller.quorum.voters=1@127.0.0.1:{controller}"),
            // Where offsets expire soon, the protocol's own record of them is needed.
            "offsets.retention.minutes=1".to_owned(),
        ];
        Self { broker: Broker::start_at(port, settings), proxy }
    }

    /// The address of the proxied door.
    pub fn proxied(&self) -> String {
        format!("127.0.0.1:{}", self.proxy.port)
    }

    /// kill -9 without delay.
    pub fn kill_broker(&self) {
        let (_, data) = self.broker.own.as_ref().unwrap();
        let pid = std::fs::read_to_string(data.join("pid")).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }

    /// A client by the proxied door.
    pub fn client(&self, id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.proxied()).set("client.id", id);
        config
    }

    /// How far a partition can be read: all of it, or what is committed.
    pub fn end(&self, topic: &str, partition: i32, isolation: &str) -> i64 {
        let consumer: BaseConsumer = self.broker.config().set("isolation.level", isolation).create().unwrap();
        consumer.fetch_watermarks(topic, partition, AT_MOST).unwrap().1
    }

    /// The values that a reader of committed records has got within a time.
    pub fn committed(&self, topic: &str, wanted: usize, limit: Duration) -> Vec<String> {
        use rdkafka::Message;
        let mut config = self.broker.config();
        config.set("isolation.level", "read_committed").set("group.id", "none").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut from = rdkafka::TopicPartitionList::new();
        from.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        let mut values = Vec::new();
        let end = std::time::Instant::now() + limit;
        while values.len() < wanted && std::time::Instant::now() < end {
            if let Some(record) = consumer.poll(Duration::from_millis(50)) {
                let record = record.unwrap();
                values.push(String::from_utf8_lossy(record.payload().unwrap_or_default()).into_owned());
            }
        }
        values
    }
}
