//! Which records are read, and what is known of each.

use headwater::Received;
use headwater::format::Header;
use headwater::prelude::*;

use super::broker::{AT_MOST, Broker};
use super::running::Copy;

#[test]
fn all_partitions_are_read_and_of_transactions_only_what_is_committed() {
    let broker = Broker::shared();
    let topic = broker.topic("transactions", 3);
    broker.write(&topic, 0, 0..1000);
    broker.write(&topic, 1, 1000..1010);
    let good = broker.transactional(&format!("{topic}-good"));
    let open = broker.transactional(&format!("{topic}-open"));
    good.begin();
    (10_000..10_100).for_each(|number| good.send(&topic, 1, number));
    good.abort();
    good.begin();
    (2000..2100).for_each(|number| good.send(&topic, 1, number));
    good.commit();
    good.begin();
    good.send(&topic, 0, 10_100);
    good.abort();
    open.begin();
    open.send(&topic, 2, 3000);
    open.flush();
    // Behind the open transaction, and not to be read before it ends.
    broker.write(&topic, 2, [3001]);

    let copy = Copy::of(broker.kafka().topic(&topic));
    let running = copy.start();
    running.wait_for(1110);
    assert_eq!(copy.sorted(), (0..1010).chain(2000..2100).collect::<Vec<_>>());
    open.commit();
    running.wait_for(1112);
    let summary = running.stop().unwrap();
    assert_eq!(copy.sorted(), (0..1010).chain(2000..2100).chain(3000..3002).collect::<Vec<_>>());
    assert_eq!((summary.records_in, summary.committed.ended), (1112, false));
}

#[test]
fn every_compression_is_read() {
    let broker = Broker::shared();
    let topic = broker.topic("compressed", 1);
    for (place, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let writer = broker.producer_with("compression.type", codec);
        let first = place as u64 * 1000;
        (first..first + 1000).for_each(|number| writer.send(&topic, 0, number));
        writer.flush();
    }
    let copy = Copy::of(broker.kafka().topic(&topic));
    copy.run_until_end().unwrap();
    assert_eq!(copy.sorted(), (0..5000).collect::<Vec<_>>());
}

#[test]
fn a_job_that_is_to_end_does_so_where_the_topic_ended_at_its_start() {
    let broker = Broker::shared();
    let topic = broker.topic("until-end", 3);
    broker.write(&topic, 0, 0..5000);
    let writer = broker.transactional(&topic);
    writer.begin();
    (5000..5010).for_each(|number| writer.send(&topic, 1, number));
    writer.commit();
    broker.settle(&topic, 1, 11);
    let copy = Copy::of(broker.kafka().topic(&topic));
    let summary = copy.run_until_end().unwrap();
    assert_eq!(copy.sorted(), (0..5010).collect::<Vec<_>>());
    assert!(summary.committed.ended);
    // All windows are closed, so the job has come to its end.
    broker.write(&topic, 2, [7]);
    let error = copy.run_until_end().unwrap_err();
    assert!(error.to_string().contains("beyond the end that the job had reached"), "{error}");
}

#[test]
fn a_record_comes_with_its_key_headers_timestamp_and_place() {
    let broker = Broker::shared();
    let topic = broker.topic("whole", 1);
    let writer = broker.producer();
    writer.send_whole(&topic, Some("1"), "x", 1_000);
    writer.send_whole(&topic, None, "y", 2_000);
    writer.flush();

    let job = Job::new("whole");
    job.source(Topic::json::<Option<u64>>("numbers").received())
        .map(|record| format!("{record:?}"))
        .sink(Topic::json("out"));
    let out = Captured::<String>::new();
    job.bind_input("numbers", Input::Kafka(broker.kafka().topic(&topic).until_end()));
    job.bind_output("out", Output::of(out.clone()));
    job.run(&RunOptions::default(), &Control::default()).unwrap();

    let record = |value, trace: &str, millis, offset| Received {
        value,
        key: Some(b"a".to_vec()),
        headers: vec![Header { name: "trace".into(), value: Some(trace.as_bytes().to_vec()) }],
        timestamp: Some(Timestamp::from_millis(millis)),
        topic: topic.as_str().into(),
        partition: 0,
        offset,
    };
    let expected = [record(Some(1), "x", 1_000, 0), record(None, "y", 2_000, 1)];
    assert_eq!(out.take(), expected.map(|record| format!("{record:?}")));
}

