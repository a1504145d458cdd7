//! What an item costs on its way through an outbox: the job with it, and the same job with it delivering nothing.

use headwater::connectors::Webhook;
use headwater::prelude::*;

use crate::common::Transaction;
use crate::common::bars::{Bars, Rounds, Run, median};
use crate::jobs::{Server, drain, item};
use crate::receiver::Receiver;

const ROUNDS: usize = 5;

/// How items come, and how often the job commits.
struct Case {
    name: &'static str,
    items: u64,
    /// Items a second; `None` is all of them at once.
    rate: Option<f64>,
    interval: Duration,
    /// The bar, in microseconds.
    at_most: f64,
}

impl Case {
    fn input(&self) -> Input {
        let items = Generator::new(1, |n, _: &mut Random| item(n)).count(self.items);
        Input::of(match self.rate {
            Some(rate) => items.rate(rate),
            None => items,
        })
    }

    fn run<C: Connector<Transaction>>(&self, connector: C, delivers: bool) -> Run {
        drain(self.input(), self.items, Outbox::new("outbox", connector), |options| {
            options.commit_interval = self.interval;
            options.deliver = Some(delivers);
        })
    }

    /// Runs with and without deliveries in turns, and judges the difference.
    fn measure(&self, bars: &mut Bars, deliver: impl Fn() -> Run) {
        let mut with = Rounds::of(self.name);
        let mut without = Rounds::of("  the same, --no-deliver");
        for round in 0..ROUNDS {
            let with_first = round % 2 == 0;
            if with_first {
                with.push(deliver());
            }
            without.push(self.run(Server::default(), false));
            if !with_first {
                with.push(deliver());
            }
        }
        with.print();
        without.print();
        let each = (median(&with.cpu_ns()) - median(&without.cpu_ns())) / 1e3;
        bars.at_most(format!("{}, CPU per item", self.name), each, self.at_most, "µs");
    }
}

const CASES: [Case; 3] = [
    Case {
        name: "200 k items at once",
        items: 200_000,
        rate: None,
        interval: Duration::from_millis(200),
        at_most: 25.0,
    },
    Case {
        name: "40 k items at once, commits every 1 s",
        items: 40_000,
        rate: None,
        interval: Duration::from_secs(1),
        at_most: 25.0,
    },
    Case {
        name: "50 k items, 5,000 a second",
        items: 50_000,
        rate: Some(5_000.0),
        interval: Duration::from_millis(200),
        at_most: 25.0,
    },
];

/// To a connector that takes everything at once.
pub fn embedded(bars: &mut Bars) {
    for case in &CASES {
        case.measure(bars, || {
            let server = Server::default();
            let run = case.run(server.clone(), true);
            assert_eq!(server.delivered(), case.items, "the run is void");
            run
        });
    }
}

/// Through the webhook to a process beside this one.
pub fn webhook(bars: &mut Bars) {
    let case = Case {
        name: "50 k items at once to a webhook",
        items: 50_000,
        rate: None,
        interval: Duration::from_millis(200),
        at_most: 70.0,
    };
    case.measure(bars, || {
        let receiver = Receiver::start();
        let run = case.run(Webhook::to(receiver.url.as_str()), true);
        assert_eq!(receiver.finish(), case.items, "the run is void");
        run
    });
}
