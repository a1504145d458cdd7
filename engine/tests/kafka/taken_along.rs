//! Commits of which the next transaction's abort has taken parts along, because brokers have lost sight of their end.

use rdkafka::producer::BaseRecord;
use serde_json::json;

use super::broker::Broker;
use super::commits::{Counting, assert_counted};
use super::scene::{Before, LOST, PARTITION, RECORD, Scene, broker, play, start};

/// A leader that goes away after it has answered a commit: the next transaction begins, and its abort takes along what hangs.
#[test]
fn what_an_abort_has_taken_along_is_kept() {
    let output: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
        scene.output_ends(false);
    };
    let state: Before = |scene| {
        scene.with_blocks();
        let behind = scene.behind();
        scene.state_hangs();
        scene.output_ends(true);
        scene.group_ends(behind);
        scene.state_is_lost();
    };
    let both: Before = |scene| {
        let behind = scene.behind();
        scene.state_hangs();
        scene.output_hangs();
        scene.group_ends(behind);
        scene.state_is_lost();
        scene.output_ends(false);
    };
    // Behind what others have written and not committed.
    let between: Before = |scene| {
        let writer = scene.broker.transactional("another");
        writer.begin();
        writer.send_record(BaseRecord::<(), str>::to(&scene.counting.output).partition(PARTITION).payload("[0,0,0]"));
        writer.abort();
        let (behind, first) = (scene.behind(), scene.ends_at().1);
        scene.marker["outputs"][&scene.counting.output][PARTITION.to_string()] = json!([first, first, 1]);
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
        scene.output_ends(false);
    };
    // And an instance was killed after it had copied that.
    let copied: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
        scene.output_ends(false);
        scene.copies(true);
        scene.notes_copies();
    };
    play(true, &[("lost-output", output), ("lost-state", state), ("lost-both", both)]);
    play(true, &[("lost-between", between), ("lost-copied", copied)]);
}

#[test]
fn what_cannot_be_told_from_what_others_have_aborted_is_told() {
    let broker = broker();
    let mut scene = Scene::new(&broker, "mixed");
    let (behind, first) = (scene.behind(), scene.ends_at().1);
    scene.output_hangs();
    let writer = broker.transactional("another");
    writer.begin();
    writer.send_record(BaseRecord::<(), str>::to(&scene.counting.output).partition(PARTITION).payload("[0,0,0]"));
    writer.flush();
    scene.output_hangs();
    writer.abort();
    scene.marker["outputs"][&scene.counting.output][PARTITION.to_string()] = json!([first, first + 2, 2]);
    scene.state_ends(true);
    scene.group_ends(behind);
    scene.output_ends(false);
    let instance = start(&scene.counting, "a").wait_for(1100);
    let said = instance.said.clone();
    instance.stop().unwrap();
    let (said, records) = (said.text(), format!("2 records from {first} to {} of", first + 2));
    assert!(said.contains(&records) && said.contains("read_uncommitted reads them all"), "{said}");
    assert_counted(scene.counting.counted(), 1100, 1);
}

/// They can be told once it is ended.
#[test]
fn what_hangs_among_what_others_have_committed_is_kept() {
    let broker = broker();
    let mut scene = Scene::new(&broker, "among");
    let (behind, first) = (scene.behind(), scene.ends_at().1);
    scene.output_hangs();
    let writer = broker.transactional("another");
    writer.begin();
    writer.send_record(BaseRecord::<(), str>::to(&scene.counting.output).partition(PARTITION).payload(RECORD));
    writer.commit();
    scene.output_hangs();
    let last = scene.ends_at().1 - 1;
    scene.marker["outputs"][&scene.counting.output][PARTITION.to_string()] = json!([first, last, 2]);
    scene.state_ends(true);
    scene.group_ends(behind);
    for (instance, numbers) in [("a", 1100), ("b", 1200)] {
        start(&scene.counting, instance).wait_for(numbers).stop().unwrap();
        let (lost, counted): (Vec<_>, Vec<_>) = scene.counting.counted().into_iter().partition(|of| of.1 == LOST);
        assert_eq!(lost.len(), 3, "the job's two and the other's one");
        assert_counted(counted, numbers, 1);
        broker.write(scene.counting.input_name(), 0, 1100..1200);
    }
}

/// An instance was killed after it had copied what hung, in one of two outputs.
#[test]
fn a_copy_is_noted_by_partition() {
    let broker = broker();
    let mut scene = Scene::new(&broker, "noted");
    let (behind, other) = (scene.behind(), (PARTITION + 1) % 2);
    let first = broker.watermarks(&scene.counting.output)[other as usize].1;
    scene.output_hangs();
    scene.output_ends(false);
    scene.raw.hang(&scene.id, &scene.counting.output, other, &[RECORD.as_bytes()]);
    scene.marker["outputs"][&scene.counting.output][other.to_string()] = json!([first, first, 1]);
    scene.state_ends(true);
    scene.group_ends(behind);
    scene.copies(true);
    let (lock, output) = (format!("{}.lock", scene.counting.name), &scene.counting.output);
    let note = format!("copied {} {output}/{PARTITION}", scene.token());
    broker.set_offset_with(&scene.counting.name, (&lock, 0, 0), &note);
    start(&scene.counting, "a").wait_for(1100).stop().unwrap();
    let (lost, counted): (Vec<_>, Vec<_>) = scene.counting.counted().into_iter().partition(|of| of.1 == LOST);
    assert_eq!(lost.len(), 2, "one in each partition");
    assert_counted(counted, 1100, 1);
}

#[test]
fn a_job_that_may_only_write_its_outputs_works() {
    let authorizer = "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let broker = Broker::start_with(&[authorizer, "allow.everyone.if.no.acl.found=true"]);
    let counting = Counting::over(&broker, "write-only", 1);
    let output = ["--topic", &counting.output];
    let allow = ["acls", "--add", "--allow-principal", "User:*", "--operation", "All"];
    broker.tool(&[&allow[..], &output].concat(), b"");
    let deny = ["acls", "--add", "--deny-principal", "User:ANONYMOUS", "--operation", "Read"];
    broker.tool(&[&deny[..], &output].concat(), b"");
    for (numbers, says) in [(100, false), (200, true)] {
        broker.write(counting.input_name(), 0, numbers - 100..numbers);
        let instance = start(&counting, "a").wait_for(numbers);
        let said = instance.said.clone();
        instance.stop().unwrap();
        let said = said.text();
        assert_eq!(said.contains("not looking whether all that was committed last can be read"), says, "{said}");
        assert_eq!(said.contains("allow its user Read"), says, "{said}");
    }
}
