//! Brokers that go away. These need one of their own.

use headwater::format::Json;
use headwater::kafka::{KafkaSource, KafkaTopic};
use headwater::prelude::*;
use headwater::source::{Poll, Polled, Source};

use super::broker::Broker;
use super::running::{Copy, wait_until};

#[test]
fn a_broker_that_goes_away_is_waited_for() {
    let broker = Broker::start();
    let topic = broker.topic("away", 2);
    broker.write(&topic, 0, 0..100);
    let copy = Copy::of(broker.kafka().topic(&topic));
    let running = copy.start();
    running.wait_for(100);
    restart(&broker);
    broker.write(&topic, 1, 100..200);
    broker.write(&topic, 0, 200..300);
    running.wait_for(300);
    assert_eq!(running.stop().unwrap().restarts, 0);
    // The leader has another epoch now, and the positions are of the one before.
    restart(&broker);
    broker.write(&topic, 1, 300..310);
    copy.run_until(310);
    assert_eq!(copy.sorted(), (0..310).collect::<Vec<_>>());

    a_partition_is_not_idle_while_its_broker_is_silent(&broker, copy.topic.clone());
    a_broker_that_stays_away_is_given_up(&broker, copy, &topic);
}

fn restart(broker: &Broker) {
    broker.dev("kill");
    broker.dev("start");
}

fn a_partition_is_not_idle_while_its_broker_is_silent(broker: &Broker, topic: KafkaTopic) {
    let source = KafkaSource::<u64, _>::new(topic, Json);
    let mut partition = source.open("0", None).unwrap();
    let mut polled = Polled::default();
    let mut is_quiet = || partition.poll(&mut polled, 1000).unwrap() == Poll::Quiet;
    assert!(wait_until(&mut is_quiet));
    // Its connections stay open.
    broker.dev("pause");
    assert!(wait_until(|| !is_quiet()));
    broker.dev("resume");
    assert!(wait_until(&mut is_quiet));
}

fn a_broker_that_stays_away_is_given_up(broker: &Broker, copy: Copy, topic: &str) {
    let topic = broker.kafka().patience(Duration::from_secs(1)).topic(topic);
    let copy = Copy { topic, ..copy };
    let running = copy.start();
    assert!(wait_until(|| running.control.progress.committed().epoch > 0));
    broker.dev("kill");
    let error = running.join().unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("no Kafka broker answers at 127.0.0.1:"), "{error}");
}
