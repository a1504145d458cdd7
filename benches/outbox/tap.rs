//! An input of which as many items come as the benchmark lets out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use headwater::prelude::*;
use headwater::source::{Partition, Poll, Polled, Source};

use crate::common::Transaction;

/// Makes item `n`.
pub type Make = fn(u64) -> Transaction;

/// How much of an input has come. It keeps nothing: a clone is the same tap.
#[derive(Clone)]
pub struct Tap {
    flow: Arc<Flow>,
    make: Make,
}

#[derive(Default)]
struct Flow {
    items: AtomicU64,
    is_over: AtomicBool,
}

impl Tap {
    /// One that has let nothing out yet.
    pub fn of(make: Make) -> Self {
        Self { flow: Arc::default(), make }
    }

    /// So many items have come by now.
    pub fn let_out(&self, items: u64) {
        self.flow.items.store(items, Relaxed);
    }

    /// What was not read yet never comes.
    pub fn end(&self) {
        self.flow.is_over.store(true, Relaxed);
    }
}

impl Source<Transaction> for Tap {
    fn describe(&self) -> String {
        "tap".to_owned()
    }

    fn partitions(&self) -> Result<Vec<String>> {
        Ok(vec!["0".to_owned()])
    }

    fn open(&self, _: &str, position: Option<&str>) -> Result<Box<dyn Partition<Transaction>>> {
        let next = position.map_or(0, |position| position.parse().unwrap());
        Ok(Box::new(Read { tap: self.clone(), next }))
    }
}

struct Read {
    tap: Tap,
    next: u64,
}

impl Partition<Transaction> for Read {
    fn poll(&mut self, polled: &mut Polled<Transaction>, rows_max: usize) -> Result<Poll> {
        let flow = &self.tap.flow;
        if flow.is_over.load(Relaxed) {
            return Ok(Poll::End);
        }
        let end = flow.items.load(Relaxed).min(self.next + rows_max as u64);
        if end == self.next {
            return Ok(Poll::Quiet);
        }
        polled.records.extend((self.next..end).map(self.tap.make));
        polled.bytes += (end - self.next) as usize * size_of::<Transaction>();
        self.next = end;
        Ok(Poll::Records)
    }

    fn position(&self) -> String {
        self.next.to_string()
    }
}