#[test]
fn a_bad_record_says_its_topic_partition_and_offset() {
    let broker = Broker::shared();
    let topic = broker.topic("bad", 2);
    broker.write(&topic, 1, [1, 2]);
    let writer = broker.producer();
    writer.send_record(rdkafka::producer::BaseRecord::to(&topic).partition(1).payload("{oops"));
    writer.send_record(rdkafka::producer::BaseRecord::to(&topic).partition(1));
    writer.flush();
    let error = Copy::of(broker.kafka().topic(&topic)).run_until_end().unwrap_err();
    assert_eq!(error.kind(), Kind::Record);
    assert!(error.to_string().contains(&format!("at {topic}[1]@2: ")), "{error}");
    assert!(error.to_string().contains("`{oops`"), "{error}");

    let job = Job::new("letters");
    job.source(Topic::json::<u64>("numbers"))
        .on_bad_record(BadRecords::DeadLetter(Topic::json("bad")))
        .sink(Topic::json("out"));
    let (out, bad) = (Captured::<u64>::new(), Captured::<DeadLetter>::new());
    job.bind_input("numbers", Input::Kafka(broker.kafka().topic(&topic).until_end()));
    job.bind_output("out", Output::of(out.clone()));
    job.bind_output("bad", Output::of(bad.clone()));
    job.run(&RunOptions::default(), &Control::default()).unwrap();
    assert_eq!(out.take(), [1, 2]);
    let bad: Vec<_> = bad.take().into_iter().map(|letter| (letter.place, letter.error)).collect();
    assert_eq!(bad[0].0, format!("{topic}[1]@2"));
    assert_eq!(bad[1].0, format!("{topic}[1]@3"));
    assert!(bad[1].1.contains("tombstone") && bad[1].1.contains("Option"), "{bad:?}");
}

#[test]
fn several_topics_are_read_side_by_side() {
    let broker = Broker::shared();
    let (odd, even) = (broker.topic("odd", 2), broker.topic("even", 1));
    broker.write(&odd, 0, [1, 3]);
    broker.write(&odd, 1, [5]);
    broker.write(&even, 0, [2, 4]);
    let job = Job::new("two");
    let odds = job.source(Topic::json::<u64>("odd"));
    odds.union(job.source(Topic::json::<u64>("even"))).sink(Topic::json("out"));
    let out = Captured::<u64>::new();
    job.bind_input("odd", Input::Kafka(broker.kafka().topic(&odd).until_end()));
    job.bind_input("even", Input::Kafka(broker.kafka().topic(&even).until_end()));
    job.bind_output("out", Output::of(out.clone()));
    job.run(&RunOptions { workers: 3, ..RunOptions::default() }, &Control::default()).unwrap();
    let mut numbers = out.take();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    assert!(job.explain().unwrap().contains(&format!("read from Kafka topic {even} at {}", broker.address)));
}

/// Counts per minute of event time, where a number is its second.
fn minutes(input: Input, out: &Captured<(i64, u64)>) -> Job {
    let job = Job::new("minutes");
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|second| Timestamp::from_seconds(*second as i64), Lateness::seconds(0))
        .key_by(|_| 0u8)
        .window(Tumbling::minutes(1))
        .count()
        .on_close()
        .map(|pane| (pane.window.end.as_seconds(), pane.value))
        .sink(Topic::json("out"));
    job.bind_input("numbers", input);
    job.bind_output("out", Output::of(out.clone()));
    job
}

#[test]
fn a_partition_is_idle_when_all_is_read_but_not_while_a_transaction_on_it_is_open() {
    let broker = Broker::shared();
    let topic = broker.topic("idle", 2);
    broker.write(&topic, 0, [1, 61]);
    let open = broker.transactional(&topic);
    open.begin();
    open.send(&topic, 1, 2);
    open.flush();

    let out = Captured::<(i64, u64)>::new();
    let control = Control::default();
    let job = {
        let (out, control, input) = (out.clone(), control.clone(), Input::Kafka(broker.kafka().topic(&topic)));
        std::thread::spawn(move || {
            let options = RunOptions { idle_after: Duration::from_millis(300), workers: 2, ..RunOptions::default() };
            minutes(input, &out).run(&options, &control)
        })
    };
    // Long enough for the first partition alone to close the minute, were the second idle.
    assert!(!out.wait_for(1, Duration::from_secs(3)), "the second partition has a record to come");
    open.commit();
    assert!(out.wait_for(1, AT_MOST), "both are idle after the last record");
    control.stop();
    job.join().unwrap().unwrap();
    assert_eq!(out.take()[0], (60, 2));
}

#[test]
fn several_topics_are_one_source() {
    let broker = Broker::shared();
    let (first, second) = (broker.topic("first", 1), broker.topic("second", 2));
    broker.write(&first, 0, 0..10);
    let kafka = broker.kafka();
    // It may be read by itself before.
    let mut copy = Copy::of(kafka.topic(&first));
    copy.run_until(10);
    broker.write(&second, 1, 10..20);
    broker.write(&first, 0, 20..25);
    copy.topic = kafka.topic(&first).and(&second);
    copy.run_until(25);
    broker.write(&second, 0, 25..30);
    copy.run_until(30);
    assert_eq!(copy.sorted(), (0..30).collect::<Vec<_>>());
}
