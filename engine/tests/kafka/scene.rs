//! A commit that the brokers have lost sight of, made by hand, and what a job makes of it.

use headwater::prelude::*;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::broker::{AT_MOST, Broker, Read, Writer};
use super::commits::{Counting, Instance, assert_counted, counting as job};
use super::hanging::{commit_offset, next_commit};
use super::raw::{Raw, UNVERIFIED};

/// The number in the record that a lost commit has written.
pub const LOST: u64 = 7777;
pub const RECORD: &str = "[17,7777,1]";
/// The shard and the partition of the output that it has something in.
pub const SHARD: i32 = 4;
pub const PARTITION: i32 = 1;

/// A job that has counted 1000 numbers and stopped, and its next commit, which an instance has made that is gone.
pub struct Scene<'a> {
    pub broker: &'a Broker,
    pub counting: Counting,
    pub raw: Raw,
    pub id: String,
    pub epoch: u64,
    pub marker: Value,
    /// Before it in the shard.
    pub blocks: Vec<Vec<u8>>,
    /// Has a transaction open.
    pub another: Option<Writer>,
}

impl<'a> Scene<'a> {
    pub fn new(broker: &'a Broker, name: &str) -> Self {
        let counting = Counting::over(broker, name, 1);
        broker.write(counting.input_name(), 0, 0..1000);
        start(&counting, "a").wait_for(1000).stop().unwrap();
        broker.write(counting.input_name(), 0, 1000..1100);
        let id = format!("{}/ghost", counting.name);
        let (epoch, mut marker) = next_commit(broker, &counting, &id);
        let first = broker.watermarks(&counting.output)[PARTITION as usize].1;
        marker["outputs"] = json!({ &counting.output: { PARTITION.to_string(): [first, first, 1] } });
        Self { broker, counting, raw: Raw::connect(broker), id, epoch, marker, blocks: Vec::new(), another: None }
    }

    pub fn marker(&self) -> String {
        self.marker.to_string()
    }

    /// The shard lacks the end.
    pub fn state_hangs(&mut self) {
        let (topic, marker) = (self.counting.state_topic(), self.marker());
        let records: Vec<&[u8]> = self.blocks.iter().map(Vec::as_slice).chain([marker.as_bytes()]).collect();
        self.raw.hang(&self.id, &topic, SHARD, &records);
    }

    /// The commit has the blocks of the last one once more, which changes nothing.
    pub fn with_blocks(&mut self) {
        let records = self.broker.read(&self.counting.state_topic(), 1).into_iter();
        let records: Vec<Vec<u8>> = records.filter(|of| of.partition == SHARD).filter_map(|of| of.value).collect();
        let blocks_of = |(at, value): (usize, &Vec<u8>)| {
            let marker: Value = serde_json::from_slice(value).ok()?;
            let count = marker["blocks"].as_u64().unwrap() as usize;
            (count > 0).then(|| (marker, records[at - count..at].to_vec()))
        };
        let (last, blocks) = records.iter().enumerate().rev().find_map(blocks_of).unwrap();
        (self.marker["blocks"], self.marker["digest"]) = (last["blocks"].clone(), last["digest"].clone());
        self.blocks = blocks;
    }

    pub fn output_hangs(&mut self) {
        self.raw.hang(&self.id, &self.counting.output, PARTITION, &[RECORD.as_bytes()]);
    }

    /// And so do the group's offsets.
    pub fn group_hangs(&mut self) {
        let (topic, token) = (self.counting.state_topic(), self.token());
        let behind = self.behind();
        self.raw.hang_offset(&self.id, &self.counting.name, (&topic, SHARD, behind), &token);
    }

    pub fn token(&self) -> String {
        format!("headwater 1 {} 1 {}", self.epoch, self.id)
    }

    /// An instance has copied the record of the output.
    pub fn copies(&self, is_commit: bool) {
        let copies = self.broker.transactional(&format!("{}//copies", self.counting.name));
        copies.begin();
        copies.send_record(BaseRecord::<(), str>::to(&self.counting.output).partition(PARTITION).payload(RECORD));
        if is_commit { copies.commit() } else { copies.abort() }
    }

    /// The group knows that it was copied.
    pub fn notes_copies(&self) {
        let (lock, token) = (format!("{}.lock", self.counting.name), format!("copied {}", self.token()));
        self.broker.set_offset_with(&self.counting.name, (&lock, 0, 0), &token);
    }

