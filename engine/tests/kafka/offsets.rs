//! The offsets that a job's group has: forgotten, set by somebody else, committed by jobs that stand still.

use headwater::prelude::*;

use super::broker::Broker;
use super::commits::{Counted, Counting, Instance, Into_};
use super::running::wait_until;

#[test]
fn offsets_that_were_forgotten_are_not_needed() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "forgotten");
    let state = counting.state_topic();
    // Of one partition first: they are not forgotten at the same time.
    broker.delete_offsets(&counting.name, &format!("{state}:2"));
    let said = counting.run("a", 1100);
    assert!(said.contains("has no offsets of 1 partitions"), "{said}");
    broker.delete_offsets(&counting.name, &state);
    broker.delete_offsets(&counting.name, counting.input_name());
    broker.write(counting.input_name(), 0, 1100..1200);
    let said = counting.run("b", 1200);
    assert!(said.contains("has no offsets of 8 partitions"), "{said}");
    // They are committed again, with what is read.
    assert_eq!(broker.offset_of(&counting.name, counting.input_name(), 0).unwrap().0, 1200);
    assert!(broker.offset_of(&counting.name, &state, 7).unwrap().1.starts_with("headwater 1 "));
    counting.assert_exact(1200);
}

#[test]
fn offsets_of_the_changelog_are_the_job_s_own() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "own");
    let state = counting.state_topic();
    let (at, _) = broker.offset_of(&counting.name, &state, 5).unwrap();
    // Even to the same offset: without its token it says nothing.
    for offset in [at, 0] {
        broker.set_offset(&counting.name, &state, 5, offset);
        let error = counting.refused("a");
        let says = format!("the offset of {state}[5] in group {} was set by somebody else", counting.name);
        assert!(error.kind() == Kind::Config && error.to_string().contains(&says), "{error}");
        assert!(error.to_string().contains("--delete-offsets"), "{error}");
    }
    broker.delete_offsets(&counting.name, &state);
    counting.run("a", 1100);
    counting.assert_exact(1100);
    broker.set_offset(&counting.name, &state, 5, 0);
    counting.start_over("a", 1100);
    counting.assert_times(1100, 2);
}

#[test]
fn offsets_of_a_source_are_not_set_from_outside() {
    let broker = Broker::shared();
    let counting = Counting::begun(broker, "reset");
    let (group, input) = (counting.name.as_str(), counting.input_name());
    let reset =
        ["consumer-groups", "--reset-offsets", "--to-earliest", "--execute", "--group", group, "--topic", input];
    broker.tool(&reset, b"");
    assert_eq!(broker.offset_of(group, input, 0).unwrap().0, 0);
    for directory in ["a", "b"] {
        let error = counting.refused(directory);
        let says = format!("{input}[0] in group {group} was set to 0 by somebody else, and the job is at 1000");
        assert!(error.kind() == Kind::Config && error.to_string().contains(&says), "{error}");
    }
    counting.assert_exact(1000);
    broker.delete_offsets(group, input);
    counting.run("a", 1100);
    counting.assert_exact(1100);
    // To where the job is: that changes nothing.
    broker.set_offset(group, input, 0, 1100);
    counting.run("a", 1100);
    broker.set_offset(group, input, 0, 500);
    counting.start_over("a", 1100);
    counting.assert_times(1100, 2);
}

#[test]
fn a_group_that_somebody_else_uses_is_refused() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "used", 1);
    broker.write(counting.input_name(), 0, 0..100);
    broker.set_offset(&counting.name, counting.input_name(), 0, 50);
    let error = counting.refused("a");
    assert!(error.kind() == Kind::Config && error.to_string().contains("the job has not begun"), "{error}");
    broker.delete_offsets(&counting.name, counting.input_name());
    counting.run("a", 100);
    counting.assert_exact(100);
}

