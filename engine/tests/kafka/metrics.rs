//! What a job that reads Kafka shows of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater::prelude::*;

use super::broker::Broker;
use super::running::options;
use crate::scrape::{address, figure, get, page, wait_until};

/// The lag ends at the last stable offset: what is in an open transaction cannot be read yet.
#[test]
fn lag_is_told_per_partition() {
    let broker = Broker::shared();
    let topic = broker.topic("lag", 2);
    broker.write(&topic, 0, 0..100);
    let writer = broker.transactional(&topic);
    writer.begin();
    (100..110).for_each(|number| writer.send(&topic, 1, number));
    writer.flush();

    // Ten records are read at once, and the first of them waits.
    let gate = Arc::new(AtomicBool::new(false));
    let control = Control::default();
    let running = {
        let (control, gate) = (control.clone(), Arc::clone(&gate));
        let input = Input::Kafka(broker.kafka().topic(&topic));
        std::thread::spawn(move || {
            let directory = tempfile::tempdir().unwrap();
            let options = RunOptions {
                batch_rows: 10,
                // The worker of the other partition goes on.
                commit_interval: Duration::from_secs(60),
                http: Some("127.0.0.1:0".parse().unwrap()),
                ..options(directory.path())
            };
            let job = Job::new("held");
            let wait = move |number| {
                assert!(wait_until(|| gate.load(Ordering::Relaxed)));
                number
            };
            job.source(Topic::json::<u64>("numbers")).map(wait).sink(Topic::json("copies"));
            job.bind_input("numbers", input);
            job.bind_output("copies", Output::of(Captured::<u64>::new()));
            job.run(&options, &control)
        })
    };
    let at = address(&control);
    let series = |name: &str, labels: &str| format!("headwater_kafka_{name}{{job=\"held\",topic=\"numbers\"{labels}}}");
    let lag = |partition: u32| figure(&page(at), &series("lag_records", &format!(",partition=\"{partition}\"")));
    assert!(wait_until(|| lag(0) == Some(90.0) && lag(1) == Some(0.0)), "{}", page(at));
    assert_eq!(get(at, "/readyz"), (200, "ok\n".to_owned()));

    gate.store(true, Ordering::Relaxed);
    writer.commit();
    let received = || figure(&page(at), &series("received_messages_total", ""));
    // The marker of the transaction is a message, too.
    let all = || received() == Some(111.0) && control.progress.records_in() == 110;
    assert!(wait_until(|| all() && lag(0) == Some(0.0) && lag(1) == Some(0.0)), "{}", page(at));
    let page = page(at);
    let up = page.lines().filter(|line| line.starts_with("headwater_kafka_broker_up") && line.ends_with(" 1.0"));
    assert_eq!(up.count(), 1, "{page}");
    assert!(page.contains("headwater_kafka_broker_rtt_seconds{job=\"held\",topic=\"numbers\",broker="), "{page}");
    assert!(figure(&page, &series("received_bytes_total", "")).unwrap() > 110.0, "{page}");
    control.stop();
    running.join().unwrap().unwrap();
}