    /// Where the partition of the output ends: for readers of what is committed, and for all.
    pub fn ends_at(&self) -> (i64, i64) {
        let end = |isolation: &str| {
            let reader: BaseConsumer = self.broker.config().set("isolation.level", isolation).create().unwrap();
            reader.fetch_watermarks(&self.counting.output, PARTITION, AT_MOST).unwrap().1
        };
        (end("read_committed"), end("read_uncommitted"))
    }

    /// The offset behind a marker that comes next.
    pub fn behind(&self) -> i64 {
        self.broker.watermarks(&self.counting.state_topic())[SHARD as usize].1 + self.blocks.len() as i64 + 1
    }

    pub fn group_ends(&self, behind: i64) {
        commit_offset(self.broker, &self.counting, behind, &self.marker["token"]);
    }

    /// The end is there.
    pub fn ends(&self, (topic, partition): (&str, i32), key: &str, value: &str, is_commit: bool) {
        let writer = self.broker.transactional(&self.id);
        writer.begin();
        let record = BaseRecord::to(topic).partition(partition).key(key.as_bytes()).payload(value.as_bytes());
        writer.producer.send(record).map_err(|(error, _)| error).unwrap();
        if is_commit { writer.commit() } else { writer.abort() }
    }

    pub fn state_ends(&self, is_commit: bool) {
        self.ends((&self.counting.state_topic(), SHARD), &self.id, &self.marker(), is_commit);
    }

    /// The next transaction is aborted, and takes along what hangs.
    pub fn state_is_lost(&self) {
        self.ends((&self.counting.state_topic(), SHARD), &self.id, "aborted", false);
    }

    pub fn output_ends(&self, is_commit: bool) {
        self.ends((&self.counting.output, PARTITION), "", RECORD, is_commit);
    }

    /// Runs the job, twice: the lost commit is in the output so often, and everything else as it must be.
    #[track_caller]
    pub fn check(self, is_kept: bool) {
        let Self { broker, counting, epoch, mut another, .. } = self;
        let is_marker = |record: &Read| record.partition == SHARD && record.value.as_ref().unwrap().starts_with(b"{");
        for (instance, numbers) in [("a", 1100), ("b", 1200)] {
            start(&counting, instance).wait_for(numbers).stop().unwrap();
            another.take().inspect(Writer::abort);
            let (lost, counted): (Vec<_>, Vec<_>) = counting.counted().into_iter().partition(|of| of.1 == LOST);
            assert_eq!(lost.len(), usize::from(is_kept), "{lost:?}");
            assert_counted(counted, numbers, 1);
            let markers = broker.read(&counting.state_topic(), 1).into_iter().filter(is_marker);
            let markers: Vec<Value> =
                markers.map(|record| serde_json::from_slice(&record.value.unwrap()).unwrap()).collect();
            let epochs: Vec<u64> = markers.iter().map(|marker| marker["token"]["epoch"].as_u64().unwrap()).collect();
            assert!(epochs.is_sorted_by(|one, other| one < other), "{epochs:?}");
            let is_lost = |marker: &&Value| marker["token"]["epoch"] == epoch && marker["token"]["attempt"] == "1";
            assert_eq!(markers.iter().filter(is_lost).count(), usize::from(is_kept), "{epochs:?}, lost {epoch}");
            if numbers == 1100 {
                broker.write(counting.input_name(), 0, 1100..1200);
            }
        }
    }
}

/// One that does not wait for more members.
pub fn broker() -> Broker {
    Broker::start_with(&[UNVERIFIED, "group.initial.rebalance.delay.ms=0"])
}

/// Runs an instance whose output is known as one of Kafka.
pub fn start(counting: &Counting, instance: &str) -> Instance {
    let (name, input, output) = (counting.name.clone(), counting.input.clone(), counting.output.clone());
    let kafka = counting.kafka.clone();
    let mut options = counting.options(&counting.state(instance));
    options.leave = true;
    Instance::of(options, move || {
        let job = job(&name, Input::Kafka(input), &output);
        job.bind_output("counts", Output::Kafka(kafka.output(output)));
        job
    })
}

/// What has happened to a scene before the job runs again.
pub type Before = fn(&mut Scene<'_>);

/// Plays scenes side by side.
pub fn play(is_kept: bool, scenes: &[(&str, Before)]) {
    let broker = broker();
    std::thread::scope(|scope| {
        for (name, before) in scenes {
            let broker = &broker;
            scope.spawn(move || {
                let mut scene = Scene::new(broker, name);
                before(&mut scene);
                scene.check(is_kept);
            });
        }
    });
}
