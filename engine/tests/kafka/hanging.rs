//! Transactions that the brokers have lost sight of: their coordinator takes them for ended, and partitions have no marker of that
//! (KAFKA-20734). The same is made here by writing into a transaction that nobody began, to brokers that do not verify.

use std::fs;

use headwater::prelude::*;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::broker::{AT_MOST, Broker};
use super::commits::Counting;
use super::raw::{Raw, UNVERIFIED};
use super::running::timed;

/// The transactional id of the instance that has a directory.
pub fn id_of(counting: &Counting, directory: &str) -> String {
    let instance = fs::read_to_string(counting.state(directory).join("instance")).unwrap();
    format!("{}/{instance}", counting.name)
}

/// Has the broker verify transactions from now on, as it does unless it is told otherwise.
fn verify(broker: &Broker) {
    let of = ["configs", "--entity-type", "brokers", "--entity-name", "1", "--alter", "--add-config"];
    broker.tool(&[&of[..], &["transaction.partition.verification.enable=true"]].concat(), b"");
}

/// Where a partition ends for readers of what is committed.
fn stable(broker: &Broker, topic: &str, partition: i32) -> i64 {
    let reader: BaseConsumer = broker.config().set("isolation.level", "read_committed").create().unwrap();
    reader.fetch_watermarks(topic, partition, AT_MOST).unwrap().1
}

#[test]
fn what_hangs_and_is_not_committed_is_aborted() {
    let broker = Broker::start_with(&[UNVERIFIED]);
    let counting = Counting::begun_as_static(&broker, "hanging");
    let state = counting.state_topic();
    let mut raw = Raw::connect(&broker);
    // That of the instance itself, and of one that is gone.
    raw.hang(&id_of(&counting, "a"), &state, 4, &[b"Bhung", b"Bhung"]);
    raw.hang(&format!("{}/ghost", counting.name), &state, 5, &[b"Bhung"]);
    verify(&broker);
    let at = stable(&broker, &state, 4);
    let (instance, took) = timed(|| counting.start("a", counting.input.clone()).wait_for(1100));
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(instance.said.text().contains("lost sight of"), "{}", instance.said.text());
    instance.stop().unwrap();
    assert!(stable(&broker, &state, 4) > at + 2);
    counting.assert_exact(1100);
}

/// The next commit of a job that has stopped, as its changelog would have it in one shard.
pub fn next_commit(broker: &Broker, counting: &Counting, owner: &str) -> (u64, Value) {
    let records = broker.read(&counting.state_topic(), 1);
    let markers: Vec<Value> =
        records.iter().filter_map(|record| serde_json::from_slice(record.value.as_ref()?).ok()).collect();
    let epoch = |marker: &Value| marker["token"]["epoch"].as_u64().unwrap();
    let last = markers.iter().filter(|marker| marker["record"].is_object()).max_by_key(|of| epoch(of)).unwrap();
    let empty = markers.iter().find(|marker| marker["blocks"] == 0).unwrap();
    let next = epoch(last) + 1;
    let mut marker = last.clone();
    (marker["blocks"], marker["digest"], marker["shards"]) = (0.into(), empty["digest"].clone(), vec![4].into());
    marker["token"] = json!({ "epoch": next, "attempt": "1", "owner": owner });
    (next, marker)
}

/// Commits an offset of the changelog in the name of nobody, which a group without members lets anybody do.
pub fn commit_offset(broker: &Broker, counting: &Counting, offset: i64, token: &Value) {
    let text = format!("headwater 1 {} 1 {}", token["epoch"], token["owner"].as_str().unwrap());
    broker.set_offset_with(&counting.name, (&counting.state_topic(), 4, offset), &text);
}

/// Runs a job of which a commit hangs that the group has.
fn keeps(broker: &Broker, counting: &Counting, next: u64) {
    let state = counting.state_topic();
    let (instance, took) = timed(|| counting.start("a", counting.input.clone()).wait_for(1100));
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!(instance.said.text().contains("lost sight of"), "{}", instance.said.text());
    instance.stop().unwrap();
    let records = broker.read(&state, 1);
    let epochs: Vec<u64> = records
        .iter()
        .filter(|record| record.partition == 4)
        .filter_map(|record| serde_json::from_slice::<Value>(record.value.as_ref()?).ok())
        .map(|marker| marker["token"]["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs.iter().filter(|epoch| **epoch == next).count(), 1, "{epochs:?}");
    assert!(epochs.is_sorted_by(|one, other| one < other), "{epochs:?}");
    counting.assert_exact(1100);
    // Tables that are made anew from the log have it, too.
    broker.write(counting.input_name(), 0, 1100..1200);
    counting.start("b", counting.input.clone()).wait_for(1200).stop().unwrap();
    counting.assert_exact(1200);
}

#[test]
fn what_hangs_and_is_committed_is_kept() {
    let broker = Broker::start_with(&[UNVERIFIED]);
    for (name, is_own) in [("kept", false), ("kept-of-its-own", true)] {
        let counting = Counting::begun(&broker, name);
        let id = if is_own { id_of(&counting, "a") } else { format!("{}/ghost", counting.name) };
        let (next, marker) = next_commit(&broker, &counting, &id);
        let end = broker.watermarks(&counting.state_topic())[4].1;
        let mut raw = Raw::connect(&broker);
        raw.hang(&id, &counting.state_topic(), 4, &[marker.to_string().as_bytes()]);
        commit_offset(&broker, &counting, end + 1, &marker["token"]);
        if is_own {
            verify(&broker);
        }
        keeps(&broker, &counting, next);
    }
}

#[test]
fn a_copy_that_was_not_the_last_step_is_taken() {
    let broker = Broker::start_with(&[UNVERIFIED]);
    let counting = Counting::begun(&broker, "copied");
    let (id, state) = (id_of(&counting, "a"), counting.state_topic());
    let (next, marker) = next_commit(&broker, &counting, &id);
    let end = broker.watermarks(&state)[4].1;
    let text = marker.to_string();
    Raw::connect(&broker).hang(&id, &state, 4, &[text.as_bytes()]);
    let copies = format!("{}//copies", counting.name);
    let writer = broker.transactional(&copies);
    writer.begin();
    let record = BaseRecord::to(&state).partition(4).key(copies.as_bytes()).payload(text.as_bytes());
    writer.producer.send(record).map_err(|(error, _)| error).unwrap();
    writer.commit();
    commit_offset(&broker, &counting, end + 2, &marker["token"]);
    verify(&broker);
    keeps(&broker, &counting, next);
}
