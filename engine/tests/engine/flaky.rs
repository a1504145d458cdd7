//! A source that fails while it is read, and the ways in which a job can be run over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater::prelude::*;
use headwater::source::{Partition, Poll, Polled, Source};
use proptest::prelude::*;

/// Key, value, time in seconds.
pub(crate) type Row = (u8, i64, i64);

/// Rows that fail to be read now and then: each failure is a crash, after which the job goes on from its last commit.
#[derive(Clone)]
pub(crate) struct Flaky {
    rows: Arc<Vec<Row>>,
    polls: Arc<AtomicU64>,
    fail_at: Arc<Vec<u64>>,
}

impl Source<Row> for Flaky {
    fn describe(&self) -> String {
        "rows that fail".into()
    }
    fn partitions(&self) -> Result<Vec<String>> {
        Ok(vec!["0".into()])
    }
    fn open(&self, _: &str, position: Option<&str>) -> Result<Box<dyn Partition<Row>>> {
        let next = position.map_or(0, |position| position.parse().unwrap());
        Ok(Box::new(FlakyPartition { source: self.clone(), next }))
    }
}

struct FlakyPartition {
    source: Flaky,
    next: usize,
}

impl Partition<Row> for FlakyPartition {
    fn poll(&mut self, polled: &mut Polled<Row>, rows_max: usize) -> Result<Poll> {
        let poll = self.source.polls.fetch_add(1, Ordering::Relaxed);
        if self.source.fail_at.contains(&poll) {
            return Err(Error::unavailable("the test pulled the plug"));
        }
        let end = (self.next + rows_max).min(self.source.rows.len());
        polled.records.extend_from_slice(&self.source.rows[self.next..end]);
        polled.bytes += polled.records.len() * size_of::<Row>();
        self.next = end;
        Ok(if end == self.source.rows.len() { Poll::End } else { Poll::Records })
    }
    fn position(&self) -> String {
        self.next.to_string()
    }
}

impl Flaky {
    pub fn new(rows: &[Row], way: &Way) -> Self {
        Self { rows: Arc::new(rows.to_vec()), polls: Arc::default(), fail_at: Arc::new(way.fail_at.clone()) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub batch_rows: usize,
    pub workers: usize,
    pub memory_bytes: usize,
    pub commit_ms: u64,
    pub fail_at: Vec<u64>,
}

pub(crate) fn way() -> impl Strategy<Value = Way> {
    let memory = prop_oneof![Just(2_000usize), Just(40_000), Just(1 << 30)];
    let fail_at = prop::collection::vec(0u64..60, 0..2);
    (1usize..40, 1usize..4, memory, 0u64..4, fail_at).prop_map(
        |(batch_rows, workers, memory_bytes, commit_ms, fail_at)| Way {
            batch_rows,
            workers,
            memory_bytes,
            commit_ms,
            fail_at,
        },
    )
}

impl Way {
    pub fn options(&self) -> RunOptions {
        RunOptions {
            workers: self.workers,
            batch_rows: self.batch_rows,
            memory_bytes: self.memory_bytes,
            commit_interval: Duration::from_millis(self.commit_ms),
            ..RunOptions::default()
        }
    }
}
