//! What a user is told whose command line does not fit.

use headwater::prelude::*;

use super::broker::Broker;
use super::running::{Copy, timed};

#[test]
fn a_topic_that_is_not_there_is_named() {
    let broker = Broker::shared();
    let error = Copy::of(broker.kafka().topic("nowhere")).run().unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    let expected = format!("Kafka at {} has no topic nowhere; create it", broker.address);
    assert!(error.to_string().contains(&expected), "{error}");
}

#[test]
fn a_broker_that_is_not_there_is_told_within_three_seconds() {
    for (address, says) in
        [("127.0.0.1:1", "Connection refused; nothing listens there"), ("no-such-host.invalid:9092", "check the name")]
    {
        let (result, took) = timed(|| Copy::of(Kafka::at(address).topic("numbers")).run());
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        let text = error.to_string();
        assert!(text.contains(&format!("no Kafka broker answers at {address}: ")) && text.contains(says), "{text}");
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
}

#[test]
fn a_port_that_is_not_one_of_kafka_is_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (result, took) = timed(|| Copy::of(Kafka::at(&address).topic("numbers")).run());
    let text = result.unwrap_err().to_string();
    assert!(text.contains(&format!("no Kafka broker answers at {address}")), "{text}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn tls_to_a_port_without_it_is_told() {
    let broker = Broker::shared();
    let kafka = broker.kafka().set("security.protocol", "SSL");
    let error = Copy::of(kafka.topic("numbers")).run().unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("speaks TLS"), "{error}");
}

#[test]
fn a_wrong_option_is_told_before_anything_is_opened() {
    for (key, value, says) in [
        ("fetch.min.byte", "1", "Kafka option fetch.min.byte is refused"),
        ("isolation.level", "read_uncommitted", "would break exactly-once reading"),
        ("ssl.ca.location", "/no/such/file", "ssl.ca.location"),
    ] {
        let kafka = Kafka::at("127.0.0.1:1").set("security.protocol", "SSL").set(key, value);
        let copy = Copy::of(kafka.topic("numbers"));
        let error = copy.run().unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!copy.directory.path().join("state").exists());
    }
}
