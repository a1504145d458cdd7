//! Transactions that the brokers have lost sight of: their coordinator takes them for ended, and partitions have no marker of that
//! (KAFKA-20734). The same is made here by writing into a transaction that nobody began, to brokers that do not verify.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use headwater::prelude::*;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::BaseRecord;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::broker::{AT_MOST, Broker};
use super::commits::{Counting, Instance, counting as job};
use super::running::timed;

const UNVERIFIED: &str = "transaction.partition.verification.enable=false";

/// A connection that speaks Kafka's protocol as it likes.
struct Raw(TcpStream);

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A number as records have it.
fn varint(number: usize) -> Vec<u8> {
    let (mut rest, mut bytes) = (number << 1, Vec::new());
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A transactional batch of records with one key.
fn batch((producer, epoch): (i64, i16), key: &str, values: &[&[u8]]) -> Vec<u8> {
    let count = values.len() as i32;
    let mut body = Vec::new();
    body.extend(0x10i16.to_be_bytes());
    body.extend((count - 1).to_be_bytes());
    body.extend([0; 16]);
    body.extend(producer.to_be_bytes());
    body.extend(epoch.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    body.extend(count.to_be_bytes());
    for (at, value) in values.iter().enumerate() {
        let parts =
            [vec![0, 0], varint(at), varint(key.len()), key.into(), varint(value.len()), value.to_vec(), vec![0]];
        let record = parts.concat();
        body.extend(varint(record.len()));
        body.extend(record);
    }
    let length = (body.len() + 9) as i32;
    [&[0; 8][..], &length.to_be_bytes(), &[0, 0, 0, 0, 2], &crc32c(&body).to_be_bytes(), &body].concat()
}

impl Raw {
    fn connect(broker: &Broker) -> Self {
        Self(TcpStream::connect(&broker.address).unwrap())
    }

    fn ask(&mut self, api: i16, version: i16, body: &[u8]) -> Vec<u8> {
        let mut request = [api.to_be_bytes(), version.to_be_bytes(), [0, 0], [0, 1], [0xff, 0xff]].concat();
        request.extend(body);
        self.0.write_all(&(request.len() as i32).to_be_bytes()).unwrap();
        self.0.write_all(&request).unwrap();
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).unwrap();
        answer.split_off(4)
    }

    /// The producer id and the epoch of a transactional id, which it takes over.
    fn take(&mut self, id: &str) -> (i64, i16) {
        let answer = self.ask(22, 0, &[text(id), 60_000i32.to_be_bytes().to_vec()].concat());
        assert_eq!(answer[4..6], [0, 0], "{answer:?}");
        (i64::from_be_bytes(answer[6..14].try_into().unwrap()), i16::from_be_bytes([answer[14], answer[15]]))
    }

    /// Has a partition keep records of a transaction that its coordinator knows nothing of.
    fn hang(&mut self, id: &str, topic: &str, partition: i32, values: &[&[u8]]) {
        let batch = batch(self.take(id), id, values);
        let one = 1i32.to_be_bytes().to_vec();
        let length = (batch.len() as i32).to_be_bytes().to_vec();
        let acks = [&(-1i16).to_be_bytes()[..], &10_000i32.to_be_bytes()].concat();
        let request = [text(id), acks, one.clone(), text(topic), one, partition.to_be_bytes().to_vec(), length, batch];
        let answer = self.ask(0, 3, &request.concat());
        let code = 4 + 2 + topic.len() + 4 + 4;
        assert_eq!(answer[code..code + 2], [0, 0], "{answer:?}");
    }
}

/// The transactional id of the instance that has a directory.
fn id_of(counting: &Counting, directory: &str) -> String {
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

#[test]
fn what_hangs_in_an_output_is_not_given_the_fate_of_what_comes_next() {
    let broker = Broker::start_with(&[UNVERIFIED]);
    let counting = Counting::over(&broker, "output", 1);
    let start = || {
        let (name, input, output) = (counting.name.clone(), counting.input.clone(), counting.output.clone());
        let kafka = counting.kafka.clone();
        Instance::of(counting.options(&counting.state("a")), move || {
            let job = job(&name, Input::Kafka(input), &output);
            job.bind_output("counts", Output::Kafka(kafka.output(output)));
            job
        })
    };
    broker.write(counting.input_name(), 0, 0..1000);
    start().wait_for(1000).stop().unwrap();
    broker.write(counting.input_name(), 0, 1000..1100);
    let (id, mut raw) = (id_of(&counting, "a"), Raw::connect(&broker));
    raw.hang(&id, &counting.state_topic(), 4, &[b"Bhung"]);
    raw.hang(&id, &counting.output, 1, &[b"[0,0,0]"]);
    let instance = start();
    instance.said.wait_for(&format!("waiting for a transaction on {} [1] that is open", counting.output));
    // As an operator does it.
    let remedy = broker.transactional(&id);
    remedy.begin();
    remedy.send(&counting.output, 1, 0);
    remedy.abort();
    instance.wait_for(1100).stop().unwrap();
    counting.assert_exact(1100);
}

/// The next commit of a job that has stopped, as its changelog would have it in one shard.
fn next_commit(broker: &Broker, counting: &Counting, owner: &str) -> (u64, Value) {
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
fn commit_offset(broker: &Broker, counting: &Counting, offset: i64, token: &Value) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&counting.state_topic(), 4, Offset::Offset(offset)).unwrap();
    let text = format!("headwater 1 {} 1 {}", token["epoch"], token["owner"].as_str().unwrap());
    offsets.find_partition(&counting.state_topic(), 4).unwrap().set_metadata(text);
    let group: BaseConsumer = broker.config().set("group.id", &counting.name).create().unwrap();
    group.commit(&offsets, CommitMode::Sync).unwrap();
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
    let copies = format!("{id}/copies");
    let writer = broker.transactional(&copies);
    writer.begin();
    let record = BaseRecord::to(&state).partition(4).key(copies.as_bytes()).payload(text.as_bytes());
    writer.producer.send(record).map_err(|(error, _)| error).unwrap();
    writer.commit();
    commit_offset(&broker, &counting, end + 2, &marker["token"]);
    verify(&broker);
    keeps(&broker, &counting, next);
}
