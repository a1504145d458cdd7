//! Brokers that go away.

use headwater::prelude::*;

use super::broker::Broker;
use super::running::Copy;

#[test]
fn a_broker_that_is_killed_is_waited_for() {
    let broker = Broker::start();
    let topic = broker.topic("broker-killed", 2);
    broker.write(&topic, 0, 0..100);
    let copy = Copy::of(broker.kafka().topic(&topic));
    let running = copy.start();
    running.wait_for(100);
    broker.dev("kill");
    broker.dev("start");
    broker.write(&topic, 1, 100..200);
    broker.write(&topic, 0, 200..300);
    running.wait_for(300);
    let summary = running.stop().unwrap();
    assert_eq!(summary.restarts, 0);
    // The leader has another epoch now, and the position is of the old one and the new.
    broker.dev("kill");
    broker.dev("start");
    broker.write(&topic, 1, 300..310);
    copy.run_until(310);
    assert_eq!(copy.sorted(), (0..310).collect::<Vec<_>>());

    // One that stays away for longer than the job is patient is `Unavailable`, after a few tries.
    let impatient = Copy { topic: broker.kafka().patience(Duration::from_secs(1)).topic(&topic), ..copy };
    let running = impatient.start();
    running.wait_for(310);
    broker.dev("kill");
    let error = running.join().unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("no Kafka broker answers at 127.0.0.1:"), "{error}");
}
