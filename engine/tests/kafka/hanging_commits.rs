//! Transactions that the brokers have lost sight of in some of their partitions: the changelog, outputs, the group's offsets. What
//! nobody has seen may become either; what somebody has seen must become the same everywhere.

use rdkafka::producer::BaseRecord;
use serde_json::json;

use super::hanging::id_of;
use super::scene::{Before, PARTITION, SHARD, play};

#[test]
fn what_hangs_everywhere_is_kept() {
    let whole: Before = |scene| {
        scene.output_hangs();
        scene.state_hangs();
        scene.group_hangs();
    };
    play(true, &[("whole", whole)]);
}

#[test]
fn what_somebody_has_seen_is_kept() {
    let in_state: Before = |scene| {
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_hangs();
    };
    let in_output: Before = |scene| {
        scene.output_ends(true);
        scene.state_hangs();
        scene.group_hangs();
    };
    let in_group: Before = |scene| {
        let behind = scene.behind();
        scene.state_hangs();
        scene.output_hangs();
        scene.group_ends(behind);
    };
    // All that is missing is in an output.
    let all_but_output: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
    };
    // And an instance was killed after it had copied that.
    let copied: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
        scene.copies(true);
        scene.notes_copies();
    };
    // Or before that was committed.
    let lost_copy: Before = |scene| {
        let behind = scene.behind();
        scene.state_ends(true);
        scene.output_hangs();
        scene.group_ends(behind);
        scene.copies(false);
    };
    let scenes = [("state", in_state), ("output", in_output), ("group", in_group), ("all", all_but_output)];
    play(true, &scenes);
    play(true, &[("copied", copied), ("lost-copy", lost_copy)]);
}

#[test]
fn what_another_application_has_open_is_not_mended() {
    let another: Before = |scene| {
        let writer = scene.broker.transactional("another");
        writer.begin();
        let record = BaseRecord::<(), str>::to(&scene.counting.output).partition(PARTITION).payload("[0,0,0]");
        writer.send_record(record);
        writer.flush();
        let first = scene.ends_at().1;
        scene.marker["outputs"][&scene.counting.output][PARTITION.to_string()] = json!([first, first, 1]);
        let behind = scene.behind();
        scene.output_ends(true);
        scene.state_ends(true);
        scene.group_ends(behind);
        scene.another = Some(writer);
    };
    play(true, &[("another", another)]);
}

#[test]
fn what_was_not_to_be_committed_yet_is_not_kept() {
    // Its offsets were not sent.
    let early: Before = |scene| {
        scene.output_hangs();
        scene.state_hangs();
    };
    let torn: Before = |scene| {
        scene.output_hangs();
        scene.marker["shards"] = json!([SHARD, 5]);
        scene.state_hangs();
        scene.group_hangs();
    };
    let no_marker: Before = |scene| {
        scene.id = id_of(&scene.counting, "a");
        scene.output_hangs();
        scene.group_hangs();
    };
    play(false, &[("early", early), ("torn", torn), ("no-marker", no_marker)]);
}

#[test]
fn what_somebody_has_seen_aborted_is_not_kept() {
    let in_state: Before = |scene| {
        scene.state_ends(false);
        scene.output_hangs();
        scene.group_hangs();
    };
    let in_output: Before = |scene| {
        scene.output_ends(false);
        scene.state_hangs();
        scene.group_hangs();
    };
    play(false, &[("state", in_state), ("output", in_output)]);
}
