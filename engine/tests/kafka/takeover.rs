//! One instance after another, or against it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use headwater::prelude::*;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::broker::{AT_MOST, Broker, Read, Writer};
use super::commits::{Counting, Instance};
use super::operator::copy_directory;
use super::running::{timed, wait_until};

/// An instance that has written to the changelog and not ended its transaction.
fn ghost(broker: &Broker, counting: &Counting) -> Writer {
    let id = format!("{}/ghost", counting.name);
    let writer = broker.transactional(&id);
    writer.begin();
    let state = counting.state_topic();
    let record = BaseRecord::to(&state).partition(4).key(id.as_bytes()).payload(&b"Bghost"[..]);
    writer.producer.send(record).map_err(|(error, _)| error).unwrap();
    writer.flush();
    writer
}

#[test]
fn a_dead_claimant_is_fenced_and_not_waited_for() {
    let broker = Broker::shared();
    let counting = Counting::begun_as_static(broker, "ghost");
    // Its transaction would stay open for a minute.
    let ghost = ghost(broker, &counting);
    let (_, took) = timed(|| counting.start("a", counting.input.clone()).wait_for(1100).stop().unwrap());
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(ghost.producer.commit_transaction(AT_MOST).is_err(), "it was fenced");
    counting.assert_exact(1100);
}

/// A member of the job's group that is not the active one.
struct Member {
    consumer: Arc<BaseConsumer>,
    over: Arc<AtomicBool>,
    polls: Option<JoinHandle<()>>,
}

impl Member {
    fn join(broker: &Broker, counting: &Counting, id: &str) -> Self {
        let mut config = broker.config();
        config.set("group.id", &counting.name).set("client.id", id).set("group.instance.id", id);
        config.set("partition.assignment.strategy", "cooperative-sticky");
        let consumer: Arc<BaseConsumer> = Arc::new(config.create().unwrap());
        consumer.subscribe(&[&format!("{}.lock", counting.name)]).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let (polled, stop) = (Arc::clone(&consumer), Arc::clone(&over));
        let polls = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                drop(polled.poll(Duration::from_millis(50)));
            }
        });
        Self { consumer, over, polls: Some(polls) }
    }

    fn wait_until_known(&self, broker: &Broker, counting: &Counting, id: &str) {
        let asks: BaseConsumer = broker.config().create().unwrap();
        let is_member = || {
            let groups = asks.fetch_group_list(Some(&counting.name), AT_MOST).unwrap();
            groups.groups().iter().flat_map(|group| group.members()).any(|member| member.client_id() == id)
        };
        assert!(wait_until(is_member));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.polls.take().unwrap().join().unwrap();
    }
}

/// Starts `a` while a member has a transaction open, and waits until it has looked at it several times.
fn start_against(broker: &Broker, counting: &Counting, member: &Member) -> Instance {
    let instance = counting.start("a", counting.input.clone());
    member.wait_until_known(broker, counting, "ghost");
    let phase = || format!("{:?}", instance.control.progress.phase());
    assert!(wait_until(|| phase().contains("Opening")), "{}", phase());
    let looks = std::cell::Cell::new(0);
    assert!(wait_until(|| looks.replace(looks.get() + 1) > 150));
    assert!(phase().contains("Opening"), "{}", phase());
    instance
}

