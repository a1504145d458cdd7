//! A changelog that is not what it was: deleted, written by somebody else, with other partitions or settings, or of
//! another pipeline.

use headwater::prelude::*;

use super::broker::Broker;
use super::commits::{Counted, Counting, Instance, Into_};
use super::running::wait_until;

#[test]
fn a_changelog_that_was_deleted_is_not_begun_again() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "deleted", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    counting.run("a", 1000);
    broker.delete(&counting.state_topic());
    let error = counting.refused("a");
    assert!(
        error.to_string().contains("deleted and created again") && error.to_string().contains("--fresh"),
        "{error}"
    );
    // It exists again now. A directory that is empty knows nothing of the one before; the group does.
    let error = counting.refused("b");
    assert!(error.kind() == Kind::Corrupt && error.to_string().contains("the changelog was deleted"), "{error}");
    counting.assert_exact(1000);
    counting.start_over("a", 1000);
    counting.assert_times(1000, 2);
}

#[test]
fn a_changelog_that_is_deleted_under_a_job_stops_it() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "pulled", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    let instance = counting.start_with("a", |options| options.leave = true).wait_for(1000);
    broker.delete(&counting.state_topic());
    broker.write(counting.input_name(), 0, 1000..2000);
    // Until what it has sent is given up; then it says what is missing, as long as it is.
    let says = format!("does not know topic {} any more", counting.state_topic());
    assert!(wait_until(|| instance.said.text().contains(&says)) || wait_until(|| instance.said.text().contains(&says)));
    instance.stop().unwrap_err();
    for directory in ["a", "b"] {
        let error = counting.refused(directory);
        assert!(matches!(error.kind(), Kind::Config | Kind::Corrupt), "{error}");
    }
    counting.assert_exact(1000);
}

#[test]
fn a_record_of_somebody_else_is_named() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "stranger", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    counting.run("a", 1000);
    let end = broker.watermarks(&counting.state_topic())[3].1;
    broker.write(&counting.state_topic(), 3, [7]);
    for directory in ["a", "b"] {
        let error = counting.refused(directory).to_string();
        let place = format!("{}[3]@{end}", counting.state_topic());
        assert!(error.contains(&place) && error.contains("somebody else has written to the topic"), "{error}");
        assert!(error.contains("--fresh"), "{error}");
    }
    counting.assert_exact(1000);
    counting.start_over("a", 1000);
    counting.assert_times(1000, 2);
}

#[test]
fn partitions_that_are_added_to_a_changelog_are_refused() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "added", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    counting.run("a", 1000);
    broker.add_partitions(&counting.state_topic(), 9);
    for directory in ["a", "b"] {
        let error = counting.refused(directory);
        let says = "has 9 partitions, and the state was made with 8";
        assert!(error.kind() == Kind::Config && error.to_string().contains(says), "{error}");
    }
    counting.start_over("a", 1000);
    counting.assert_times(1000, 2);
}

#[test]
fn a_changelog_that_would_lose_records_is_refused() {
    let broker = Broker::shared();
    for (key, value) in [("cleanup.policy", "compact"), ("retention.ms", "1000")] {
        let counting = Counting::over(broker, &format!("wrong-{key}"), 1);
        broker.create_with(&counting.state_topic(), 8, &[(key, value)]);
        let error = counting.refused("a");
        let says = format!("{key}={value}: it would lose state; set it: kafka-configs --alter");
        assert!(error.kind() == Kind::Config && error.to_string().contains(&says), "{error}");
    }
}

/// The counting job with another type of state.
fn another_shape(name: &str, input: Input, output: &str) -> Job {
    let job = Job::new(name);
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| number % 97)
        .process(
            "count",
            |turn: &mut Turn<'_, u64, (u64, u64), Counted>, number| {
                *turn.state_mut() = Some((*number, 1));
                Ok(())
            },
            |_, _, _| Ok(()),
        )
        .sink(Topic::json("counts"));
    job.bind_input("numbers", input);
    job.bind_output("counts", Output::of(Into_ { topic: output.to_owned() }));
    job
}

#[test]
fn an_empty_directory_is_not_filled_with_another_pipeline_s_state() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "shape", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    counting.run("a", 1000);
    for directory in ["a", "b"] {
        let (name, input, output) = (counting.name.clone(), counting.input.clone(), counting.output.clone());
        let options = RunOptions { leave: true, ..counting.options(&counting.state(directory)) };
        let instance = Instance::of(options, move || another_shape(&name, Input::Kafka(input), &output));
        let error = instance.join().unwrap_err();
        assert!(error.kind() == Kind::Config && error.to_string().contains("value was"), "{error}");
    }
    broker.write(counting.input_name(), 0, 1000..1100);
    counting.run("b", 1100);
    counting.assert_exact(1100);
}

#[test]
fn a_name_that_is_no_topic_s_is_refused_before_anything() {
    let letters = "must be made of letters, digits";
    let long = "x".repeat(244);
    for (name, says) in [("two words", letters), ("a/b", letters), ("ü", letters), ("", letters), (&long, "too long")]
    {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let kafka = Kafka::at("127.0.0.1:1");
        let job = super::commits::counting(name, Input::Kafka(kafka.topic("in")), "out");
        let options = RunOptions { state: Some(state.clone()), transactions: Some(kafka), ..RunOptions::default() };
        let error = job.run(&options, &Control::default()).unwrap_err();
        assert!(error.kind() == Kind::Config && error.to_string().contains(says), "{error}");
        assert!(!state.exists());
    }
}

#[test]
fn outputs_in_two_clusters_are_refused() {
    let job = Job::new("two-clusters");
    let numbers = job.source(Topic::json::<u64>("numbers"));
    numbers.clone().sink(Topic::json("here"));
    numbers.sink(Topic::json("there"));
    job.bind_input("numbers", Input::of(Rows::new(vec![1_u64])));
    job.bind_output("here", Output::Kafka(Kafka::at("127.0.0.1:1").output("here")));
    job.bind_output("there", Output::Kafka(Kafka::at("127.0.0.1:2").output("there")));
    let error = job.run(&RunOptions::default(), &Control::default()).unwrap_err();
    assert!(error.kind() == Kind::Config && error.to_string().contains("no transaction spans them"), "{error}");
    assert!(error.to_string().contains("--delivery at-least-once"), "{error}");
}
