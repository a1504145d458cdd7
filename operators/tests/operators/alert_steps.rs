//! Runs rules over steps written as text, and cuts them by crashes: every way must say the same.

use std::sync::Arc;

use headwater_operators::harness::{Harness, HarnessOptions};
use headwater_operators::{Alert, Chain, Counter, KeyByRef, Operator, Result, Timestamp};
use headwater_operators::{AlertRule, Silence};
use headwater_state::{LocalState, Store};

/// Key and value.
pub(crate) type Row = (String, f64);

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Second, key, value.
    Row(i64, &'static str, f64),
    Watermark(i64),
    Tick(i64),
    End,
}

/// Of the key `a`.
pub(crate) fn row(second: i64, value: f64) -> Step {
    Step::Row(second, "a", value)
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

/// An operator that is stepped, with all its state in tables.
pub(crate) struct Stepped<I: 'static, O: 'static> {
    pub harness: Harness<Vec<I>, Vec<O>>,
    make: fn(&'static str, f64) -> I,
    tick: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Through,
    /// Everything is committed, written back and opened again after each step.
    Restarts,
    /// Each step is done, lost, and done again.
    Lost,
}

impl<I: Send + 'static, O: Send + 'static> Stepped<I, O> {
    pub fn new<P: Operator<Vec<I>, Vec<O>> + 'static>(
        make: fn(&'static str, f64) -> I,
        open: impl Fn(&LocalState) -> Result<P> + 'static,
    ) -> Self {
        let options = HarnessOptions { memory_bytes: 0, ..HarnessOptions::default() };
        let harness = Harness::with(options, move |local, next| Ok(Box::new(Chain::new(open(local)?, next)))).unwrap();
        Self { harness, make, tick: None }
    }

    pub fn step(&mut self, step: &Step) {
        match *step {
            Step::Row(second, key, value) => self.harness.timed([(at(second), (self.make)(key, value))]).unwrap(),
            Step::Watermark(second) => self.harness.watermark(at(second)).unwrap(),
            Step::Tick(second) => {
                self.tick = Some(second);
                self.harness.tick(at(second)).unwrap();
            }
            // As of a stream without event time: with it, its end comes first.
            Step::End => self.harness.end().unwrap(),
        }
    }

    pub fn commit(&mut self) -> Vec<O> {
        self.harness.commit().unwrap();
        self.harness.take()
    }

    pub fn crash(&mut self) {
        self.harness.crash().unwrap();
        // The clock goes on.
        if let Some(second) = self.tick {
            self.harness.tick(at(second)).unwrap();
        }
    }

    /// How many values its tables hold.
    pub fn kept(&mut self, tables: &[&str]) -> usize {
        self.harness.write_back().unwrap();
        let mut kept = 0;
        for table in tables {
            let mut count = |_: &[u8], _: &[u8]| {
                kept += 1;
                std::ops::ControlFlow::Continue(())
            };
            self.harness.store().scan(table, &[], &[u8::MAX; 8], &mut count).unwrap();
        }
        kept
    }
}

/// Everything that comes out of the steps, whichever way they are cut.
pub(crate) fn all_ways<I, O>(open: impl Fn() -> Stepped<I, O>, steps: &[Step], say: impl Fn(O) -> String) -> Vec<String>
where
    I: Send + 'static,
    O: Send + 'static,
{
    let mut said = Vec::new();
    for way in [Way::Through, Way::Restarts, Way::Lost] {
        let (mut stepped, mut out) = (open(), Vec::new());
        for step in steps {
            let tick = stepped.tick;
            stepped.step(step);
            if way == Way::Lost {
                stepped.tick = tick;
                stepped.crash();
                stepped.step(step);
            }
            if way != Way::Through {
                out.extend(stepped.commit());
                stepped.harness.write_back().unwrap();
                stepped.crash();
            }
        }
        out.extend(stepped.commit());
        let out: Vec<_> = out.into_iter().map(&say).collect();
        if way == Way::Through {
            said = out;
        } else {
            assert_eq!(out, said, "{way:?}, over {steps:?}");
        }
    }
    said
}

pub(crate) fn followed(rule: AlertRule<String, Row>) -> Stepped<Row, Alert> {
    assert_eq!(rule.mistakes(), [""; 0]);
    let process = Arc::new(rule).process(Arc::new(KeyByRef::new(|row: &Row| &row.0)), Counter::new());
    Stepped::new(|key, value| (key.to_owned(), value), move |local| process.open(local))
}

pub(crate) fn listened(rule: Silence<String>) -> Stepped<Row, Alert> {
    assert_eq!(rule.mistakes(), [""; 0]);
    let process = Arc::new(rule).process(Arc::new(KeyByRef::new(|row: &Row| &row.0)), Counter::new());
    Stepped::new(|key, value| (key.to_owned(), value), move |local| process.open(local))
}

/// `firing a 60`, `resolved a 60..90 flapping`: the identity's key, the times, and annotations that say something.
pub(crate) fn line(alert: &Alert) -> String {
    let mut line = format!("{} {} {}", alert.status.as_str(), alert.labels["key"], alert.starts_at.as_seconds());
    if let Some(end) = alert.ends_at {
        line += &format!("..{}", end.as_seconds());
    }
    for (name, value) in &alert.annotations {
        match value.as_str() {
            "true" => line += &format!(" {name}"),
            _ => line += &format!(" {name} {value}"),
        }
    }
    line
}

/// Over 5 is bad; the key is the label `key`.
pub(crate) fn high() -> AlertRule<String, Row> {
    AlertRule::new("High")
        .when(|row: &Row| row.1 > 5.0)
        .key_label("key")
        .summary(|key, row| format!("{key} is {}", row.1))
}
