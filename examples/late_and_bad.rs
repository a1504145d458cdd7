//! What becomes of records that cannot be read, and of those that come too late. None is lost, and each is counted.
//!
//!     cargo run --example late_and_bad
//!     cargo run --example late_and_bad -- --input readings.jsonl --output means=- --output late=- --output dead-letters=-
//!
//! A reading may come ten seconds out of order (`Lateness`): so long a minute waits before it closes. One that comes in
//! the two minutes after that (`allowed_lateness`) corrects the mean that was sent, with `"corrected": true`. One that
//! comes later still goes to the topic `late`. And what is no reading at all goes to `dead-letters` with the place it
//! was read from and the reason; without `.on_bad_record(…)` it would stop the job.

use headwater::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Reading {
    sensor: Text,
    at: Timestamp,
    celsius: f64,
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Mean {
    sensor: Text,
    minute: Timestamp,
    celsius: f64,
    corrected: bool,
}

fn job() -> Job {
    let job = Job::new("late-and-bad");
    job.source(Topic::json::<Reading>("readings"))
        .on_bad_record(BadRecords::DeadLetter(Topic::json("dead-letters")))
        .event_time(|reading| reading.at, Lateness::seconds(10))
        .key_by_ref(|reading| &reading.sensor)
        .window(Tumbling::minutes(1))
        .allowed_lateness(Duration::from_secs(120))
        .late(Topic::json("late"))
        .avg(|reading| reading.celsius)
        .on_close()
        .map(|pane| Mean {
            sensor: pane.key,
            minute: pane.window.start,
            celsius: pane.value,
            corrected: pane.kind == PaneKind::Correction,
        })
        .sink(Topic::json("means"));
    job
}

fn main() -> ExitCode {
    let job = job();
    job.bind_input("readings", Input::Files(SAMPLE.to_owned()));
    for topic in ["means", "late", "dead-letters"] {
        job.bind_output(topic, Output::Stdout);
    }
    job.main()
}

/// A few readings of one sensor: in order, out of order, late, and none at all.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/readings.jsonl");

#[test]
fn no_reading_is_lost() {
    let job = job();
    let (means, late, dead_letters) = (Captured::<Mean>::new(), Captured::<Late<Reading>>::new(), Captured::new());
    job.bind_input("readings", Input::Files(SAMPLE.to_owned()));
    job.bind_output("means", Output::of(means.clone()));
    job.bind_output("late", Output::of(late.clone()));
    job.bind_output("dead-letters", Output::of(dead_letters.clone()));
    job.run(&RunOptions::default(), &Control::default()).unwrap();

    let means = means.take();
    let of_nine: Vec<_> = means.iter().filter(|mean| mean.minute.to_string().contains("09:00")).collect();
    assert_eq!(
        of_nine.iter().map(|mean| (mean.celsius, mean.corrected)).collect::<Vec<_>>(),
        [(21.0, false), (22.0, true)]
    );
    assert_eq!(late.take().iter().map(|late| late.record.celsius).collect::<Vec<_>>(), [99.0]);
    let dead_letters: Vec<DeadLetter> = dead_letters.take();
    assert_eq!(dead_letters.len(), 2);
    assert!(dead_letters[0].place.contains("line 5"), "{}", dead_letters[0].place);
}
