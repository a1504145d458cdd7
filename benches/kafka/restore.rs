//! How long state takes to come back from a changelog into an empty directory.

use std::path::Path;
use std::time::{Duration, Instant};

use headwater::prelude::*;
use headwater::progress::Phase;
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;
use crate::common::bars::Bars;

const KEYS: u64 = 10_000_000;
/// So many keys are written and then written again, so that the log becomes twice as long as what is live.
const AGAIN_AFTER: u64 = 1_000_000;
/// Every so many-th key is looked at afterwards.
const SAMPLE: u64 = 100;
const WRITES: u64 = 2 * KEYS;

/// A value of 100 bytes that nothing compresses.
type Value = [[u8; 25]; 4];

/// What a record does to its key.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Step {
    Write {
        turn: u64,
    },
    /// Complains where the value is not the second one written.
    Check,
}

/// Fills a changelog, reads it back, and looks at what came of it.
pub fn measure(cluster: &Cluster, bars: &mut Bars) {
    let name = Cluster::unused("restore");
    let fill = tempfile::tempdir().unwrap();
    let filled = run(cluster, &name, fill.path(), WRITES);
    println!("{WRITES} writes to {KEYS} keys of 100 bytes: {:.1} s", filled.summary.elapsed.as_secs_f64());
    drop(fill);

    let cpu = crate::common::cpu();
    let empty = tempfile::tempdir().unwrap();
    let read_back = run(cluster, &name, empty.path(), filled.summary.committed.records_in + KEYS / SAMPLE);
    let seconds = read_back.ready.as_secs_f64();
    let (cpu, peak) = ((read_back.cpu - cpu).as_secs_f64(), crate::common::peak_rss_mb());
    println!("ready after {seconds:.1} s, {cpu:.1} s of CPU, at most {peak} MB resident in both");
    bars.at_most("10 M keys of 100 bytes from a log of twice that", seconds, 15.0, "s");
    cluster.delete(&name);
    cluster.forget_groups(&[name]);
}

/// How a run went.
struct Ran {
    /// How long it took until the job ran, and the CPU time of this process by then.
    ready: Duration,
    cpu: Duration,
    summary: Summary,
}

/// Runs the job from an empty directory until so many records are committed. It must have found nothing wrong.
fn run(cluster: &Cluster, name: &str, directory: &Path, records: u64) -> Ran {
    let options = RunOptions {
        state: Some(directory.join("state")),
        commit_interval: Duration::from_secs(1),
        workers: 1,
        leave: true,
        // It is to stay as long as it becomes.
        changelog_bytes_min: u64::MAX,
        ..RunOptions::default()
    };
    let control = Control::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| job(cluster, name).run(&options, &control));
        let is_at = |there: &dyn Fn() -> bool| {
            while !there() && !running.is_finished() {
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        is_at(&|| control.progress.phase() == Phase::Running);
        let (ready, cpu) = (began.elapsed(), crate::common::cpu());
        is_at(&|| control.progress.committed().records_in >= records);
        control.stop();
        let summary = running.join().unwrap().unwrap();
        let wrong: u64 = summary.committed.records_out.iter().map(|(_, count)| count).sum();
        assert_eq!(wrong, 0, "the run is void: values are wrong");
        Ran { ready, cpu, summary }
    })
}

fn job(cluster: &Cluster, name: &str) -> Job {
    let job = Job::new(name);
    job.source(Topic::json::<(u64, Step)>("steps"))
        .key_by(|(key, _)| *key)
        .process(
            "values",
            |turn: &mut Turn<'_, u64, Value, u64>, (key, step)| {
                match step {
                    Step::Write { turn: number } => *turn.state_mut() = Some(value(*key, *number)),
                    Step::Check if turn.state() == Some(&value(*key, 1)) => {}
                    Step::Check => turn.emit(*key),
                }
                Ok(())
            },
            |_, _, _| Ok(()),
        )
        .sink(Topic::json("wrong"));
    job.bind_input("steps", Input::of(Generator::new(1, |n, _: &mut Random| step(n))));
    job.bind_output("wrong", Output::Kafka(cluster.kafka().output(format!("{name}-wrong")).partitions(1)));
    job
}

/// What record `n` does, and to which key.
fn step(n: u64) -> (u64, Step) {
    if n >= WRITES {
        return ((n - WRITES) * SAMPLE % KEYS, Step::Check);
    }
    let (block, at) = (n / (2 * AGAIN_AFTER), n % (2 * AGAIN_AFTER));
    (block * AGAIN_AFTER + at % AGAIN_AFTER, Step::Write { turn: at / AGAIN_AFTER })
}

fn value(key: u64, turn: u64) -> Value {
    let mut random = Random::new(turn, key);
    let mut value = [[0; 25]; 4];
    for part in &mut value {
        for eight in part.chunks_mut(8) {
            eight.copy_from_slice(&random.any().to_le_bytes()[..eight.len()]);
        }
    }
    value
}
