//! Whether a broker is at rest: no transaction is open, and all that is written can be read.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::broker::AT_MOST;
use super::cluster::Cluster;
use super::job::{CHANGELOG_BYTES_MAX, JOB};
use super::proxy::wait_until;
use super::reader::said;

/// Markers are written a moment after a commit.
const A_MOMENT: Duration = Duration::from_secs(10);

/// # Errors
/// What is not at rest.
pub fn check(cluster: &Cluster) -> Result<(), String> {
    let client = |isolation: &str| -> BaseConsumer {
        cluster.broker.config().set("isolation.level", isolation).create().unwrap()
    };
    let (committed, all) = (client("read_committed"), client("read_uncommitted"));
    let metadata = all.fetch_metadata(None, AT_MOST).unwrap();
    // Kafka's own topics of commits have transactions of their own.
    for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
        for partition in topic.partitions() {
            let (name, id) = (topic.name(), partition.id());
            let ends = || {
                let end = |client: &BaseConsumer| client.fetch_watermarks(name, id, AT_MOST).unwrap().1;
                (end(&committed), end(&all))
            };
            if !wait_until(A_MOMENT, || ends().0 == ends().1) {
                let (stable, end) = ends();
                return Err(format!("{name}[{id}]: the last stable offset is {stable}, the end {end}"));
            }
        }
    }
    check_changelog(cluster)?;
    let list = said(&cluster.broker.command("tool").args(["transactions", "list"]).output().unwrap());
    let at_rest = ["Empty", "CompleteCommit", "CompleteAbort", "Dead"];
    let open: Vec<&str> =
        list.lines().skip(1).filter(|line| !at_rest.iter().any(|state| line.contains(state))).collect();
    if open.is_empty() { Ok(()) } else { Err(format!("transactions are open:\n{}", open.join("\n"))) }
}

/// That the changelog is within its bound.
fn check_changelog(cluster: &Cluster) -> Result<(), String> {
    let topic = format!("{JOB}.state");
    let mut config = cluster.broker.config();
    config.set("group.id", "none").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let partitions = cluster.broker.partitions(&topic).unwrap_or_default();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        all.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut read, mut bytes) = (0, 0);
    let end = Instant::now() + AT_MOST;
    while read < partitions {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => bytes += record.payload_len(),
            Some(Err(KafkaError::PartitionEOF(_))) => read += 1,
            Some(Err(error)) => return Err(format!("{topic}: {error}")),
            None if Instant::now() > end => return Err(format!("{topic} cannot be read within {AT_MOST:?}")),
            None => {}
        }
    }
    println!("the changelog has {bytes} bytes");
    if bytes <= CHANGELOG_BYTES_MAX {
        return Ok(());
    }
    Err(format!("the changelog has {bytes} bytes, at most {CHANGELOG_BYTES_MAX} are wanted"))
}

/// What the broker knows of the job: members, offsets and transactions.
pub fn describe(cluster: &Cluster) -> String {
    let group = ["consumer-groups", "--describe", "--group", JOB];
    let questions = [
        [&group[..], &["--members", "--verbose"]].concat(),
        group.to_vec(),
        vec!["transactions", "list"],
        // Open for more than a minute, as it sees it.
        vec!["transactions", "find-hanging", "--broker-id", "1", "--max-transaction-timeout", "1"],
    ];
    let answers = questions.iter().map(|question| {
        let output = cluster.broker.command("tool").args(question).output().unwrap();
        let [said, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        format!("{}\n{said}{errors}\n", question.join(" "))
    });
    let stuck = check(cluster).err().unwrap_or_default();
    answers.chain([stuck]).collect()
}
