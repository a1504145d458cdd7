//! Transactions that the brokers have lost sight of in some of their partitions: the changelog, outputs, the group's offsets. What
//! nobody has seen may become either; what somebody has seen must become the same everywhere.

use headwater::prelude::*;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};

use super::broker::{AT_MOST, Broker, Read, Writer};
use super::commits::{Counting, Instance, assert_counted, counting as job};
use super::hanging::{commit_offset, id_of, next_commit};
use super::raw::{Raw, UNVERIFIED};

/// The number in the record that a lost commit has written.
const LOST: u64 = 7777;
const RECORD: &str = "[17,7777,1]";
/// The shard and the partition of the output that it has something in.
const SHARD: i32 = 4;
const PARTITION: i32 = 1;

/// A job that has counted 1000 numbers and stopped, and its next commit, which an instance has made that is gone.
struct Scene<'a> {
    broker: &'a Broker,
    counting: Counting,
    raw: Raw,
    id: String,
    epoch: u64,
    marker: Value,
    /// Has a transaction open.
    another: Option<Writer>,
}

impl<'a> Scene<'a> {
    fn new(broker: &'a Broker, name: &str) -> Self {
        let counting = Counting::over(broker, name, 1);
        broker.write(counting.input_name(), 0, 0..1000);
        start(&counting, "a").wait_for(1000).stop().unwrap();
        broker.write(counting.input_name(), 0, 1000..1100);
        let id = format!("{}/ghost", counting.name);
        let (epoch, mut marker) = next_commit(broker, &counting, &id);
        let first = broker.watermarks(&counting.output)[PARTITION as usize].1;
        marker["outputs"] = json!({ &counting.output: { PARTITION.to_string(): [first, first, 1] } });
        Self { broker, counting, raw: Raw::connect(broker), id, epoch, marker, another: None }
    }

    fn marker(&self) -> String {
        self.marker.to_string()
    }

    /// The shard lacks the end.
    fn state_hangs(&mut self) {
        let (topic, marker) = (self.counting.state_topic(), self.marker());
        self.raw.hang(&self.id, &topic, SHARD, &[marker.as_bytes()]);
    }

    fn output_hangs(&mut self) {
        self.raw.hang(&self.id, &self.counting.output, PARTITION, &[RECORD.as_bytes()]);
    }

    /// And so do the group's offsets.
    fn group_hangs(&mut self) {
        let (topic, token) = (self.counting.state_topic(), self.token());
        let behind = self.behind();
        self.raw.hang_offset(&self.id, &self.counting.name, (&topic, SHARD, behind), &token);
    }

    fn token(&self) -> String {
        format!("headwater 1 {} 1 {}", self.epoch, self.id)
    }

    /// An instance has copied the record of the output.
    fn copies(&self, is_commit: bool) {
        let copies = self.broker.transactional(&format!("{}//copies", self.counting.name));
        copies.begin();
        copies.send_record(BaseRecord::<(), str>::to(&self.counting.output).partition(PARTITION).payload(RECORD));
        if is_commit { copies.commit() } else { copies.abort() }
    }

    /// Where the partition of the output ends: for readers of what is committed, and for all.
    fn ends_at(&self) -> (i64, i64) {
        let end = |isolation: &str| {
            let reader: BaseConsumer = self.broker.config().set("isolation.level", isolation).create().unwrap();
            reader.fetch_watermarks(&self.counting.output, PARTITION, AT_MOST).unwrap().1
        };
        (end("read_committed"), end("read_uncommitted"))
    }

    /// The offset behind a marker that comes next.
    fn behind(&self) -> i64 {
        self.broker.watermarks(&self.counting.state_topic())[SHARD as usize].1 + 1
    }

    fn group_ends(&self, behind: i64) {
        commit_offset(self.broker, &self.counting, behind, &self.marker["token"]);
    }

    /// The end is there.
    fn ends(&self, (topic, partition): (&str, i32), key: &str, value: &str, is_commit: bool) {
        let writer = self.broker.transactional(&self.id);
        writer.begin();
        let record = BaseRecord::to(topic).partition(partition).key(key.as_bytes()).payload(value.as_bytes());
        writer.producer.send(record).map_err(|(error, _)| error).unwrap();
        if is_commit { writer.commit() } else { writer.abort() }
    }

