//! Topics that are missing, records that they do not take, and what a user is told.

use headwater::prelude::*;

use super::broker::Broker;
use super::running::{Copy, copy, timed};
use super::writing::write;

#[test]
fn a_missing_topic_is_created_and_one_that_is_there_stays_as_it_is() {
    let broker = Broker::shared();
    let (new, usual, old) = (broker.unused("new"), broker.unused("usual"), broker.topic("old", 2));
    for (topic, output) in [
        (&new, broker.kafka().output(&new).partitions(3).replication(1)),
        (&usual, broker.kafka().output(&usual)),
        (&old, broker.kafka().output(&old).partitions(7)),
    ] {
        write(vec![1_u64], Topic::json("copies"), &[("copies", output)]).unwrap();
        assert_eq!(broker.read(topic, 1)[0].number(), 1);
    }
    assert_eq!([new, usual, old].map(|topic| broker.partitions(&topic).unwrap()), [3, 1, 2]);
}

#[test]
fn a_missing_topic_is_refused_where_it_is_not_to_be_created() {
    let broker = Broker::shared();
    let topic = broker.unused("missing");
    let output = broker.kafka().output(&topic).partitions(3).create(false);
    let error = write(vec![1_u64], Topic::json("copies"), &[("copies", output)]).unwrap_err();
    let command = format!("kafka-topics --bootstrap-server {} --create --topic {topic} --partitions 3", broker.address);
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains(&command), "{error}");
    assert_eq!(broker.partitions(&topic), None);
    // More copies than there are brokers.
    let output = broker.kafka().output(&topic).replication(9);
    let error = write(vec![1_u64], Topic::json("copies"), &[("copies", output)]).unwrap_err();
    assert!(error.to_string().contains("refuses to create it") && error.kind() == Kind::Config, "{error}");
}

#[test]
fn a_record_that_is_too_large_stops_the_job_or_goes_where_it_is_told() {
    let broker = Broker::shared();
    let (small, large) = (broker.small_topic("small", 2000), broker.unused("large"));
    let bound = [("copies", broker.kafka().output(&small)), ("large", broker.kafka().output(&large))];
    // Small ones fill many batches, none of which is larger than the topic takes.
    let records = || (0..5000).map(|n| n.to_string()).chain(["x".repeat(100_000)]).collect::<Vec<String>>();
    let copies = Topic::json::<String>("copies").key_ref(|text| text);
    let error = write(records(), copies.clone(), &bound[..1]).unwrap_err();
    assert_eq!(error.kind(), Kind::Record);
    let expected =
        format!("is too large for Kafka topic {small}, which takes 2000; raise max.message.bytes of the topic");
    assert!(error.to_string().contains("a record of 200094 bytes with key `xxx"), "{error}");
    assert!(error.to_string().contains(&expected), "{error}");

    let before = broker.read(&small, 0).len();
    let skipping = write(records(), copies.clone().too_large(BadRecords::Skip), &bound[..1]).unwrap();
    assert_eq!((skipping.committed.bad, broker.read(&small, 5000).len() - before), (1, 5000));
    let letters = Topic::json("large").key_ref(|letter: &DeadLetter| &letter.topic);
    let written = write(records(), copies.too_large(BadRecords::DeadLetter(letters)), &bound).unwrap();
    let out = vec![("copies".to_owned(), 5000), ("large".to_owned(), 1)];
    assert_eq!((written.committed.bad, written.committed.records_out), (1, out));
    let read = broker.read(&large, 1);
    let letter: DeadLetter = serde_json::from_slice(read[0].value.as_ref().unwrap()).unwrap();
    assert_eq!((read[0].key.as_deref(), letter.topic.as_str()), (Some(&b"copies"[..]), "copies"));
    assert!(letter.error.ends_with("the payload here is the first 16384 of 100002 bytes"), "{}", letter.error);
    assert_eq!(letter.payload.unwrap().len(), 16384);
}

#[test]
fn a_record_as_large_as_the_topic_takes_is_written() {
    let broker = Broker::shared();
    let topic = broker.small_topic("exact", 3_000_000);
    // 92 bytes for a batch of one record, and two quotation marks.
    let exact = || "y".repeat(3_000_000 - 94);
    let bound = [("copies", broker.kafka().output(&topic).clone())];
    let incompressible = broker.kafka().set("compression.type", "none").output(&topic);
    write(vec![exact()], Topic::json("copies"), &bound).unwrap();
    write(vec![exact()], Topic::json("copies"), &[("copies", incompressible)]).unwrap();
    assert_eq!(broker.read(&topic, 2).len(), 2);
    let error = write(vec![exact() + "y"], Topic::json("copies"), &bound).unwrap_err();
    assert!(error.to_string().contains("which takes 3000000"), "{error}");
}

