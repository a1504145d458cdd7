//! What an outbox costs that has nothing to do.

use headwater::prelude::*;

use crate::common::bars::{Bars, Rounds, Run, median};
use crate::common::{Transaction, cpu};
use crate::jobs::{Running, Server, cpu_at_rest, item, options};
use crate::tap::Tap;

const ROUNDS: usize = 3;

/// Jobs whose input is quiet, with so many outboxes.
pub fn at_rest(bars: &mut Bars) {
    let mut figures = [0, 1, 10].map(|outboxes| (outboxes, Vec::new()));
    for _ in 0..ROUNDS {
        for (outboxes, figures) in &mut figures {
            figures.push(resting(*outboxes));
        }
    }
    let figures = figures.map(|(outboxes, figures)| {
        let each = figures.iter().map(|figure| format!("{figure:.1}")).collect::<Vec<_>>().join(", ");
        println!("a job at rest with {outboxes} outboxes: {:.1} thousandths of a core ({each})", median(&figures));
        median(&figures)
    });
    bars.at_most("the first outbox of a job at rest", figures[1] - figures[0], 10.0, "thousandths of a core");
    bars.at_most("each further one", (figures[2] - figures[1]) / 9.0, 1.0, "thousandths of a core");
}

fn resting(outboxes: usize) -> f64 {
    let running = Running::start(1 << 30, move |place| {
        let job = Job::new("rest");
        let items = job.source(Topic::json::<Transaction>("items"));
        for outbox in 0..outboxes {
            items.clone().deliver(Outbox::new(format!("outbox-{outbox}"), Server::default()));
        }
        items.sink(Topic::json("out"));
        job.bind_input("items", Input::of(Tap::of(item)));
        job.bind_output("out", Output::File(place.join("out.jsonl")));
        job
    });
    // What starts it is over.
    std::thread::sleep(Duration::from_secs(1));
    let used = cpu_at_rest(Duration::from_secs(10));
    running.stop();
    used
}

/// What becomes of the items of a branch that lets none through.
#[derive(Clone, Copy)]
enum Branch {
    None,
    Sink,
    Outbox,
}

/// A pipeline with a branch that filters everything out, into an outbox.
pub fn filtered(bars: &mut Bars) {
    let mut all = [
        (Branch::None, Rounds::of("100 M numbers, every thousandth into a file")),
        (Branch::Sink, Rounds::of("  and none into another one")),
        (Branch::Outbox, Rounds::of("  and none into an outbox")),
    ];
    for _ in 0..2 * ROUNDS - 1 {
        for (branch, rounds) in &mut all {
            rounds.push(filtering(*branch));
        }
    }
    let [none, _, outbox] = all.map(|(_, rounds)| {
        rounds.print();
        median(&rounds.cpu_ns())
    });
    bars.at_most("a branch of which nothing enters its outbox, CPU per record", outbox - none, 5.0, "ns");
}

fn filtering(branch: Branch) -> Run {
    const RECORDS: u64 = 100_000_000;
    let place = tempfile::tempdir().unwrap();
    let job = Job::new("filtered");
    let numbers = job.source(Topic::json::<u64>("numbers"));
    let nothing = |numbers: &Stream<Vec<u64>>| numbers.clone().filter(|n: &u64| *n == u64::MAX);
    match branch {
        Branch::None => {}
        Branch::Sink => {
            nothing(&numbers).sink(Topic::json("nothing"));
            job.bind_output("nothing", Output::File(place.path().join("nothing.jsonl")));
        }
        Branch::Outbox => nothing(&numbers).map(item).deliver(Outbox::new("outbox", Server::default())),
    }
    numbers.filter(|n: &u64| n.is_multiple_of(1_000)).sink(Topic::json("out"));
    job.bind_input("numbers", Input::of(Generator::new(1, |n, _: &mut Random| n).count(RECORDS)));
    job.bind_output("out", Output::File(place.path().join("out.jsonl")));
    let (began, before) = (std::time::Instant::now(), cpu());
    job.run(&options(place.path()), &Control::default()).unwrap();
    Run { records: RECORDS, wall: began.elapsed(), cpu: cpu() - before }
}