#[test]
fn a_job_that_stands_still_commits_its_offsets_anew() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "still", 1);
    broker.write(counting.input_name(), 0, 0..100);
    let instance = counting.start_with("a", |options| {
        (options.leave, options.recommit_interval) = (true, Duration::from_millis(300));
    });
    let instance = instance.wait_for(100);
    let source = || broker.offset_of(&counting.name, counting.input_name(), 0);
    assert!(wait_until(|| source().is_some_and(|(offset, _)| offset == 100)));
    // As a broker that forgets them does.
    broker.delete_offsets(&counting.name, counting.input_name());
    broker.delete_offsets(&counting.name, &counting.state_topic());
    let state = |shard| broker.offset_of(&counting.name, &counting.state_topic(), shard);
    assert!(wait_until(|| source().is_some() && (0..8).all(|shard| state(shard).is_some())), "committed anew");
    assert_eq!(source().unwrap().0, 100);
    instance.stop().unwrap();
    // By default that takes an hour.
    let instance = counting.start_with("a", |options| options.leave = true).wait_for(100);
    let epoch = || instance.control.progress.committed().epoch;
    let settled = std::cell::Cell::new((epoch(), 0));
    let stands = || {
        let (at, times) = settled.get();
        settled.set(if epoch() == at { (at, times + 1) } else { (epoch(), 0) });
        settled.get().1 > 50
    };
    assert!(wait_until(stands), "an idle job commits nothing");
    instance.stop().unwrap();
    counting.assert_exact(100);
}

/// Emits each number when the watermark has reached it: where nothing more comes, only once the input is idle.
fn delayed(name: &str, input: Input, output: &str) -> Job {
    let job = Job::new(name);
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| *number)
        .process(
            "delay",
            |turn: &mut Turn<'_, u64, u64, Counted>, number| {
                *turn.state_mut() = Some(turn.state().copied().unwrap_or_default() + 1);
                turn.set_timer(Clock::Event, Timestamp::from_seconds(*number as i64));
                Ok(())
            },
            |turn, _, _| {
                let (key, count) = (*turn.key(), turn.state().copied().unwrap_or_default());
                turn.emit((key % 97, key, count));
                Ok(())
            },
        )
        .sink(Topic::json("counts"));
    job.bind_input("numbers", input);
    job.bind_output("counts", Output::of(Into_ { topic: output.to_owned() }));
    job
}

#[test]
fn an_epoch_that_only_timers_made_is_committed_once() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "timers", 2);
    let start = |idle_after| {
        let (name, input, output) = (counting.name.clone(), counting.input.clone(), counting.output.clone());
        let options = RunOptions { leave: true, idle_after, ..counting.options(&counting.state("a")) };
        Instance::of(options, move || delayed(&name, Input::Kafka(input), &output))
    };
    // The watermark stands at the first partition's only record.
    broker.write(counting.input_name(), 0, [0]);
    broker.write(counting.input_name(), 1, 1..100);
    // All is read, and its offsets committed, before any other timer is due.
    start(Duration::from_secs(3600)).wait_for(100).stop().unwrap();
    let offsets = || [0, 1].map(|part| broker.offset_of(&counting.name, counting.input_name(), part).unwrap().0);
    let before = offsets();
    assert!(counting.counted().len() <= 1);
    let instance = start(Duration::from_millis(100));
    let out = || instance.control.progress.committed().records_out.iter().map(|(_, out)| out).sum::<u64>();
    assert!(wait_until(|| out() == 100), "{} timers", out());
    instance.stop().unwrap();
    assert_eq!(offsets(), before, "only timers");
    for _ in 0..2 {
        start(Duration::from_millis(100)).wait_for(100).stop().unwrap();
    }
    let mut fired: Vec<u64> = counting.counted().iter().map(|(_, number, _)| *number).collect();
    fired.sort_unstable();
    assert_eq!(fired, (0..100).collect::<Vec<_>>(), "each timer once");
}
