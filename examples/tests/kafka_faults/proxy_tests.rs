//! The proxy does to librdkafka's transactional producer what it says, and the broker shows the consequences.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::broker::AT_MOST;
use super::cluster::Cluster;
use super::frames::{END_TXN, PRODUCE};
use super::proxy::{Act, Rule, Stage, wait_until};

/// Within this, what should not come would have come.
const A_WHILE: Duration = Duration::from_secs(2);

struct Writer<'a> {
    producer: BaseProducer,
    topic: &'a str,
}

impl<'a> Writer<'a> {
    fn new(cluster: &Cluster, id: &str, topic: &'a str) -> Self {
        let producer: BaseProducer = cluster.client(id).set("transactional.id", id).create().unwrap();
        producer.init_transactions(AT_MOST).unwrap();
        Self { producer, topic }
    }

    /// Begins a transaction and has a record in it that the broker knows of.
    fn begin(&self, value: &str) {
        self.producer.begin_transaction().unwrap();
        self.producer.send(BaseRecord::<(), str>::to(self.topic).payload(value)).map_err(|(error, _)| error).unwrap();
        self.producer.flush(AT_MOST).unwrap();
    }

    fn commit(&self) -> Result<(), KafkaError> {
        self.producer.commit_transaction(AT_MOST)
    }
}

fn end_txn(act: Act) -> Rule {
    Rule { api: END_TXN, client: Some("writer".to_owned()), act }
}

/// The error in the response to EndTxn, which stands behind the length, the number and the throttle time.
fn error_of(stage: &Stage) -> i16 {
    match stage {
        Stage::Done(Some(frame)) => i16::from_be_bytes([frame[12], frame[13]]),
        other => panic!("no response: {other:?}"),
    }
}

#[test]
fn what_the_proxy_does_to_a_transaction() {
    let cluster = Cluster::start();
    a_held_request_arrives_after_its_time(&cluster);
    a_request_that_is_cut_before_never_arrives_and_is_sent_again(&cluster);
    a_lost_response_is_asked_for_again_silently(&cluster);
    a_late_request_ends_a_later_transaction(&cluster);
    other_clients_are_left_alone(&cluster);
    nothing_passes_a_stopped_proxy(&cluster);
    a_broker_that_is_killed_comes_back_behind_it(&cluster);
}

fn a_held_request_arrives_after_its_time(cluster: &Cluster) {
    let topic = cluster.broker.topic("held", 1);
    let writer = Writer::new(cluster, "writer-held", &topic);
    writer.begin("a");
    let trap = cluster.proxy.arm(end_txn(Act::Hold(Duration::from_millis(700))));
    let began = Instant::now();
    writer.commit().unwrap();
    assert!(began.elapsed() >= Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(trap.stage(), Stage::Done(None));
    assert_eq!(cluster.committed(&topic, 1, AT_MOST), ["a"]);
}

fn a_request_that_is_cut_before_never_arrives_and_is_sent_again(cluster: &Cluster) {
    let topic = cluster.broker.topic("before", 1);
    let writer = Writer::new(cluster, "writer-before", &topic);
    writer.begin("a");
    let passed = cluster.proxy.passed(END_TXN);
    let trap = cluster.proxy.arm(end_txn(Act::CutBefore));
    writer.commit().unwrap();
    assert_eq!(trap.stage(), Stage::Done(None));
    assert_eq!(cluster.proxy.passed(END_TXN), passed + 1);
    assert_eq!(cluster.committed(&topic, 1, AT_MOST), ["a"]);
}

fn a_lost_response_is_asked_for_again_silently(cluster: &Cluster) {
    let topic = cluster.broker.topic("after", 1);
    let writer = Writer::new(cluster, "writer-after", &topic);
    writer.begin("a");
    let passed = cluster.proxy.passed(END_TXN);
    let trap = cluster.proxy.arm(end_txn(Act::CutAfter));
    writer.commit().unwrap();
    assert_eq!(error_of(&trap.stage()), 0);
    assert_eq!(cluster.proxy.passed(END_TXN), passed + 2, "the same request twice, and the client was told of none");
    assert_eq!(cluster.committed(&topic, 2, A_WHILE), ["a"]);
}

fn a_late_request_ends_a_later_transaction(cluster: &Cluster) {
    let topic = cluster.broker.topic("late", 1);
    let writer = Writer::new(cluster, "writer-late", &topic);
    writer.begin("a");
    let trap = cluster.proxy.arm(end_txn(Act::Late(AT_MOST)));
    writer.commit().unwrap();
    assert_eq!(trap.stage(), Stage::Hit, "it is under way, and the client has committed by another");
    writer.begin("b");
    assert_eq!(cluster.committed(&topic, 2, A_WHILE), ["a"], "the second transaction is open");
    trap.let_go();
    assert!(trap.is_done(AT_MOST));
    assert_eq!(error_of(&trap.stage()), 0);
    assert_eq!(cluster.committed(&topic, 2, AT_MOST), ["a", "b"], "which nobody has committed");
    // Too late: what was to be aborted is there.
    writer.producer.abort_transaction(AT_MOST).ok();
    assert_eq!(cluster.committed(&topic, 2, AT_MOST), ["a", "b"]);
}

fn other_clients_are_left_alone(cluster: &Cluster) {
    let topic = cluster.broker.topic("others", 1);
    let other = Writer::new(cluster, "other", &topic);
    let trap = cluster.proxy.arm(end_txn(Act::CutBefore));
    other.begin("a");
    other.commit().unwrap();
    assert_eq!(trap.stage(), Stage::Armed);
    cluster.proxy.disarm();
    let writer = Writer::new(cluster, "writer-others", &topic);
    writer.begin("b");
    writer.commit().unwrap();
    assert_eq!(trap.stage(), Stage::Armed);
}

fn nothing_passes_a_stopped_proxy(cluster: &Cluster) {
    let topic = cluster.broker.topic("stopped", 1);
    let writer = Writer::new(cluster, "writer-stopped", &topic);
    let passed = cluster.proxy.passed(PRODUCE);
    cluster.proxy.stop();
    writer.producer.begin_transaction().unwrap();
    writer.producer.send(BaseRecord::<(), str>::to(&topic).payload("a")).map_err(|(error, _)| error).unwrap();
    assert!(writer.producer.flush(A_WHILE).is_err());
    assert_eq!(cluster.proxy.passed(PRODUCE), passed);
    assert_eq!(cluster.end(&topic, 0, "read_uncommitted"), 0, "the test's own door is open");
    cluster.proxy.heal();
    writer.commit().unwrap();
    assert_eq!(cluster.committed(&topic, 1, AT_MOST), ["a"]);
}

fn a_broker_that_is_killed_comes_back_behind_it(cluster: &Cluster) {
    let topic = cluster.broker.topic("killed", 1);
    let writer = Writer::new(cluster, "writer-killed", &topic);
    writer.begin("a");
    cluster.broker.dev("kill");
    cluster.broker.dev("start");
    writer.commit().unwrap();
    assert_eq!(cluster.committed(&topic, 1, AT_MOST), ["a"]);
    let stable = || cluster.end(&topic, 0, "read_committed") == cluster.end(&topic, 0, "read_uncommitted");
    assert!(wait_until(AT_MOST, stable));
}
