//! Options of librdkafka: which of them a client of which kind gets, and which nobody may change.

use std::collections::BTreeMap;

use crate::{Error, Result};

/// What a client is for. One gets no options that only the other takes: librdkafka would warn of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Consumer,
    Producer,
    /// Asks brokers, and creates topics.
    Admin,
}

impl Role {
    /// Whether it takes an option, as librdkafka's CONFIGURATION.md says.
    pub fn takes(self, key: &str) -> bool {
        (self == Self::Consumer || !CONSUMER_ONLY.contains(&key))
            && (self == Self::Producer || !PRODUCER_ONLY.contains(&key))
    }

    /// The options that it has as they are.
    pub fn fixed(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        FIXED.iter().filter(move |fixed| fixed.role == self).map(|fixed| (fixed.key, fixed.value))
    }
}

/// An option that exactly-once reading or writing needs as it is, and why another value is refused.
struct Fixed {
    role: Role,
    key: &'static str,
    value: &'static str,
    why: &'static str,
}

const fn fixed(role: Role, key: &'static str, value: &'static str, why: &'static str) -> Fixed {
    Fixed { role, key, value, why }
}

const FIXED: &[Fixed] = &[
    fixed(Role::Consumer, "enable.auto.commit", "false", "offsets commit with the state and the outputs"),
    fixed(Role::Consumer, "enable.auto.offset.store", "false", "offsets commit with the state and the outputs"),
    fixed(
        Role::Consumer,
        "auto.offset.reset",
        "error",
        "a position that is gone stops the job; where a first start begins is said with --from",
    ),
    fixed(Role::Consumer, "isolation.level", "read_committed", "records of aborted transactions would be counted"),
    fixed(Role::Consumer, "enable.partition.eof", "true", "the end of a partition tells that its input is idle"),
    fixed(Role::Producer, "enable.idempotence", "true", "what is sent again after a lost answer would be there twice"),
    fixed(Role::Producer, "acks", "all", "what only one broker has is lost with it"),
    fixed(Role::Producer, "queuing.strategy", "fifo", "records of a key would change their order"),
    fixed(Role::Producer, "delivery.report.only.error", "false", "an epoch commits when all its records are delivered"),
    fixed(
        Role::Producer,
        "allow.auto.create.topics",
        "false",
        "a missing topic is created as the job says, not as a broker likes",
    ),
    fixed(Role::Admin, "allow.auto.create.topics", "false", "to ask for a topic would create it"),
];

/// Options of a producer that may be changed within these bounds, and why.
const BOUNDED: &[(&str, u64, u64, &str)] = &[
    ("max.in.flight.requests.per.connection", 1, 5, "brokers tell repeated records of the last five requests only"),
    ("retries", 1, u64::MAX, "a lost answer would be a failure"),
];

/// Options that are given in another way.
const ELSEWHERE: &[(&str, &str)] = &[
    ("bootstrap.servers", "use --brokers"),
    ("statistics.interval.ms", "the engine needs its own"),
    ("transactional.id", "the engine gives each instance of a job its own"),
    ("client.id", "it is the instance's name; use --instance"),
    ("group.id", "it is the job's name"),
    ("group.instance.id", "it is the instance's name; use --instance"),
];

/// Options that have two names, and the one they are kept by.
const ALIASES: &[(&str, &str)] = &[
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("request.required.acks", "acks"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.send.max.retries", "retries"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
];

const CONSUMER_ONLY: &[&str] = &[
    "group.id",
    "group.instance.id",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "group.protocol.type",
    "group.protocol",
    "group.remote.assignor",
    "coordinator.query.interval.ms",
    "max.poll.interval.ms",
    "enable.auto.commit",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "enable.auto.offset.store",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "fetch.wait.max.ms",
    "fetch.queue.backoff.ms",
    "fetch.message.max.bytes",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.error.backoff.ms",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "isolation.level",
    "enable.partition.eof",
    "check.crcs",
    "auto.offset.reset",
    "consume.callback.max.messages",
];

const PRODUCER_ONLY: &[&str] = &[
    "transaction.timeout.ms",
    "enable.idempotence",
    "enable.gapless.guarantee",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "linger.ms",
    "retries",
    "queue.buffering.backpressure.threshold",
    "compression.type",
    "compression.level",
    "batch.num.messages",
    "batch.size",
    "delivery.report.only.error",
    "sticky.partitioning.linger.ms",
    "acks",
    "request.timeout.ms",
    "message.timeout.ms",
    "queuing.strategy",
    "produce.offset.report",
    "partitioner",
];

/// The name that an option is kept by.
pub(super) fn kept(key: String) -> String {
    ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, kept)| (*kept).to_owned())
}

/// Refuses what would break the guarantees of a client of this kind.
///
/// # Errors
/// `Config` with the option and the reason.
pub(super) fn check(options: &BTreeMap<String, String>, role: Role) -> Result<()> {
    let doing = if role == Role::Consumer { "exactly-once reading" } else { "what writing guarantees" };
    let refused = |key: &str, value: &str, why: &str| {
        Err(Error::config(format!("Kafka option {key}={value} would break {doing}: {why}; leave it out")))
    };
    for fixed in FIXED.iter().filter(|fixed| fixed.role == role) {
        let same = |value: &str| value == fixed.value || fixed.key == "acks" && value == "-1";
        if let Some(value) = options.get(fixed.key).filter(|value| !same(value)) {
            return refused(fixed.key, value, fixed.why);
        }
    }
    for (key, least, most, why) in BOUNDED.iter().filter(|_| role == Role::Producer) {
        // What is no number is refused by librdkafka.
        let number = options.get(*key).and_then(|value| value.parse::<u64>().ok());
        if let Some(number) = number.filter(|number| !(*least..=*most).contains(number)) {
            return refused(key, &number.to_string(), why);
        }
    }
    for (key, instead) in ELSEWHERE {
        if options.contains_key(*key) {
            return Err(Error::config(format!("Kafka option {key} is not set in this way: {instead}; leave it out")));
        }
    }
    Ok(())
}
