//! The flagship from typed rows in memory, without the engine around it.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use headwater::operators::{
    Activity, Batch, Chain, Counter, EventTime, Exchange, KeyByRef, Map, Merge, Message, Once, Origin, Output as Next,
    Progress, WindowAggregate,
};
use headwater::prelude::*;
use headwater::state::{Bulk, Epoch, LocalOptions, LocalState, Shard, Store};

use crate::common::bars::Run;
use crate::common::{Alert, Row, at, cpu, expected_alerts, user};

/// A store without anything in it: what is committed stays in the blocks, which the benchmark keeps as its log.
struct Nothing;

impl Store for Nothing {
    fn multi_get(&self, _: &str, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        Ok(vec![None; keys.len()])
    }
    fn scan(&self, _: &str, _: &[u8], _: &[u8], _: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>) -> Result<()> {
        Ok(())
    }
    fn durable(&self) -> Epoch {
        Epoch(0)
    }
    fn apply(&self, _: &Bulk) -> Result<()> {
        Ok(())
    }
}

struct Counted(Rc<Cell<u64>>);

impl Next<Vec<Alert>> for Counted {
    fn send(&mut self, message: Message<Vec<Alert>>) -> Result<()> {
        if let Message::Batch(batch) = message {
            self.0.set(self.0.get() + batch.records.len() as u64);
        }
        Ok(())
    }
    fn work(&mut self) -> Result<Progress> {
        Ok(Progress::Done)
    }
}

/// From typed rows in memory, committed every second to a log in memory.
pub fn memory(records: u64, users: u64) -> Run {
    const BATCH: u64 = 1024;
    const AHEAD: u64 = 64;
    let options = LocalOptions {
        shards: 32,
        owned: (0..32).map(Shard).collect(),
        committed: Epoch(0),
        memory_bytes: usize::MAX / 2,
    };
    let local = LocalState::new(Arc::new(Nothing), options, Vec::new());
    let alerts = Rc::new(Cell::new(0));
    let mut source = pipeline(&local, Box::new(Counted(Rc::clone(&alerts))));
    let origin = Origin { id: 0, name: "rows/0".into() };
    source.send(Message::Origin(origin, Activity::Active)).unwrap();
    let (mut log, mut wall, mut used) = (Vec::new(), Duration::ZERO, Duration::ZERO);
    let mut commit_at = Duration::from_secs(1);
    let mut n = 0;
    // Rows are made in stretches whose time does not count.
    while n < records {
        let ready: Vec<Vec<Row>> = (0..AHEAD * 16)
            .map(|batch| {
                let from = n + batch * BATCH;
                (from..from + BATCH).map(|n| Row { user: user(n, users), at: at(n), amount: 1 }).collect()
            })
            .collect();
        let (began, cpu_before) = (Instant::now(), cpu());
        for rows in ready {
            n += rows.len() as u64;
            let times = vec![Timestamp::MIN; rows.len()];
            source.send(Message::Batch(Batch::new(rows, times))).unwrap();
            if wall + began.elapsed() >= commit_at {
                commit_at += Duration::from_secs(1);
                source.send(Message::Barrier(local.epoch())).unwrap();
                log.push(local.finish_epoch().unwrap().blocks);
                local.begin_epoch();
            }
        }
        wall += began.elapsed();
        used += cpu() - cpu_before;
    }
    assert_eq!(alerts.get(), expected_alerts(n, users), "the run is void");
    Run { records: n, wall, cpu: used }
}

fn pipeline(local: &LocalState, sink: Box<dyn Next<Vec<Alert>>>) -> Box<dyn Next<Vec<Row>>> {
    let by_user = Arc::new(KeyByRef::new(|row: &Row| &row.user));
    let window = WindowAggregate {
        id: "rows".into(),
        keying: Arc::clone(&by_user),
        windows: Arc::new(Tumbling::days(1)),
        aggregate: Arc::new(Count),
        trigger: Arc::new(Once(|count: &u64| *count > 10)),
        allowed_lateness: Duration::ZERO,
    };
    let map =
        Map::new(Arc::new(|pane: Pane<Text, u64>| Alert { user: pane.key, day: pane.window.start, count: pane.value }));
    let map = Chain::new(map, sink);
    let window = Chain::new(window.open(local, None, Counter::new()).unwrap(), Box::new(map));
    let merged = Merge::inputs(1, Box::new(window)).pop().unwrap();
    let exchange = Exchange::new(by_user, vec![0; 32].into(), vec![Box::new(merged)]).unwrap();
    let times = Arc::new(|row: &Row| row.at);
    Box::new(EventTime::new("rows/time", times, Lateness::minutes(5), local, Box::new(exchange)))
}
