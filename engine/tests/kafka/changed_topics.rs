//! Topics that are not what they were: each stops the job, or is told.

use headwater::kafka::Start;
use headwater::prelude::*;

use super::broker::Broker;
use super::running::Copy;

/// The message of a run that is refused.
#[track_caller]
fn refusal(result: Result<Summary>) -> String {
    let error = result.expect_err("this is refused");
    assert_eq!(error.kind(), Kind::Config, "{error}");
    error.to_string()
}

#[test]
fn records_that_were_deleted_before_they_were_read_stop_the_job() {
    let broker = Broker::shared();
    let topic = broker.topic("expired", 1);
    broker.write(&topic, 0, 0..100);
    let copy = Copy::of(broker.kafka().topic(&topic));
    copy.run_until(100);
    broker.write(&topic, 0, 100..200);
    // As far as was read: nothing is lost.
    broker.delete_records(&topic, 0, 100);
    copy.run_until(200);
    broker.write(&topic, 0, 200..300);
    broker.delete_records(&topic, 0, 250);
    let text = refusal(copy.run());
    let expected = format!("{topic}[0] was read up to offset 200, and now begins at 250: 50 offsets were deleted");
    assert!(text.contains(&expected) && text.contains("--fresh"), "{text}");
}

#[test]
fn a_topic_that_was_created_again_is_another_one() {
    let broker = Broker::shared();
    let topic = broker.topic("recreated", 1);
    broker.write(&topic, 0, 0..10);
    let copy = Copy::of(broker.kafka().topic(&topic));
    copy.run_until(10);
    broker.recreate(&topic, 1);
    // Enough that the old offset is within it.
    broker.write(&topic, 0, 1000..1100);
    let text = refusal(copy.run());
    assert!(text.contains("deleted and created again") && text.contains("--fresh"), "{text}");
    assert_eq!(copy.sorted(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_is_created_again_while_it_is_read_stops_the_job() {
    let broker = Broker::shared();
    let topic = broker.topic("recreated-running", 1);
    broker.write(&topic, 0, 0..10);
    let copy = Copy::of(broker.kafka().topic(&topic));
    let running = copy.start();
    running.wait_for(10);
    broker.recreate(&topic, 1);
    broker.write(&topic, 0, 1000..1100);
    let text = refusal(running.join());
    assert!(text.contains("deleted and created again") || text.contains("has no topic"), "{text}");
}

#[test]
fn a_topic_that_is_cut_short_stops_the_job() {
    // Offsets beyond the end are met by giving the job those of a longer topic: ids are checked first, so it is the
    // source alone that is asked.
    use headwater::format::Json;
    use headwater::kafka::KafkaSource;
    use headwater::source::Source;
    let broker = Broker::shared();
    let topic = broker.topic("cut", 1);
    broker.write(&topic, 0, 0..10);
    let source = KafkaSource::<u64, _>::new(broker.kafka().topic(&topic), Json);
    let error = source.open("0", Some("offset=11")).err().unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("read up to offset 11, and now ends at 10"), "{error}");
    assert!(source.open("0", Some("17")).err().unwrap().to_string().contains("not a Kafka topic"));
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let broker = Broker::shared();
    let topic = broker.topic("added", 1);
    broker.write(&topic, 0, 0..10);
    let kafka = broker.kafka().set("topic.metadata.refresh.interval.ms", "200");
    let copy = Copy::of(kafka.topic(&topic).from(Start::Latest));
    let running = copy.start();
    assert!(super::running::wait_until(|| running.control.progress.committed().epoch > 0));
    broker.add_partitions(&topic, 3);
    broker.write(&topic, 2, 20..30);
    broker.write(&topic, 0, 10..20);
    running.wait_for(20);
    assert_eq!(running.stop().unwrap().restarts, 1);
    assert_eq!(copy.sorted(), (10..30).collect::<Vec<_>>());
}