#[test]
fn the_only_member_of_a_group_stands_by_for_nobody() {
    // As brokers do unless they are told otherwise.
    let broker = Broker::start_with(&["group.initial.rebalance.delay.ms=3000"]);
    let counting = Counting::over(&broker, "alone", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    let instance = counting.start("a", counting.input.clone()).wait_for(1000);
    assert!(!instance.said.text().contains("standing by"), "{}", instance.said.text());
    // Its place is kept for it, and the next one says so.
    instance.stop().unwrap();
    let second = counting.start("b", counting.input.clone());
    second.said.wait_for("or its place is kept for it (10s");
    second.stop().unwrap();
    counting.assert_exact(1000);
}

#[test]
fn a_living_member_is_waited_for() {
    let broker = Broker::shared();
    let counting = Counting::begun_as_static(broker, "alive");
    // `a` is away for less than its session, so this one gets no partition.
    let member = Member::join(broker, &counting, "ghost");
    let ghost = ghost(broker, &counting);
    let instance = start_against(broker, &counting, &member);
    ghost.abort();
    let instance = instance.wait_for(1100);
    assert!(!instance.said.text().contains("/ghost"), "{}", instance.said.text());
    instance.stop().unwrap();
    counting.assert_exact(1100);
}

/// The markers in the changelog, with their partitions.
fn markers(broker: &Broker, counting: &Counting) -> Vec<(i32, serde_json::Value)> {
    let records = broker.read(&counting.state_topic(), 1);
    let marker = |record: &Read| Some((record.partition, serde_json::from_slice(record.value.as_ref()?).ok()?));
    records.iter().filter_map(marker).collect()
}

#[test]
fn what_a_living_member_commits_meanwhile_is_read() {
    let broker = Broker::shared();
    let counting = Counting::begun_as_static(broker, "meanwhile");
    let member = Member::join(broker, &counting, "ghost");
    let (state, id) = (counting.state_topic(), format!("{}/ghost", counting.name));
    let epoch = |marker: &serde_json::Value| marker["token"]["epoch"].as_u64().unwrap();
    let all: Vec<_> = markers(broker, &counting).into_iter().map(|(_, marker)| marker).collect();
    let mut marker =
        all.iter().filter(|marker| marker["record"].is_object()).max_by_key(|of| epoch(of)).unwrap().clone();
    let next = epoch(&marker) + 1;
    let empty = all.iter().find(|marker| marker["blocks"] == 0).unwrap();
    (marker["blocks"], marker["digest"], marker["shards"]) = (0.into(), empty["digest"].clone(), vec![4].into());
    marker["token"] = serde_json::json!({ "epoch": next, "attempt": "1", "owner": id });
    let offset = broker.watermarks(&state)[4].1;
    let writer = broker.transactional(&id);
    writer.begin();
    let value = marker.to_string();
    let record = BaseRecord::to(&state).partition(4).key(id.as_bytes()).payload(value.as_bytes());
    writer.producer.send(record).map_err(|(error, _)| error).unwrap();
    writer.flush();
    let instance = start_against(broker, &counting, &member);
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&state, 4, Offset::Offset(offset + 1)).unwrap();
    offsets.find_partition(&state, 4).unwrap().set_metadata(format!("headwater 1 {next} 1 {id}"));
    let metadata = member.consumer.group_metadata().unwrap();
    writer.producer.send_offsets_to_transaction(&offsets, &metadata, AT_MOST).unwrap();
    writer.commit();
    instance.wait_for(1100).stop().unwrap();
    let markers = markers(broker, &counting);
    let epochs: Vec<u64> = markers.iter().filter(|(partition, _)| *partition == 4).map(|(_, of)| epoch(of)).collect();
    assert!(epochs.contains(&next) && epochs.is_sorted_by(|one, other| one < other), "{epochs:?}");
    counting.assert_exact(1100);
}

#[test]
fn an_instance_whose_place_was_taken_commits_nothing_more() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "taken", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    let instance = counting.start("a", counting.input.clone()).wait_for(1000);
    let id = fs::read_to_string(counting.state("a").join("instance")).unwrap();
    let member = Member::join(broker, &counting, &id);
    let error = instance.join().unwrap_err();
    assert!(error.to_string().contains("as after copying a state directory"), "{error}");
    drop(member);
    // What it had not written to its tables is in the changelog; they are behind, and no further than they say.
    broker.write(counting.input_name(), 0, 1000..1100);
    let instance = counting.start("a", counting.input.clone()).wait_for(1100);
    assert!(!instance.said.text().contains("made anew"), "{}", instance.said.text());
    instance.stop().unwrap();
    counting.assert_exact(1100);
}

#[test]
fn a_fence_by_a_stranger_is_survived() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "fenced", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    let mut instance = counting.start("a", counting.input.clone()).wait_for(1000);
    let id = fs::read_to_string(counting.state("a").join("instance")).unwrap();
    for round in 1..4 {
        drop(broker.transactional(&format!("{}/{id}", counting.name)));
        broker.write(counting.input_name(), 0, round * 1000..(round + 1) * 1000);
        instance = instance.wait_for((round + 1) * 1000);
    }
    assert!(instance.stop().unwrap().restarts >= 3);
    counting.assert_exact(4000);
}

#[test]
fn an_instance_stands_by_and_takes_over() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "standby", 2);
    broker.write(counting.input_name(), 0, 0..20_000);
    let (first, second) = counting.with_standby(20_000);
    let followed = || {
        let text = fs::read(counting.state("b").join("changelog.json")).unwrap_or_default();
        let checkpoint: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        checkpoint["epoch"].as_u64().unwrap_or_default()
    };
    let reached = first.control.progress.committed().epoch;
    assert!(wait_until(|| followed() >= reached), "{} of {reached}", followed());
    broker.write(counting.input_name(), 1, 20_000..21_000);
    let first = first.wait_for(21_000);
    first.stop().unwrap();
    broker.write(counting.input_name(), 1, 21_000..22_000);
    let (second, took) = timed(|| second.wait_for(22_000));
    assert!(took < Duration::from_secs(8), "it leaves the group at once: {took:?}");
    let said = second.said.text();
    let read = said.lines().find(|line| line.contains("read the changelog"));
    let bytes = read.and_then(|line| line.split("bytes=").nth(1)?.split(' ').next()?.parse::<u64>().ok());
    assert!(bytes.is_some_and(|bytes| bytes < 100_000), "{said}");
    second.stop().unwrap();
    counting.assert_exact(22_000);
}

