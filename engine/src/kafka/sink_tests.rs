//! What becomes of records on their way to Kafka, without a broker.

use super::*;
use crate::format::Json;
use crate::{Kind, Topic as LogicalTopic};

type Price = (String, Option<u64>);

fn writer<T: 'static>(topic: &LogicalTopic<T, Json>, limit: usize) -> Box<dyn SinkWriter<T>>
where
    Json: Encode<T>,
{
    let output = crate::kafka::Kafka::at("localhost:1").output("out");
    let sink = KafkaSink::new(output, topic);
    sink.record_bytes_max.store(limit, Ordering::Relaxed);
    sink.writer()
}

/// What is sent, as text: key, value, headers, milliseconds.
fn sent(chunk: Chunk) -> Vec<String> {
    let rows = Rows::take(chunk.typed).unwrap();
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    rows.outgoing("out", &chunk.bytes)
        .map(|record| {
            let headers: Vec<&str> = record.headers.iter().map(|header| header.name.as_str()).collect();
            let millis = record.timestamp.map(Timestamp::as_millis);
            format!("{:?} {:?} {headers:?} {millis:?}", text(record.key), text(record.value))
        })
        .collect()
}

#[test]
fn a_record_brings_its_fields_and_none_without_a_value_is_a_tombstone() {
    let topic = Topic::json::<Option<u64>>("out")
        .key(|price| price.filter(|price| *price != 7).map(|price| price.to_string()))
        .headers(|price| price.iter().map(|_| Header::new("h", "x")).collect())
        .timestamp(|price| Timestamp::from_millis(price.unwrap_or(1) as i64));
    let mut chunk = Chunk::default();
    let mut prices = writer(&topic, usize::MAX);
    prices.write(vec![Some(12), Some(7)], &mut chunk).unwrap();
    prices.write(vec![None], &mut chunk).unwrap();
    assert_eq!((chunk.records, chunk.bytes.as_slice()), (3, b"12\n7\nnull\n".as_slice()));
    let expected = [
        r#"Some("12") Some("12") ["h"] Some(12)"#,
        r#"None Some("7") ["h"] Some(7)"#,
        // Without a key there is nothing to delete.
        r#"None Some("null") [] Some(1)"#,
    ];
    assert_eq!(sent(chunk), expected);

    let keyed = Topic::json::<Option<u64>>("out").key(|_| "k");
    let mut chunk = Chunk::default();
    writer(&keyed, usize::MAX).write(vec![None], &mut chunk).unwrap();
    assert_eq!(sent(chunk), [r#"Some("k") None [] None"#]);
}

#[test]
fn a_record_that_is_too_large_is_treated_as_its_topic_says() {
    let large = || vec![("a".to_owned(), Some(1)), ("b".repeat(1000), None), ("c".to_owned(), None)];
    let topic = Topic::json::<Price>("prices").key_ref(|price| &price.0);
    let mut chunk = Chunk::default();
    let error = writer(&topic, 500).write(large(), &mut chunk).unwrap_err();
    assert_eq!((error.kind(), chunk.records, sent(chunk).len()), (Kind::Record, 1, 1));
    let text = error.to_string();
    assert!(text.contains("a record of 2101 bytes with key `bbb") && text.contains("out, which takes 500;"), "{text}");

    let (mut chunk, topic) = (Chunk::default(), topic.too_large(BadRecords::Skip));
    let mut skipping = writer(&topic, 500);
    skipping.write(large(), &mut chunk).unwrap();
    assert_eq!((chunk.records, skipping.refused().records, skipping.refused().records), (2, 1, 0));
    assert_eq!(sent(chunk)[1], r#"Some("c") Some("[\"c\",null]") [] None"#);

    let topic = topic.too_large(BadRecords::DeadLetter(Topic::json("large")));
    let mut setting_aside = writer(&topic, 500);
    setting_aside.write(large(), &mut Chunk::default()).unwrap();
    let letter = setting_aside.refused().dead_letters.remove(0);
    assert_eq!((letter.topic.as_str(), letter.partition.as_str()), ("prices", "Kafka topic out"));
    assert!(letter.place.starts_with("output, key `bbb") && letter.payload.unwrap().starts_with("[\"bbb"));
}

#[test]
fn a_time_that_kafka_cannot_keep_is_a_bad_record() {
    for time in [Timestamp::MIN, Timestamp::MAX, Timestamp::from_millis(0), Timestamp::from_millis(-5)] {
        let topic = Topic::json::<u64>("out").timestamp(move |_| time);
        let error = writer(&topic, usize::MAX).write(vec![1], &mut Chunk::default()).unwrap_err();
        assert!(error.to_string().contains("cannot keep"), "{error}");
    }
}

#[test]
fn another_topic_than_was_written_is_refused_and_a_new_one_of_the_name_is_not() {
    let identity = |name: &str, topic: &str, cluster: &str| Identity {
        name: Some(name.to_owned()),
        topic: Some(topic.to_owned()),
        cluster: Some(cluster.to_owned()),
    };
    let before = identity("alerts", "T1", "C1");
    let committed = format!("kafka{before}");
    assert_eq!(committed, "kafka topic=T1 cluster=C1 name=alerts");
    assert_eq!(same(&before, &committed, "alerts").unwrap(), before);
    let recreated = identity("alerts", "T2", "C1");
    assert_eq!(same(&recreated, &committed, "alerts").unwrap(), recreated);
    // What brokers do not tell is what it was.
    assert_eq!(same(&Identity::default(), &committed, "alerts").unwrap(), before);
    for (now, says) in [
        (identity("bills", "T2", "C1"), "what was written before is Kafka topic alerts, not bills"),
        (identity("alerts", "T1", "C2"), "another Kafka cluster"),
    ] {
        let error = same(&now, &committed, "alerts").unwrap_err();
        assert!(error.kind() == Kind::Config && error.to_string().contains(says), "{error}");
    }
    for other in ["", "17", "{\"length\":1}", "kafka ", "kafka x=1"] {
        assert!(same(&before, other, "alerts").unwrap_err().to_string().contains("not a Kafka topic"), "{other}");
    }
}
