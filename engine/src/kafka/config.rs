//! Which cluster, and the options of librdkafka.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::errors::refused_options;
use super::input::KafkaTopic;
use super::options::{self, Role};
use super::output::KafkaOutput;
use super::source::PATIENCE;
use crate::{Error, Result};

/// Options that hold secrets, which are never shown.
const SECRET: &[&str] = &["password", "secret", "ssl.key.pem", "oauthbearer", "jaas"];

/// A Kafka cluster: addresses of some of its brokers, and how clients connect to them.
///
/// Every option of [librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md) passes through
/// [`set`](Self::set), but those that exactly-once reading and writing need as they are. An option that only readers or
/// only writers take goes to those.
///
/// ```
/// use headwater::kafka::{Sasl, Start, Tls};
/// use headwater::prelude::*;
///
/// let kafka = Kafka::at("broker-1:9093,broker-2:9093")
///     .tls(Tls::default().ca("/etc/ssl/kafka-ca.pem"))
///     .sasl(Sasl::scram_sha_512("reader", "secret"))
///     .set("fetch.min.bytes", "1024");
/// kafka.check()?;
///
/// let job = Job::new("orders");
/// job.bind_input("orders", Input::Kafka(kafka.topic("orders").from(Start::Latest)));
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct Kafka {
    brokers: String,
    options: BTreeMap<String, String>,
    pub(super) patience: Duration,
}