#[test]
fn partitions_that_were_added_while_it_stood_by_are_read() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "standby-added", 2);
    broker.write(counting.input_name(), 0, 0..100);
    let (first, second) = counting.with_standby(100);
    broker.add_partitions(counting.input_name(), 4);
    first.stop().unwrap();
    broker.write(counting.input_name(), 2, 100..200);
    broker.write(counting.input_name(), 3, 200..300);
    second.wait_for(300).stop().unwrap();
    counting.assert_exact(300);
}

#[test]
fn an_input_that_was_deleted_while_it_stood_by_ends_it() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "standby-deleted", 1);
    broker.write(counting.input_name(), 0, 0..100);
    let (first, second) = counting.with_standby(100);
    broker.delete(counting.input_name());
    for instance in [first, second] {
        let error = instance.join().unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{error}");
    }
}

#[test]
fn a_static_member_that_comes_back_owns_at_once() {
    let broker = Broker::shared();
    let counting = Counting::begun_as_static(broker, "back");
    // Another one waits for the session to end, which this one does not have to.
    let (_, took) = timed(|| counting.start("a", counting.input.clone()).wait_for(1100).stop().unwrap());
    assert!(took < Duration::from_secs(6), "{took:?}");
    counting.assert_exact(1100);
}

#[test]
fn a_copied_directory_is_explained() {
    let broker = Broker::shared();
    let counting = Counting::begun_as_static(broker, "copied");
    copy_directory(&counting.state("a"), &counting.state("copy"));
    let first = counting.start("a", counting.input.clone()).wait_for(1100);
    let second = counting.start("copy", counting.input.clone());
    // The one that came later has the name now.
    let error = first.join().unwrap_err();
    assert!(error.kind() == Kind::Config, "{error}");
    assert!(error.to_string().contains("as after copying a state directory"), "{error}");
    broker.write(counting.input_name(), 0, 1100..1200);
    second.wait_for(1200).stop().unwrap();
    counting.assert_exact(1200);
}

#[test]
fn a_member_that_is_replaced_after_its_connections_failed_joins_anew() {
    let broker = Broker::start();
    let counting = Counting::begun_as_static(&broker, "replaced");
    let instance = counting.start("a", counting.input.clone()).wait_for(1100);
    broker.dev("kill");
    broker.dev("start");
    broker.write(counting.input_name(), 0, 1100..1200);
    let instance = instance.wait_for(1200);
    // As a second request to join does that came late.
    let id = fs::read_to_string(counting.state("a").join("instance")).unwrap();
    let mut config = broker.config();
    config.set("group.id", &counting.name).set("client.id", &id).set("group.instance.id", &id);
    config.set("partition.assignment.strategy", "cooperative-sticky").set("session.timeout.ms", "3000");
    let double: BaseConsumer = config.create().unwrap();
    double.subscribe(&[&format!("{}.lock", counting.name)]).unwrap();
    let joins = || {
        drop(double.poll(Duration::from_millis(20)));
        instance.said.text().contains("another instance may be the active one")
    };
    assert!(wait_until(joins), "{}", instance.said.text());
    drop(double);
    broker.write(counting.input_name(), 0, 1200..1300);
    assert!(instance.wait_for(1300).stop().unwrap().restarts > 0);
    counting.assert_exact(1300);
}

#[test]
fn one_that_starts_over_while_it_stands_by_forgets_everything() {
    let broker = Broker::shared();
    let counting = Counting::begun_as_static(broker, "over");
    // `a` has not left: its place is free after its session.
    let second = counting.start_with("b", |options| (options.fresh, options.leave) = (true, true));
    second.said.wait_for("standing by: another instance");
    second.wait_for(1100).stop().unwrap();
    let counted = counting.counted();
    assert_eq!(counted.len(), 2100);
    let most = counted.iter().map(|(_, _, count)| *count).max();
    assert_eq!(most, Some(12), "counted from nothing");
}

#[test]
fn an_instance_that_stands_by_outlives_its_broker() {
    let broker = Broker::start();
    let counting = Counting::over(&broker, "outlives", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    let (first, second) = counting.with_standby(1000);
    broker.dev("kill");
    broker.dev("start");
    broker.write(counting.input_name(), 0, 1000..1100);
    let total = || first.control.progress.committed().records_in.max(second.control.progress.committed().records_in);
    assert!(wait_until(|| total() == 1100), "{}", total());
    first.stop().unwrap();
    broker.write(counting.input_name(), 0, 1100..1200);
    second.wait_for(1200).stop().unwrap();
    counting.assert_exact(1200);
}
