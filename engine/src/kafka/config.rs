//! Which cluster, and the options of librdkafka.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use super::errors::refused_options;
use super::input::KafkaTopic;
use super::source::PATIENCE;
use crate::{Error, Result};

/// Options that exactly-once reading needs as they are, and why another value is refused.
const FIXED: &[(&str, &str, &str)] = &[
    ("enable.auto.commit", "false", "offsets commit with the state and the outputs"),
    ("enable.auto.offset.store", "false", "offsets commit with the state and the outputs"),
    (
        "auto.offset.reset",
        "error",
        "a position that is gone stops the job; where a first start begins is said with --from",
    ),
    ("isolation.level", "read_committed", "records of aborted transactions would be counted"),
    ("enable.partition.eof", "true", "the end of a partition tells that its input is idle"),
];

/// Options that are given in another way.
const ELSEWHERE: &[(&str, &str)] =
    &[("bootstrap.servers", "--brokers"), ("statistics.interval.ms", "nothing: the engine needs it")];

/// Options that have two names, and the one they are kept by.
const ALIASES: &[(&str, &str)] = &[
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("metadata.broker.list", "bootstrap.servers"),
];

/// Options that hold secrets, which are never shown.
const SECRET: &[&str] = &["password", "secret", "ssl.key.pem", "oauthbearer", "jaas"];

/// A Kafka cluster: addresses of some of its brokers, and how clients connect to them.
///
/// Every option of [librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md) passes through
/// [`set`](Self::set), but those that exactly-once reading needs as they are.
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
        let key = key.into();
        let kept = ALIASES.iter().find(|(alias, _)| *alias == key).map(|(_, kept)| (*kept).to_owned());
        self.options.insert(kept.unwrap_or(key), value.into());
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

    /// The addresses, as they were given.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Checks the options without a connection.
    ///
    /// # Errors
    /// `Config` for an option that is unknown, has a wrong value, or would break exactly-once reading.
    pub fn check(&self) -> Result<()> {
        self.client_config(&[]).map(drop)
    }

    /// The value of an option that is a number.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        self.options.get(key)?.parse().ok()
    }

    /// Options for a client; `defaults` hold where the user has said nothing.
    pub(super) fn client_config(&self, defaults: &[(&str, String)]) -> Result<ClientConfig> {
        self.check_brokers()?;
        self.check_fixed()?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "headwater");
        for (key, value) in defaults {
            config.set(*key, value);
        }
        for (key, value) in &self.options {
            config.set(key, value);
        }
        for (key, value, _) in FIXED {
            config.set(*key, *value);
        }
        let is_debugged = self.options.contains_key("debug");
        config.set_log_level(if is_debugged { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        // Each is checked by itself.
        config.create_native_config().map_err(|error| refused_options(&error))?;
        Ok(config)
    }

    /// Options for a producer: those of the user that concern one, over `defaults`.
    pub(super) fn producer_config(&self, defaults: &[(&str, String)]) -> Result<ClientConfig> {
        self.plain_config(defaults)
    }

    /// Options for a client that asks questions.
    pub(super) fn admin_config(&self) -> Result<ClientConfig> {
        self.plain_config(&[])
    }

    fn plain_config(&self, defaults: &[(&str, String)]) -> Result<ClientConfig> {
        self.check_brokers()?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "headwater");
        for (key, value) in defaults {
            config.set(*key, value);
        }
        const CONNECTION: &[&str] = &["security.", "sasl.", "ssl.", "socket.", "broker.", "debug", "reconnect."];
        for (key, value) in self.options.iter().filter(|(key, _)| CONNECTION.iter().any(|of| key.starts_with(of))) {
            config.set(key, value);
        }
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

    fn check_fixed(&self) -> Result<()> {
        for (key, needed, why) in FIXED {
            if let Some(value) = self.options.get(*key).filter(|value| value != needed) {
                return Err(Error::config(format!(
                    "Kafka option {key}={value} would break exactly-once reading: {why}; leave it out"
                )));
            }
        }
        for (key, instead) in ELSEWHERE {
            if self.options.contains_key(*key) {
                return Err(Error::config(format!("Kafka option {key} is not set in this way; use {instead}")));
            }
        }
        Ok(())
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
    }

    #[test]
    fn an_option_is_the_same_by_both_names() {
        let kafka = Kafka::at("a:1").set("max.partition.fetch.bytes", "70000").set("sasl.mechanisms", "PLAIN");
        let config = kafka.client_config(&[("fetch.message.max.bytes", "80000".to_owned())]).unwrap();
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
