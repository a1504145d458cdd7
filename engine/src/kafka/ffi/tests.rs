//! Against the cluster that librdkafka has within itself.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::super::watch::Watch;
use super::{Batch, Consumer, Description, PartitionQueue, assign, high_watermark};

const AT_MOST: Duration = Duration::from_secs(20);

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "test").set("enable.partition.eof", "true");
    config
}

fn consumer(brokers: &str) -> Arc<Consumer> {
    let watch = Watch::new("orders", 1, Duration::ZERO);
    Arc::new(config(brokers).create_with_context(watch).unwrap())
}

/// Calls `look` with batches until it has seen enough.
fn look_until(queue: &mut PartitionQueue, mut look: impl FnMut(&Batch<'_>) -> bool) {
    let began = crate::clock::now();
    while !look(&queue.take(2)) {
        assert!(began.elapsed() < AT_MOST, "no end is seen");
    }
}

#[test]
fn messages_are_borrowed_with_all_that_they_have() {
    let cluster = MockCluster::<'_, DefaultProducerContext>::new(1).unwrap();
    cluster.create_topic("orders", 1, 1).unwrap();
    let producer: BaseProducer = config(&cluster.bootstrap_servers()).create().unwrap();
    let headers = OwnedHeaders::new().insert(Header { key: "a", value: Some("1") });
    let headers = headers.insert(Header { key: "b", value: None::<&str> });
    let whole = BaseRecord::to("orders").key("k").payload("value").headers(headers).timestamp(1_234);
    producer.send(whole).map_err(|(error, _)| error).unwrap();
    producer.send(BaseRecord::<str, str>::to("orders").payload("")).map_err(|(error, _)| error).unwrap();
    producer.send(BaseRecord::<str, str>::to("orders").key("")).map_err(|(error, _)| error).unwrap();
    producer.flush(AT_MOST).unwrap();

    let (consumer, topic) = (consumer(&cluster.bootstrap_servers()), CString::new("orders").unwrap());
    assert_eq!(high_watermark(&consumer, &topic, 0), None);
    let mut queue = PartitionQueue::split(&consumer, &topic, 0).unwrap();
    assert_eq!(queue.take(8).iter().count(), 0);
    assign(&consumer, &topic, 0, 0, None).unwrap();
    let (mut seen, mut end) = (Vec::new(), None);
    look_until(&mut queue, |batch| {
        for message in batch.iter() {
            if let Some(code) = message.error() {
                assert_eq!(code, Code::PartitionEOF, "{}", message.reason());
                end = Some(message.offset());
                continue;
            }
            let mut headers = Vec::new();
            message.headers(|name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
            let [key, value] = [message.key(), message.value()].map(|bytes| bytes.map(<[u8]>::to_vec));
            seen.push((message.offset(), key, value, headers));
            if message.offset() == 0 {
                assert_eq!(message.timestamp(), Some(1_234));
            }
        }
        end.is_some()
    });
    let bytes = |text: &str| Some(text.as_bytes().to_vec());
    let headers = vec![("a".to_owned(), bytes("1")), ("b".to_owned(), None)];
    assert_eq!(seen[0], (0, bytes("k"), bytes("value"), headers));
    assert_eq!(seen[1], (1, None, bytes(""), Vec::new()));
    assert_eq!(seen[2], (2, bytes(""), None, Vec::new()));
    assert_eq!((seen.len(), end, high_watermark(&consumer, &topic, 0)), (3, Some(3), Some(3)));
    // The queue may outlive every other handle of its consumer.
    drop(consumer);
    assert_eq!(queue.take(8).iter().count(), 0);
}

#[test]
fn a_question_may_be_dropped_before_its_answer() {
    let consumer = consumer("127.0.0.1:1");
    let topic = CString::new("orders").unwrap();
    let question = Description::ask(&consumer, &topic, AT_MOST).unwrap();
    assert_eq!(question.poll(Duration::from_millis(1)), None);
    drop(question);
    drop(consumer);
}
