//! Records written to Kafka, as others find them.

use std::collections::{BTreeSet, HashMap};

use headwater::format::{Decode, Encode, Header, Json};
use headwater::kafka::KafkaOutput;
use headwater::prelude::*;

use super::broker::Broker;
use super::running::{Copy, options};

/// Runs `numbers` → `copies`, at least once, over these records.
pub fn write<T: Send + Sync + Clone + 'static>(
    records: Vec<T>,
    copies: Topic<T>,
    bound: &[(&str, KafkaOutput)],
) -> Result<Summary>
where
    Json: Encode<T> + Decode<T>,
{
    let job = Job::new("write");
    job.source(Topic::json::<T>("numbers")).sink(copies);
    job.bind_input("numbers", Input::of(Rows::new(records)));
    for (topic, output) in bound {
        job.bind_output(topic, Output::Kafka(output.clone()));
    }
    let directory = tempfile::tempdir().unwrap();
    let options = RunOptions { delivery: Delivery::AtLeastOnce, ..options(directory.path()) };
    job.run(&options, &Control::default())
}

#[test]
fn a_record_is_read_with_all_that_it_was_written_with() {
    let broker = Broker::shared();
    let topic = broker.topic("written", 1);
    let prices = Topic::json::<Option<u64>>("copies")
        .key(|price| price.map_or(Vec::new(), |price| vec![0xff, price as u8]))
        .headers(|price| vec![Header::new("a", format!("{price:?}")), Header { name: "b".into(), value: None }])
        .timestamp(|_| Timestamp::from_millis(1_700_000_000_123));
    write(vec![Some(1), None], prices, &[("copies", broker.kafka().output(&topic))]).unwrap();
    let plain = Topic::json::<Option<u64>>("copies");
    write(vec![None], plain, &[("copies", broker.kafka().output(&topic))]).unwrap();

    let read = broker.read(&topic, 3);
    let headers = |text: &str| vec![("a".to_owned(), Some(text.as_bytes().to_vec())), ("b".to_owned(), None)];
    assert_eq!((read[0].key.as_deref(), read[0].value.as_deref()), (Some(&[0xff, 1][..]), Some(&b"1"[..])));
    assert_eq!((&read[0].headers, read[0].millis), (&headers("Some(1)"), Some(1_700_000_000_123)));
    // A tombstone; the key has no bytes, and is one.
    assert_eq!((read[1].key.as_deref(), read[1].value.as_deref()), (Some(&[][..]), None));
    assert_eq!(read[1].headers, headers("None"));
    // Without a key there is nothing to delete, and without a timestamp it is that of the sending.
    assert_eq!((read[2].key.as_deref(), read[2].value.as_deref()), (None, Some(&b"null"[..])));
    assert!(read[2].headers.is_empty() && read[2].millis > read[0].millis);
}

#[test]
fn a_key_is_in_the_partition_that_java_puts_it_in() {
    let broker = Broker::shared();
    let (ours, theirs) = (broker.topic("ours", 16), broker.topic("theirs", 16));
    // Of all lengths and one to four bytes a letter, and none at all. The tool writes text only.
    let letters = |number: usize| ["a", "é", "€", "🦀"].iter().cycle().take(number % 23).copied().collect::<String>();
    let keys: Vec<String> =
        (0..999).map(|number| letters(number) + &number.to_string()).chain([String::new()]).collect();
    let lines: String = keys.iter().map(|key| format!("{key}\t1\n")).collect();
    let copies = Topic::json::<String>("copies").key_ref(|key| key);
    write(keys, copies, &[("copies", broker.kafka().output(&ours))]).unwrap();
    broker.console_producer(&theirs, lines.as_bytes());

    let partitions = |topic: &str| -> HashMap<Vec<u8>, i32> {
        broker.read(topic, 1000).into_iter().map(|record| (record.key.unwrap(), record.partition)).collect()
    };
    let (ours, theirs) = (partitions(&ours), partitions(&theirs));
    assert_eq!(ours.len(), 1000);
    assert!(ours == theirs);
    assert_eq!(ours.values().collect::<BTreeSet<_>>().len(), 16);
}

#[test]
fn what_is_written_goes_on_where_it_was() {
    let broker = Broker::shared();
    let (from, to) = (broker.topic("from", 3), broker.topic("to", 3));
    let copy = Copy::of(broker.kafka().topic(&from));
    for run in 0..3 {
        (0..3).for_each(|part| broker.write(&from, part, (0..1000).map(|n| run * 3000 + part as u64 * 1000 + n)));
        let running = copy.start_to(Some(broker.kafka().output(&to)));
        running.wait_for((run as usize + 1) * 3000);
        running.stop().unwrap();
    }
    let mut numbers: Vec<u64> = broker.read(&to, 9000).iter().map(super::broker::Read::number).collect();
    numbers.sort_unstable();
    // A clean stop commits all that was sent.
    assert_eq!(numbers, (0..9000).collect::<Vec<_>>());
}

#[test]
fn nothing_is_lost_when_the_broker_is_away() {
    let broker = Broker::start();
    broker.create("from", 2);
    broker.create("to", 2);
    (0..2).for_each(|part| broker.write("from", part, (0..20_000).map(|n| part as u64 * 20_000 + n)));
    let copy = Copy::of(broker.kafka().topic("from"));
    let running = copy.start_to(Some(broker.kafka().output("to")));
    running.wait_for(1);
    broker.dev("kill");
    broker.dev("start");
    broker.write("from", 0, 40_000..40_010);
    running.wait_for(40_010);
    running.stop().unwrap();
    let numbers: BTreeSet<u64> = broker.read("to", 40_010).iter().map(super::broker::Read::number).collect();
    assert_eq!(numbers, (0..40_010).collect());
}

#[test]
fn bad_and_late_records_go_to_topics_like_others() {
    let broker = Broker::shared();
    let from = broker.topic("from", 1);
    let writer = broker.producer();
    for value in ["1700000000", "oops", "1700000100", "1700000001"] {
        writer.send_record(rdkafka::producer::BaseRecord::to(&from).partition(0).payload(value));
    }
    writer.flush();
    let job = Job::new("windows");
    job.source(Topic::json::<u64>("seconds"))
        .on_bad_record(BadRecords::DeadLetter(Topic::json("bad").key_ref(|bad: &DeadLetter| &bad.place)))
        .event_time(|seconds| Timestamp::from_millis(*seconds as i64 * 1000), Lateness::seconds(1))
        .key_by(|_| 0_u64)
        .window(Tumbling::seconds(10))
        .late(Topic::json("late"))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("counts"));
    let names = ["bad", "late", "counts"].map(|name| (name, broker.unused(name)));
    for (name, kafka) in &names {
        job.bind_output(name, Output::Kafka(broker.kafka().output(kafka)));
    }
    job.bind_input("seconds", Input::Kafka(broker.kafka().topic(&from).until_end()));
    let options = RunOptions { delivery: Delivery::AtLeastOnce, batch_rows: 1, ..RunOptions::default() };
    job.run(&options, &Control::default()).unwrap();
    let [bad, late, counts] = names.map(|(_, kafka)| broker.read(&kafka, 1));
    assert_eq!(bad[0].key, Some(format!("{from}[0]@1").into_bytes()));
    assert!(String::from_utf8_lossy(bad[0].value.as_ref().unwrap()).contains("oops"));
    assert_eq!((late.len(), counts.len()), (1, 2));
}
