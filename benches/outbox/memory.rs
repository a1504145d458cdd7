//! What waiting items take, while the input has many more: resident memory, each figure of a process of its own.

use std::process::{Command, ExitCode};

use headwater::prelude::*;

use crate::common::bars::Bars;
use crate::common::{Transaction, rss_kb};
use crate::jobs::{Running, Server, cpu_at_rest, item};
use crate::tap::Tap;

/// The argument that makes this program a job with as many waiting items as the next one says.
pub const NAME: &str = "waiting";

/// How a process was that holds waiting items.
struct Held {
    pending: f64,
    /// Resident, in kB, when no more was read, and ten seconds later.
    rss: f64,
    later_rss: f64,
    /// In kB, by the engine's own account.
    state: f64,
    /// Thousandths of a core while nothing comes and nothing goes.
    cpu: f64,
}

/// What waits, and what the job may take for its state.
struct Case {
    name: &'static str,
    is_ordered: bool,
    memory_mb: usize,
    /// The bar, in bytes per item.
    at_most: f64,
}

const CASES: [Case; 4] = [
    Case { name: "in no order", is_ordered: false, memory_mb: 1_024, at_most: 1_300.0 },
    Case { name: "each of its own order", is_ordered: true, memory_mb: 1_024, at_most: 1_500.0 },
    Case { name: "in no order, 32 MB for state", is_ordered: false, memory_mb: 32, at_most: 300.0 },
    Case { name: "each of its own order, 32 MB for state", is_ordered: true, memory_mb: 32, at_most: 550.0 },
];

pub fn measure(bars: &mut Bars) {
    for case in &CASES {
        let [none, some, more] = [0, 100_000, 400_000].map(|items| {
            let held = holding(items, case);
            println!(
                "{:>7} items wait {}: {:.0} MB resident, {:.0} MB after 10 s; state {:.0} MB; {:.1} thousandths of a core",
                held.pending,
                case.name,
                held.rss / 1024.0,
                held.later_rss / 1024.0,
                held.state / 1024.0,
                held.cpu
            );
            held
        });
        // What there is besides, such as RocksDB's, is in both.
        let per_item = |of: fn(&Held) -> f64| (of(&more) - of(&some)) * 1024.0 / (more.pending - some.pending);
        bars.at_most(format!("a waiting item, {}", case.name), per_item(|held| held.later_rss), case.at_most, "bytes");
        let all = (some.later_rss - none.later_rss) / 1024.0;
        bars.at_most(format!("what {:.0} of them take", some.pending), all, 250.0, "MB");
        let growth = (some.later_rss - some.rss) / 1024.0;
        bars.at_most("growth of memory while the input is paused", growth, 10.0, "MB in 10 s");
        bars.at_most("CPU while the input is paused", some.cpu, 20.0, "thousandths of a core");
    }
}

fn holding(items: u64, case: &Case) -> Held {
    let exe = std::env::current_exe().unwrap();
    let said = Command::new(exe)
        .args([NAME, &items.to_string(), &case.is_ordered.to_string(), &case.memory_mb.to_string()])
        .output()
        .unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let figures: Vec<f64> =
        String::from_utf8_lossy(&said.stdout).split_whitespace().map(|n| n.parse().unwrap()).collect();
    let [pending, rss, later_rss, state, cpu] = figures.try_into().unwrap();
    Held { pending, rss, later_rss, state, cpu }
}

/// A job whose outbox is full with about so many items, and has ten times as many to come.
pub fn run(items: u64, is_ordered: bool, memory_mb: usize) -> ExitCode {
    let (server, tap) = (Server::default(), Tap::of(item));
    server.set_down(true);
    let (to, from) = (server.clone(), tap.clone());
    let running = Running::start(memory_mb << 20, move |_| {
        let job = Job::new("post");
        let mut outbox = Outbox::new("outbox", to).bound(items.max(1) as usize);
        if is_ordered {
            outbox = outbox.in_order_by(|item: &Transaction| item.user.clone());
        }
        job.source(Topic::json::<Transaction>("items")).deliver(outbox);
        job.bind_input("items", Input::of(from));
        job
    });
    tap.let_out(items * 10);
    let read = running.wait_until_paused();
    assert!(items == 0 || read < items * 2, "the run is void: {read} items were read");
    let rss = rss_kb();
    let cpu = cpu_at_rest(Duration::from_secs(10));
    let later_rss = rss_kb();
    assert_eq!(running.control.progress.records_in(), read, "the run is void");
    let (pending, state) = (read - server.delivered(), running.control.progress.committed().state_bytes / 1024);
    println!("{pending} {rss} {later_rss} {state} {cpu}");
    running.stop();
    ExitCode::SUCCESS
}
