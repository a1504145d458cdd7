//! A changelog whose commits have few shards each.

use headwater::RunOptions;
use headwater::prelude::*;

use super::broker::Broker;
use super::letters::written;
use super::running::{options, wait_until};

#[test]
fn a_log_whose_commits_change_one_shard_each_is_read_from_its_start() {
    const COMMITS: u64 = 120;
    let broker = Broker::shared();
    let input = broker.topic("keys", 1);
    let output = format!("{input}-counts");
    let job = || {
        let job = Job::new(format!("{input}-job"));
        let count = |turn: &mut Turn<'_, u64, u64, String>, _: &u64| {
            let count = turn.state().unwrap_or(&0) + 1;
            *turn.state_mut() = Some(count);
            turn.emit(format!("{} {count}", turn.key()));
            Ok(())
        };
        job.source(Topic::json::<u64>("keys"))
            .key_by(|key| *key)
            .process("counts", count, |_: &mut Turn<'_, u64, u64, String>, _, _: Clock| Ok(()))
            .sink(Topic::json("counts"));
        job.bind_input("keys", Input::Kafka(broker.kafka().topic(&input)));
        job.bind_output("counts", Output::Kafka(broker.kafka().output(&output).partitions(1)));
        job
    };
    // A record to a commit; every hundredth of another key, which other shards are far ahead of.
    let run = |numbers: std::ops::Range<u64>| {
        let (control, directory) = (Control::default(), tempfile::tempdir().unwrap());
        let options = RunOptions { leave: true, ..options(directory.path()) };
        std::thread::scope(|scope| {
            let handle = control.clone();
            let running = scope.spawn(move || job().run(&options, &handle));
            for number in numbers {
                broker.write(&input, 0, [u64::from(number % 100 == 50)]);
                let is_done = || written(&control, "counts") > number || running.is_finished();
                assert!(wait_until(is_done) && !running.is_finished(), "{number}");
            }
            control.stop();
            running.join().unwrap().unwrap();
        });
    };
    run(0..COMMITS);
    // From an empty directory.
    run(COMMITS..COMMITS + 1);
    let last = broker.read(&output, COMMITS as usize + 1).pop().unwrap();
    assert_eq!(last.value.unwrap(), format!("\"0 {COMMITS}\"").into_bytes());
}
