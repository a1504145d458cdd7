//! The raw batch loop of the source: what reading a topic costs at the least.

use std::time::Instant;

use headwater::format::{Decode, RawRecord};
use headwater::kafka::{KafkaSource, KafkaTopic};
use headwater::source::{Poll, Polled, Source};

use crate::common::bars::Run;
use crate::common::cpu;

/// Looks at the length of values alone.
#[derive(Clone)]
struct Length;

impl Decode<usize> for Length {
    fn decode(&self, payload: &[u8]) -> headwater::Result<usize> {
        Ok(payload.len())
    }

    fn decode_record(&self, record: &dyn RawRecord) -> headwater::Result<usize> {
        Ok(record.value().map_or(0, <[u8]>::len))
    }
}

/// Reads partition 0 of a topic, which has this many records, until its end.
pub fn read(topic: &KafkaTopic, expected: u64) -> Run {
    let source = KafkaSource::new(topic.clone(), Length);
    let (began, before) = (Instant::now(), cpu());
    let mut partition = source.open("0", None).unwrap();
    let mut polled = Polled::default();
    let mut records = 0;
    loop {
        polled.records.clear();
        match partition.poll(&mut polled, 1024).unwrap() {
            Poll::Records => records += polled.records.len() as u64,
            Poll::Wait(wait) => std::thread::sleep(wait),
            Poll::Quiet => panic!("it is read until its end"),
            Poll::End => break,
        }
    }
    assert_eq!(records, expected, "the run is void");
    Run { records, wall: began.elapsed(), cpu: cpu() - before }
}