impl Kafka {
    /// The cluster of these brokers: `host:port`, or several with commas between them. One that answers is enough.
    pub fn at(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), options: BTreeMap::new(), patience: PATIENCE }
    }

    /// Sets an option of librdkafka, such as `fetch.wait.max.ms`. What is wrong with it is said by
    /// [`check`](Self::check), and when the job starts.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.insert(options::kept(key.into()), value.into());
        self
    }

    /// Connects by TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        let protocol = if self.options.contains_key("sasl.mechanism") { "SASL_SSL" } else { "SSL" };
        self.options.extend(tls.options.into_iter().map(|(key, value)| (key.to_owned(), value)));
        self.set("security.protocol", protocol)
    }

    /// Authenticates by SASL; in the clear, unless there is [`tls`](Self::tls), too.
    #[must_use]
    pub fn sasl(self, sasl: Sasl) -> Self {
        let is_tls = self.options.get("security.protocol").is_some_and(|protocol| protocol.ends_with("SSL"));
        self.set("security.protocol", if is_tls { "SASL_SSL" } else { "SASL_PLAINTEXT" })
            .set("sasl.mechanism", sasl.mechanism)
            .set("sasl.username", sasl.username)
            .set("sasl.password", sasl.password)
    }

    /// Waits so long for a broker that is away, 60 s unless said, before the job goes back to its last commit and tries
    /// anew, a few times.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A topic of the cluster, to be read from its beginning.
    pub fn topic(&self, name: impl Into<String>) -> KafkaTopic {
        KafkaTopic::new(self.clone(), name.into())
    }

    /// A topic of the cluster, to be written.
    pub fn output(&self, name: impl Into<String>) -> KafkaOutput {
        KafkaOutput::new(self.clone(), name.into())
    }

    /// The addresses, as they were given.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Whether one of the addresses is the same.
    pub(crate) fn shares_broker(&self, other: &Self) -> bool {
        let mut ours = self.brokers.split(',').map(str::trim);
        ours.any(|broker| other.brokers.split(',').any(|other| other.trim() == broker))
    }

    /// Checks the options without a connection.
    ///
    /// # Errors
    /// `Config` for an option that is unknown, has a wrong value, or would break exactly-once reading or writing.
    pub fn check(&self) -> Result<()> {
        self.client_config(Role::Consumer, &[])?;
        self.client_config(Role::Producer, &[]).map(drop)
    }

    /// The value of an option that is a number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.options.get(key)?.parse().ok()
    }

    /// Options for a client of this kind; `defaults` hold where the user has said nothing.
    pub(super) fn client_config(&self, role: Role, defaults: &[(&str, String)]) -> Result<ClientConfig> {
        self.check_brokers()?;
        options::check(&self.options, role)?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "headwater");
        for (key, value) in defaults {
            config.set(*key, value);
        }
        for (key, value) in self.options.iter().filter(|(key, _)| role.takes(key)) {
            config.set(key, value);
        }
        for (key, value) in role.fixed() {
            config.set(key, value);
        }
        let is_debugged = self.options.contains_key("debug");
        config.set_log_level(if is_debugged { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        // Each is checked by itself.
        config.create_native_config().map_err(|error| refused_options(&error))?;
        Ok(config)
    }

    fn check_brokers(&self) -> Result<()> {
        let is_address = |address: &str| {
            let address = address.rsplit_once("://").map_or(address, |(_, rest)| rest);
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        match self.brokers.split(',').map(str::trim).find(|address| !is_address(address)) {
            Some(address) => Err(Error::config(format!(
                "`{address}` is no address of a Kafka broker; give HOST:PORT, such as localhost:9092"
            ))),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_secret = |key: &str| SECRET.iter().any(|word| key.contains(word));
        let shown = self.options.iter().map(|(key, value)| (key, if is_secret(key) { "…" } else { value.as_str() }));
        let shown: BTreeMap<_, _> = shown.collect();
        f.debug_struct("Kafka").field("brokers", &self.brokers).field("options", &shown).finish()
    }
}

/// How TLS connections are made: by default, brokers are checked against the certificates of the system.
#[derive(Clone, Default)]
pub struct Tls {
    options: BTreeMap<&'static str, String>,
}

impl Tls {
    /// Trusts the certificates of this PEM file instead of the system's.
    #[must_use]
    pub fn ca(mut self, file: impl Into<String>) -> Self {
        self.options.insert("ssl.ca.location", file.into());
        self
    }

    /// Shows brokers this certificate, with its key: both PEM files.
    #[must_use]
    pub fn certificate(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        self.options.insert("ssl.certificate.location", certificate.into());
        self.options.insert("ssl.key.location", key.into());
        self
    }

    /// The password of the key.
    #[must_use]
    pub fn key_password(mut self, password: impl Into<String>) -> Self {
        self.options.insert("ssl.key.password", password.into());
        self
    }
}

/// How a client authenticates by SASL.
#[derive(Clone)]
pub struct Sasl {
    mechanism: &'static str,
    username: String,
    password: String,
}

impl Sasl {
    /// By name and password, which the broker gets to see: with TLS only.
    pub fn plain(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { mechanism: "PLAIN", username: username.into(), password: password.into() }
    }

    /// By SCRAM-SHA-256.
    pub fn scram_sha_256(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { mechanism: "SCRAM-SHA-256", ..Self::plain(username, password) }
    }

    /// By SCRAM-SHA-512.
    pub fn scram_sha_512(username: impl Into<String>, password: impl Into<String>) -> Self {
        Self { mechanism: "SCRAM-SHA-512", ..Self::plain(username, password) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn refusal(kafka: &Kafka) -> String {
        let error = kafka.check().expect_err("it should be refused");
        assert_eq!(error.kind(), Kind::Config);
        error.to_string()
    }

    #[test]
    fn options_pass_through() {
        Kafka::at("a:1,[::1]:2").set("fetch.min.bytes", "10").set("isolation.level", "read_committed").check().unwrap();
    }

    #[test]
    fn a_wrong_option_is_named_with_the_remedy() {
        let text = refusal(&Kafka::at("a:1").set("fetch.min.byte", "10"));
        assert!(text.contains("option fetch.min.byte is refused") && text.contains("CONFIGURATION.md"), "{text}");
        let text = refusal(&Kafka::at("a:1").set("fetch.min.bytes", "many"));
        assert!(text.contains("option fetch.min.bytes is refused"), "{text}");
        let text = refusal(&Kafka::at("a:1").set("bootstrap.servers", "b:1"));
        assert!(text.contains("use --brokers"), "{text}");
        for address in ["", "localhost", ":9092", "a:0", "a:1,b"] {
            assert!(refusal(&Kafka::at(address)).contains("HOST:PORT"), "{address}");
        }
    }

    #[test]
    fn an_option_that_would_break_exactness_is_refused() {
        for (key, value) in [
            ("enable.auto.commit", "true"),
            ("isolation.level", "read_uncommitted"),
            ("auto.offset.reset", "latest"),
            ("enable.auto.offset.store", "true"),
        ] {
            let text = refusal(&Kafka::at("a:1").set(key, value));
            assert!(text.contains(key) && text.contains("exactly-once"), "{text}");
        }
        for (key, value) in [
            ("enable.idempotence", "false"),
            ("acks", "1"),
            ("request.required.acks", "1"),
            ("max.in.flight.requests.per.connection", "6"),
            ("retries", "0"),
            ("queuing.strategy", "lifo"),
            ("allow.auto.create.topics", "true"),
        ] {
            let text = refusal(&Kafka::at("a:1").set(key, value));
            assert!(text.contains("what writing guarantees: ") && text.contains("; leave it out"), "{text}");
        }
        assert!(refusal(&Kafka::at("a:1").set("transactional.id", "me")).contains("gives each instance"));
        Kafka::at("a:1").set("acks", "-1").set("max.in.flight", "5").check().unwrap();
    }

    #[test]
    fn a_client_gets_no_options_of_the_other_kind() {
        let kafka =
            Kafka::at("a:1").set("fetch.min.bytes", "2").set("linger.ms", "9").set("socket.keepalive.enable", "true");
        let config = |role| kafka.client_config(role, &[]).unwrap();
        let has = |role, key| config(role).get(key).is_some();
        let keys = ["fetch.min.bytes", "isolation.level", "linger.ms", "enable.idempotence", "socket.keepalive.enable"];
        assert_eq!(keys.map(|key| has(Role::Consumer, key)), [true, true, false, false, true]);
        assert_eq!(keys.map(|key| has(Role::Producer, key)), [false, false, true, true, true]);
        assert_eq!(keys.map(|key| has(Role::Admin, key)), [false, false, false, false, true]);
    }

    #[test]
    fn an_option_is_the_same_by_both_names() {
        let kafka = Kafka::at("a:1").set("max.partition.fetch.bytes", "70000").set("sasl.mechanisms", "PLAIN");
        let config = kafka.client_config(Role::Consumer, &[("fetch.message.max.bytes", "80000".to_owned())]).unwrap();
        assert_eq!(config.get("fetch.message.max.bytes"), Some("70000"));
        assert_eq!(config.get("max.partition.fetch.bytes"), None);
        assert!(format!("{:?}", kafka.tls(Tls::default())).contains("SASL_SSL"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let tls = Tls::default().key_password("hush");
        let kafka = Kafka::at("a:1").sasl(Sasl::plain("me", "hush")).tls(tls);
        let text = format!("{kafka:?}");
        assert!(text.contains("SASL_SSL") && text.contains("me") && !text.contains("hush"), "{text}");
    }
}
