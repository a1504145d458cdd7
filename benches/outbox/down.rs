//! A server that is down: who else waits for it, and how it goes on when the server is back.

use std::time::Instant;

use headwater::prelude::*;

use crate::common::bars::{Bars, millis_at};
use crate::common::{Transaction, cpu, rss_mb};
use crate::jobs::{self, Running, Server, item};
use crate::tap::Tap;

const INTERVAL: Duration = Duration::from_millis(200);

fn post(server: &Server, tap: &Tap, change: fn(Outbox<Transaction, Server>) -> Outbox<Transaction, Server>) -> Running {
    let (server, tap) = (server.clone(), tap.clone());
    Running::start(1 << 30, move |_| {
        let job = Job::new("post");
        job.source(Topic::json::<Transaction>("items")).deliver(change(Outbox::new("outbox", server)));
        job.bind_input("items", Input::of(tap));
        job
    })
}

/// How long items of another lane take while many wait for a server that is down.
pub fn lanes(bars: &mut Bars) {
    let alone = Lane::beside(0);
    let beside = Lane::beside(90_000);
    let p99 = |lane: &Lane| millis_at(&lane.latencies, 0.99);
    bars.at_most("p99 of the others beside 90,000 that wait", p99(&beside), p99(&alone) * 1.25, "ms");
    bars.at_most("CPU for it", beside.cpu, alone.cpu * 1.25 + 10.0, "thousandths of a core");
}

struct Lane {
    /// Sorted.
    latencies: Vec<Duration>,
    cpu: f64,
}

impl Lane {
    /// Lets out a thousand items a second of a lane that is up, after so many of one that is down.
    fn beside(waiting: u64) -> Self {
        const EACH: u64 = 10;
        const STEPS: u64 = 1_000;
        /// An outbox that was quiet begins with few at once: what goes meanwhile is left out.
        const FIRST: usize = 200;
        // Of the lane that may be down, and then, from 90,000 on, of the other.
        let tap = Tap::of(|n| match n {
            0..90_000 => Transaction { id: n * 10 + 1, ..item(n) },
            _ => Transaction { id: n * 10, ..item(n) },
        });
        let server = Server::default();
        server.set_down(waiting > 0);
        let running = post(&server, &tap, |outbox| outbox);
        tap.let_out(90_000);
        running.wait_until_paused();
        running.wait_until(|| waiting > 0 || server.delivered() == 90_000);
        std::thread::sleep(Duration::from_secs(2));
        server.forget();
        let (mut out, began, before) = (Vec::new(), Instant::now(), cpu());
        for step in 0..STEPS {
            std::thread::sleep(
                (began + Duration::from_millis(10) * step as u32).saturating_duration_since(Instant::now()),
            );
            out.push(Instant::now());
            tap.let_out(90_000 + (step + 1) * EACH);
        }
        running.wait_until(|| server.delivered() == STEPS * EACH);
        let used = (cpu() - before).as_secs_f64() * 1e3 / began.elapsed().as_secs_f64();
        let step = |id: u64| ((id / 10 - 90_000) / EACH) as usize;
        let others = server.others().into_iter().filter(|(id, _)| step(*id) >= FIRST);
        let mut latencies: Vec<Duration> = others.map(|(id, at)| at - out[step(id)]).collect();
        latencies.sort();
        running.stop();
        println!(
            "1,000 items/s beside {waiting} that wait: p50 {:.0} ms, p99 {:.0} ms, {used:.1} thousandths of a core",
            millis_at(&latencies, 0.5),
            millis_at(&latencies, 0.99)
        );
        Self { latencies, cpu: used }
    }
}

/// A server that comes back to a full outbox.
pub fn drain(bars: &mut Bars) {
    let free = back(|outbox| outbox);
    bars.at_least("all at once", free.per_second, 10_000.0, "items/s");
    bars.at_most("CPU per item", free.cpu_each, 25.0, "µs");
    let slow = back(|outbox| outbox.throttle(Throttle::per_second(5_000.0)));
    judge(bars, "throttle of 5,000/s", slow.per_second / 5_000.0);
}

/// How an outbox went on.
struct Back {
    per_second: f64,
    /// In microseconds.
    cpu_each: f64,
}

fn back(change: fn(Outbox<Transaction, Server>) -> Outbox<Transaction, Server>) -> Back {
    let (server, tap) = (Server::warmed_up_by(20_000), Tap::of(item));
    server.set_down(true);
    let running = post(&server, &tap, change);
    tap.let_out(1_000_000);
    let read = running.wait_until_paused();
    let others = server.forget();
    tap.end();
    server.set_down(false);
    let (began, before) = (Instant::now(), cpu());
    running.finish();
    let used = cpu() - before;
    let waited = server.delivered();
    assert_eq!(waited + others, read, "the run is void");
    let (per_second, cpu_each) = (server.rate(), used.as_secs_f64() * 1e6 / waited as f64);
    println!(
        "{others} items were delivered beside {waited} that waited; these: {per_second:.0} items/s, {cpu_each:.1} µs of CPU \
         each, the last after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Back { per_second, cpu_each }
}

/// Whether memory grows with what was delivered.
pub fn growth(bars: &mut Bars) {
    const ITEMS: u64 = 1_000_000;
    let (server, tap) = (Server::default(), Tap::of(item));
    let running = post(&server, &tap, |outbox| outbox);
    tap.let_out(ITEMS);
    let memory_at = |delivered| {
        running.wait_until(|| server.delivered() >= delivered);
        let (rss, state) = (rss_mb(), running.control.progress.committed().state_bytes >> 20);
        println!("{delivered} items were delivered: {rss} MB resident, state {state} MB");
        (rss as f64, state as f64)
    };
    let [early, .., late] = [1, 2, 3, 4].map(|part| memory_at(ITEMS / 4 * part));
    running.stop();
    bars.at_most(format!("state at the end, {} MB after a quarter", early.1), late.1, early.1, "MB");
    // What an epoch needs varies with the machine's pace: more than a fifth would be growth.
    bars.at_most(format!("resident at the end, {} MB after a quarter", early.0), late.0, early.0 * 1.2, "MB");
}

/// How exactly throttles are kept by a job whose items are all there, committed this often.
pub fn throttle(bars: &mut Bars) {
    let every_second = Duration::from_secs(1);
    for (interval, rate) in [
        (INTERVAL, 5.0),
        (INTERVAL, 15.0),
        (INTERVAL, 100.0),
        (INTERVAL, 5_000.0),
        (every_second, 100.0),
        (every_second, 2_000.0),
    ] {
        let items = (rate * 30.0) as u64;
        let server = Server::warmed_up_by(items / 3);
        let outbox = Outbox::new("outbox", server.clone()).throttle(Throttle::per_second(rate));
        let input = Generator::new(1, |n, _: &mut Random| item(n)).count(items);
        jobs::drain(Input::of(input), items, outbox, |options| options.commit_interval = interval);
        judge(bars, format!("throttle of {rate}/s, commits every {interval:?}"), server.rate() / rate);
    }
}

/// What goes out with a commit makes the beginning and the end of a rate uncertain by as much.
fn judge(bars: &mut Bars, what: impl std::fmt::Display, rate: f64) {
    bars.at_most(format!("{what}, to what it says"), rate * 100.0, 105.0, "%");
    bars.at_least(format!("{what}, to what it says"), rate * 100.0, 95.0, "%");
}