#[test]
fn a_topic_that_was_created_again_is_written_on_and_another_is_not() {
    let broker = Broker::shared();
    let (from, to, other) = (broker.topic("from", 1), broker.topic("to", 1), broker.topic("other", 1));
    broker.write(&from, 0, 0..10);
    let copy = Copy::of(broker.kafka().topic(&from));
    let running = copy.start_to(Some(broker.kafka().output(&to)));
    running.wait_for(10);
    running.stop().unwrap();
    broker.recreate(&to, 1);
    broker.write(&from, 0, 10..15);
    let running = copy.start_to(Some(broker.kafka().output(&to)));
    running.wait_for(15);
    running.stop().unwrap();
    let numbers: Vec<u64> = broker.read(&to, 5).iter().map(super::broker::Read::number).collect();
    assert_eq!(numbers, (10..15).collect::<Vec<_>>());

    let error = copy.start_to(Some(broker.kafka().output(&other))).join().unwrap_err();
    assert!(error.to_string().contains(&format!("is Kafka topic {to}, not {other}")), "{error}");
    let error = copy.start().join().unwrap_err();
    assert!(error.to_string().contains("what was written before is not a file"), "{error}");
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is_opened() {
    for (output, says) in [
        (Kafka::at("127.0.0.1:1").output("out"), "Connection refused; nothing listens there"),
        (Kafka::at("127.0.0.1:1").output("o u t"), "takes no topic called"),
        (Kafka::at("127.0.0.1:1").set("acks", "1").output("out"), "what only one broker has is lost with it"),
        (Kafka::at("127.0.0.1:1").set("linger.ms", "long").output("out"), "Kafka option linger.ms is refused"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let job = copy(directory.path(), Input::of(Rows::new(vec![1_u64])));
        job.bind_output("copies", Output::Kafka(output));
        let options = super::running::options(directory.path());
        let (result, took) = timed(|| job.run(&options, &Control::default()));
        let error = result.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(took < Duration::from_secs(3) && !directory.path().join("state").exists(), "{took:?}");
    }
}

#[test]
fn a_job_does_not_write_what_it_reads_nor_one_topic_twice() {
    let kafka = Kafka::at("127.0.0.1:1,127.0.0.1:2");
    let directory = tempfile::tempdir().unwrap();
    let job = copy(directory.path(), Input::Kafka(kafka.topic("same")));
    job.bind_output("copies", Output::Kafka(Kafka::at("127.0.0.1:2").output("same")));
    let error = job.run(&RunOptions::default(), &Control::default()).unwrap_err();
    assert!(error.to_string().contains("the job would read what it writes"), "{error}");

    let job = Job::new("twice");
    let numbers = job.source(Topic::json::<u64>("numbers"));
    numbers.clone().sink(Topic::json("a"));
    numbers.sink(Topic::json("b"));
    job.bind_input("numbers", Input::of(Rows::new(vec![1_u64])));
    for topic in ["a", "b"] {
        job.bind_output(topic, Output::Kafka(kafka.output("one")));
    }
    let error = job.run(&RunOptions::default(), &Control::default()).unwrap_err();
    assert!(error.to_string().contains("outputs a and b are one Kafka topic, one"), "{error}");
}

#[test]
fn a_permission_that_is_missing_is_named() {
    let authorizer = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let broker = Broker::start_with(&[authorizer, "allow.everyone.if.no.acl.found=true"]);
    ["read-only", "opaque"].iter().for_each(|topic| broker.create(topic, 1));
    // What has one ACL has no others: first, all is allowed.
    let allow = ["acls", "--add", "--allow-principal", "User:*", "--operation", "All"];
    broker.tool(&[&allow[..], &["--topic", "*", "--cluster"]].concat(), b"");
    let deny = |arguments: &[&str]| {
        let deny = ["acls", "--add", "--deny-principal", "User:ANONYMOUS", "--operation"];
        broker.tool(&[&deny, arguments].concat(), b"");
    };
    deny(&["Create", "--topic", "missing", "--cluster"]);
    deny(&["Write", "--topic", "read-only"]);
    deny(&["DescribeConfigs", "--topic", "opaque"]);
    let write_to = |topic: &str, text: &str| {
        write(vec![text.to_owned()], Topic::json::<String>("copies"), &[("copies", broker.kafka().output(topic))])
    };
    for (topic, says) in [
        (
            "missing",
            "does not let this client create it; allow its user Create on the topic, or create it: kafka-topics",
        ),
        ("read-only", "does not let this client write topic read-only; allow its user Write and Describe on it"),
    ] {
        let error = write_to(topic, "x").unwrap_err();
        assert!(error.kind() == Kind::Config && error.to_string().contains(says), "{error}");
    }
    // How large a record may be is not told: it is what librdkafka takes by default.
    write_to("opaque", &"x".repeat(900_000)).unwrap();
    let error = write_to("opaque", &"x".repeat(1_000_000)).unwrap_err();
    assert!(error.to_string().contains("which takes 1000000"), "{error}");
}
