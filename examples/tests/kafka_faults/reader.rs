//! What is in a topic, as a client that is not ours reads it.

use std::path::Path;
use std::process::Output;

use super::broker::Broker;
use super::chain::{Given, Place};
use super::job::INPUTS;

/// The inputs of the job.
pub fn inputs(broker: &Broker, directory: &Path) -> Vec<(Place, Given)> {
    let all = INPUTS.iter().flat_map(|(topic, _)| read(broker, topic, directory));
    all.map(|(place, value)| (place, serde_json::from_str(&value).unwrap())).collect()
}

/// The committed records of a topic, read by Kafka's own consumer. Those of a partition are in their order. What was read
/// stays in a file of the topic's name.
pub fn read(broker: &Broker, topic: &str, directory: &Path) -> Vec<(Place, String)> {
    let mut tool = broker.command("tool");
    tool.args(["console-consumer", "--topic", topic, "--from-beginning", "--isolation-level", "read_committed"]);
    // It ends when nothing has come for a while.
    tool.args(["--timeout-ms", "6000"]);
    for shown in ["print.timestamp=true", "print.partition=true", "print.offset=true"] {
        tool.args(["--formatter-property", shown]);
    }
    let output = tool.output().unwrap();
    let text = said(&output);
    std::fs::write(directory.join(format!("{topic}.txt")), &text).unwrap();
    let records = text.lines().map(|line| {
        let record = record(topic, line);
        record.unwrap_or_else(|| panic!("not a record of {topic}: {line}"))
    });
    records.collect()
}

/// What a tool has printed.
pub fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A line has a time, `Partition:1`, `Offset:7` and the value, with tabs between them.
fn record(topic: &str, line: &str) -> Option<(Place, String)> {
    let (_, line) = line.split_once('\t')?;
    let (partition, rest) = line.strip_prefix("Partition:")?.split_once('\t')?;
    let (offset, value) = rest.strip_prefix("Offset:")?.split_once('\t')?;
    let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
    Some((Place { topic: topic.to_owned(), partition, offset }, value.to_owned()))
}