    fn state_ends(&self, is_commit: bool) {
        self.ends((&self.counting.state_topic(), SHARD), &self.id, &self.marker(), is_commit);
    }

    fn output_ends(&self, is_commit: bool) {
        self.ends((&self.counting.output, PARTITION), "", RECORD, is_commit);
    }

    /// Runs the job, twice: the lost commit is in the output so often, and everything else as it must be.
    #[track_caller]
    fn check(self, is_kept: bool) {
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
fn broker() -> Broker {
    Broker::start_with(&[UNVERIFIED, "group.initial.rebalance.delay.ms=0"])
}

/// Runs an instance whose output is known as one of Kafka.
fn start(counting: &Counting, instance: &str) -> Instance {
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
type Before = fn(&mut Scene<'_>);

/// Plays scenes side by side.
fn play(is_kept: bool, scenes: &[(&str, Before)]) {
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

#[test]
fn what_hangs_everywhere_is_kept() {
    let whole: Before = |scene| {
        scene.output_hangs();
        scene.state_hangs();
        scene.group_hangs();
    };
    play(true, &[("whole", whole)]);
}

#[test]
fn what_somebody_has_seen_is_kept() {
    let in_state: Before = |scene| {
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_hangs();
    };
    let in_output: Before = |scene| {
        scene.output_ends(true);
        scene.state_hangs();
        scene.group_hangs();
    };
    let in_group: Before = |scene| {
        let behind = scene.behind();
        scene.state_hangs();
        scene.output_hangs();
        scene.group_ends(behind);
    };
    // All that is missing is in an output.
    let all_but_output: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
    };
    // And an instance was killed after it had copied that.
    let copied: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
        scene.copies(true);
        let token = format!("copied {}", scene.token());
        let lock = format!("{}.lock", scene.counting.name);
        scene.broker.set_offset_with(&scene.counting.name, (&lock, 0, 0), &token);
    };
    // Or before that was committed.
    let lost_copy: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
        scene.copies(false);
    };
    let scenes = [("state", in_state), ("output", in_output), ("group", in_group), ("all", all_but_output)];
    play(true, &scenes);
    play(true, &[("copied", copied), ("lost-copy", lost_copy)]);
}

#[test]
fn what_another_application_has_open_is_not_mended() {
    let another: Before = |scene| {
        let writer = scene.broker.transactional("another");
        writer.begin();
        let record = BaseRecord::<(), str>::to(&scene.counting.output).partition(PARTITION).payload("[0,0,0]");
        writer.send_record(record);
        writer.flush();
        let first = scene.ends_at().1;
        scene.marker["outputs"][&scene.counting.output][PARTITION.to_string()] = json!([first, first, 1]);
        let behind = scene.behind();
        scene.output_ends(true);
        scene.state_ends(true);
        scene.group_ends(behind);
        scene.another = Some(writer);
    };
    play(true, &[("another", another)]);
}

#[test]
fn what_was_not_to_be_committed_yet_is_not_kept() {
    // Its offsets were not sent.
    let early: Before = |scene| {
        scene.output_hangs();
        scene.state_hangs();
    };
    let torn: Before = |scene| {
        scene.output_hangs();
        scene.marker["shards"] = json!([SHARD, 5]);
        scene.state_hangs();
        scene.group_hangs();
    };
    let no_marker: Before = |scene| {
        scene.id = id_of(&scene.counting, "a");
        scene.output_hangs();
        scene.group_hangs();
    };
    play(false, &[("early", early), ("torn", torn), ("no-marker", no_marker)]);
}

#[test]
fn what_somebody_has_seen_aborted_is_not_kept() {
    let in_state: Before = |scene| {
        scene.state_ends(false);
        scene.output_hangs();
        scene.group_hangs();
    };
    let in_output: Before = |scene| {
        scene.output_ends(false);
        scene.state_hangs();
        scene.group_hangs();
    };
    play(false, &[("state", in_state), ("output", in_output)]);
}
