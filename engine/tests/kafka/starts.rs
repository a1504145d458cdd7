//! Where reading begins, and where it goes on.

use headwater::kafka::Start;
use headwater::prelude::*;
use rdkafka::producer::BaseRecord;

use super::broker::Broker;
use super::running::{Copy, copy as copy_job, options};

#[test]
fn a_job_goes_on_where_it_was_stopped() {
    let broker = Broker::shared();
    let topic = broker.topic("stopped", 3);
    let copy = Copy::of(broker.kafka().topic(&topic));
    let mut next = 0;
    for round in 0..4 {
        for partition in 0..3 {
            broker.write(&topic, partition, next..next + 50);
            next += 50;
        }
        let summary = copy.run_until(next as usize);
        assert_eq!(summary.records_in, 150, "round {round}");
        assert_eq!(copy.sorted(), (0..next).collect::<Vec<_>>());
    }
}

#[test]
fn latest_is_what_was_latest_at_the_first_start() {
    let broker = Broker::shared();
    let topic = broker.topic("latest", 2);
    broker.write(&topic, 0, 0..100);
    let copy = Copy::of(broker.kafka().topic(&topic).from(Start::Latest));
    // It reads nothing, and commits where it begins.
    let running = copy.start();
    assert!(super::running::wait_until(|| running.control.progress.committed().epoch > 0));
    assert_eq!(running.stop().unwrap().records_in, 0);
    broker.write(&topic, 0, 100..110);
    broker.write(&topic, 1, 110..120);
    copy.run_until(20);
    assert_eq!(copy.sorted(), (100..120).collect::<Vec<_>>());
}

#[test]
fn a_time_is_where_each_partition_reaches_it() {
    let broker = Broker::shared();
    let topic = broker.topic("time", 3);
    let writer = broker.producer();
    for (partition, number, millis) in [(0, 1, 1_000), (0, 2, 2_000), (0, 3, 3_000), (1, 4, 5_000), (2, 5, 500)] {
        let payload = format!("{number}");
        writer.send_record(BaseRecord::to(&topic).partition(partition).payload(payload.as_str()).timestamp(millis));
    }
    writer.flush();
    let start = Start::At(Timestamp::from_millis(1_500));
    let copy = Copy::of(broker.kafka().topic(&topic).from(start));
    copy.run_until_end().unwrap();
    assert_eq!(copy.sorted(), [2, 3, 4]);
}

#[test]
fn offsets_are_where_they_say() {
    let broker = Broker::shared();
    let topic = broker.topic("offsets", 2);
    broker.write(&topic, 0, 0..10);
    broker.write(&topic, 1, 10..20);
    let copy = Copy::of(broker.kafka().topic(&topic).from(Start::Offsets(vec![(1, 7)])));
    copy.run_until_end().unwrap();
    assert_eq!(copy.sorted(), (0..10).chain(17..20).collect::<Vec<_>>());
    let copy = Copy::of(broker.kafka().topic(&topic).from(Start::Offsets(vec![(1, 21)])));
    let error = copy.run_until_end().unwrap_err();
    assert!(error.to_string().contains("[1] cannot be read from offset 21: it has those from 0 to 10"), "{error}");
}

#[test]
fn a_process_that_is_killed_goes_on_from_its_last_commit() {
    let broker = Broker::shared();
    let topic = broker.topic("killed", 3);
    let copy = Copy::of(broker.kafka().topic(&topic));
    let writer = broker.producer();
    let total = 60_000u64;
    let mut sent = 0;
    for round in 0..4 {
        for number in sent..sent + total / 4 {
            writer.send(&topic, (number % 3) as i32, number);
        }
        writer.flush();
        sent += total / 4;
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "starts::child", "--nocapture"]).stdout(std::process::Stdio::null());
        child.env("COPY_FROM", format!("{} {topic} {}", broker.address, copy.directory.path().display()));
        let mut child = child.spawn().unwrap();
        // Somewhere in the middle of this round's records.
        let output = copy.directory.path().join("copies.jsonl");
        let enough = (sent - total / 4 + total / 8) * 5;
        super::running::wait_until(|| std::fs::metadata(&output).is_ok_and(|file| file.len() >= enough));
        assert!(child.try_wait().unwrap().is_none(), "the child has ended by itself in round {round}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    copy.run_until(total as usize);
    assert_eq!(copy.sorted(), (0..total).collect::<Vec<_>>());
}

/// The job of the test above, in a process of its own.
#[test]
fn child() {
    let Ok(from) = std::env::var("COPY_FROM") else { return };
    let [brokers, topic, directory] = from.split(' ').collect::<Vec<_>>()[..] else { panic!("{from}") };
    let input = Input::Kafka(headwater::kafka::Kafka::at(brokers).topic(topic));
    let directory = std::path::Path::new(directory);
    copy_job(directory, input).run(&options(directory), &Control::default()).unwrap();
}
