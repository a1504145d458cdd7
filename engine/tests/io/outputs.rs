//! Files that are written exactly once, and records captured in memory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use headwater::Topic;
use headwater::binding::{Output, sink_for};
use headwater::format::{Json, Lines};
use headwater::sink::{Captured, Chunk, FileSink, Sink, SinkCommitter, move_aside};

use super::Folder;

const RESTORE: &str = "restore the file as it was, or start over with --fresh";

fn file(path: &Path) -> FileSink<String, Lines> {
    FileSink::new(path, Lines)
}

fn append<T>(sink: &dyn Sink<T>, committer: &mut dyn SinkCommitter, records: Vec<T>) {
    let mut chunk = Chunk::default();
    sink.writer().write(records, &mut chunk).unwrap();
    committer.append(chunk).unwrap();
}

/// A file with `one` committed, and what the commit says.
fn with_one_line(folder: &Folder) -> (FileSink<String, Lines>, String) {
    let sink = file(&folder.path("out"));
    let mut committer = sink.open(None).unwrap();
    append(&sink, committer.as_mut(), vec!["one".to_owned()]);
    let committed = committer.prepare().unwrap();
    (sink, committed)
}

#[test]
fn a_file_is_made_with_its_directories() {
    let folder = Folder::new();
    let sink = FileSink::<u32, Json>::new(folder.path("a/b/out.jsonl"), Json);
    let mut committer = sink.open(None).unwrap();
    append(&sink, committer.as_mut(), vec![1, 2]);
    committer.prepare().unwrap();
    committer.committed().unwrap();
    assert_eq!(folder.read("a/b/out.jsonl"), "1\n2\n");
}

#[test]
fn a_file_that_holds_something_is_not_appended_to_by_a_new_job() {
    let folder = Folder::new();
    folder.write("out", "precious\n");
    let expected = "output out holds 9 bytes that this job's state knows nothing of: --fresh moves the file aside, or \
                    choose another";
    folder.assert_config(file(&folder.path("out")).open(None), expected);
    assert_eq!(folder.read("out"), "precious\n");
    folder.write("out", "");
    assert!(file(&folder.path("out")).open(None).is_ok());
}

#[test]
fn what_was_not_committed_is_cut_off() {
    let folder = Folder::new();
    let (sink, mut committed) = with_one_line(&folder);
    let mut expected = "one\n".to_owned();
    for epoch in 0..5 {
        let mut killed = sink.open(Some(&committed)).unwrap();
        assert_eq!(folder.read("out"), expected);
        append(&sink, killed.as_mut(), vec!["uncommitted".repeat(200_000)]);
        assert!(folder.read("out").len() > expected.len(), "more than a buffer is in the file already");
        if epoch % 2 == 0 {
            killed.prepare().unwrap();
        }
        drop(killed);

        let mut committer = sink.open(Some(&committed)).unwrap();
        let line = format!("{epoch}").repeat(epoch * 3_000);
        append(&sink, committer.as_mut(), vec![line.clone()]);
        committed = committer.prepare().unwrap();
        expected.extend([line.as_str(), "\n"]);
    }
    drop(sink.open(Some(&committed)).unwrap());
    assert_eq!(folder.read("out"), expected);
}

/// A commit that says of an output that it is empty fits every file: what is in this one may be anybody's.
#[test]
fn what_stands_in_place_of_an_empty_output_is_not_cut_off() {
    let folder = Folder::new();
    let sink = file(&folder.path("out"));
    let mut committer = sink.open(None).unwrap();
    let committed = committer.prepare().unwrap();
    append(&sink, committer.as_mut(), vec!["not committed".to_owned()]);
    committer.prepare().unwrap();
    drop(committer);
    drop(sink.open(Some(&committed)).unwrap());
    assert_eq!(folder.read("out"), "");

    folder.write("other", "precious\n");
    let was = fs::canonicalize(folder.path("out")).unwrap();
    let error = file(&folder.path("other")).open(Some(&committed)).err().unwrap();
    let expected = format!("the output was {0} at the last commit; name {0} again", was.display());
    assert!(error.message().starts_with(&expected), "{error}");
    fs::remove_file(folder.path("out")).unwrap();
    fs::rename(folder.path("other"), folder.path("out")).unwrap();
    let error = sink.open(Some(&committed)).err().unwrap();
    assert!(error.message().contains("knows nothing of"), "{error}");
    assert_eq!(folder.read("out"), "precious\n");
}

/// The output of a job that was moved with its state.
#[test]
fn a_committed_output_may_be_moved() {
    let folder = Folder::new();
    let (_, committed) = with_one_line(&folder);
    fs::rename(folder.path("out"), folder.path("moved")).unwrap();
    assert!(file(&folder.path("moved")).open(Some(&committed)).is_ok());
    let error = file(&folder.path("nowhere")).open(Some(&committed)).err().unwrap();
    assert!(error.message().starts_with("the output was ") && error.to_string().contains("is gone"), "{error}");
}

#[test]
fn an_output_that_was_something_else_is_a_mistake_not_damage() {
    let folder = Folder::new();
    let (sink, committed) = with_one_line(&folder);
    let stdout = sink_for(&Output::Stdout, &Topic::lines::<String>("out")).unwrap();
    for error in [sink.open(Some("")).err().unwrap(), stdout.open(Some(&committed)).err().unwrap()] {
        assert_eq!(error.kind(), headwater::Kind::Config, "{error}");
        assert!(error.message().contains("bind the topic as it was bound, or start over with --fresh"), "{error}");
    }
    assert!(stdout.open(Some("")).is_ok());
}

#[test]
fn an_epoch_without_records_says_the_same() {
    let folder = Folder::new();
    let (sink, committed) = with_one_line(&folder);
    let mut committer = sink.open(Some(&committed)).unwrap();
    assert_eq!(committer.prepare().unwrap(), committed);
}

#[test]
fn a_committed_output_that_changed_is_noticed() {
    let folder = Folder::new();
    let (sink, committed) = with_one_line(&folder);
    folder.write("out", "on");
    let expected = format!("output out was shortened: it has 2 bytes, and 4 were committed; {RESTORE}");
    folder.assert_config(sink.open(Some(&committed)), &expected);
    folder.write("out", "two\nthree\n");
    let expected = format!("output out was changed: the last 4 bytes of what was committed differ; {RESTORE}");
    folder.assert_config(sink.open(Some(&committed)), &expected);
    assert_eq!(folder.read("out"), "two\nthree\n", "nothing is cut off that is not ours");
    fs::remove_file(folder.path("out")).unwrap();
    folder.assert_config(sink.open(Some(&committed)), &format!("output out is gone; {RESTORE}"));
    assert!(!folder.path("out").exists());
}

#[test]
fn an_output_that_changes_while_it_is_written_is_noticed_at_the_commit() {
    let folder = Folder::new();
    let (sink, committed) = with_one_line(&folder);
    let fails = |expected: &str, change: &dyn Fn()| {
        let mut committer = sink.open(Some(&committed)).unwrap();
        change();
        append(&sink, committer.as_mut(), vec!["two".to_owned()]);
        folder.assert_config(committer.prepare(), &format!("output out {expected}; {RESTORE}"));
        folder.write("out", "one\n");
    };
    let moved = "was moved or removed while it was written";
    fails(moved, &|| fs::rename(folder.path("out"), folder.path("out.1")).unwrap());
    fails(moved, &|| {
        fs::rename(folder.path("out"), folder.path("out.2")).unwrap();
        folder.write("out", "other");
    });
    fails("was changed while it was written: it has 12 bytes instead of 8", &|| folder.write("out", "one\nfrom two"));
}

#[test]
fn two_jobs_do_not_write_one_file() {
    let folder = Folder::new();
    let (sink, committed) = with_one_line(&folder);
    let first = sink.open(Some(&committed)).unwrap();
    let expected = "output out is being written by another job";
    folder.assert_config(sink.open(Some(&committed)), expected);
    folder.assert_config(move_aside(&folder.path("out")), expected);
    drop(first);
    assert!(sink.open(Some(&committed)).is_ok());
}

#[test]
fn what_cannot_be_a_file_is_refused() {
    let folder = Folder::new();
    folder.write("directory/a", "");
    let expected = "output directory is a directory: name a file in it";
    folder.assert_config(file(&folder.path("directory")).open(None), expected);
    let expected = "output /dev/null is not a file that can be cut back to what was committed";
    folder.assert_config(file(Path::new("/dev/null")).open(None), expected);
    let error = file(&folder.path("directory/a/out")).open(None).err().unwrap();
    assert!(folder.says(&error).starts_with("output: cannot make directory directory/a"), "{error}");
}

#[test]
fn moving_aside_overwrites_nothing() {
    let folder = Folder::new();
    assert_eq!(move_aside(&folder.path("out")).unwrap(), None);
    folder.write("out", "");
    assert_eq!(move_aside(&folder.path("out")).unwrap(), None);
    folder.write("out.old-2", "2");
    for (content, name) in [("a", "out.old-1"), ("b", "out.old-3")] {
        folder.write("out", content);
        assert_eq!(move_aside(&folder.path("out")).unwrap(), Some(folder.path(name)));
        assert!(!folder.path("out").exists());
    }
    let old = ["out.old-1", "out.old-2", "out.old-3"].map(|name| folder.read(name));
    assert_eq!(old, ["a", "2", "b"]);

    folder.write("state/manifest", "m");
    folder.write("state.old-1/manifest", "old");
    assert_eq!(move_aside(&folder.path("state")).unwrap(), Some(folder.path("state.old-2")));
    assert_eq!(folder.read("state.old-2/manifest"), "m");
}

#[test]
fn captured_records_are_seen_when_their_epoch_has_committed() {
    let captured = Captured::new();
    let mut committer = captured.open(None).unwrap();
    append(&captured, committer.as_mut(), vec![1, 2]);
    append(&captured, committer.as_mut(), vec![3]);
    assert_eq!(committer.prepare().unwrap(), "3");
    assert!(captured.is_empty());
    assert!(!captured.wait_for(1, Duration::from_millis(1)));
    committer.committed().unwrap();
    assert!(captured.wait_for(3, Duration::ZERO));
    assert_eq!(captured.take(), [1, 2, 3]);
    assert_eq!(captured.len(), 0);
}

#[test]
fn captured_records_survive_a_reopening_as_far_as_they_are_committed() {
    let captured = Captured::new();
    let mut committer = captured.open(None).unwrap();
    append(&captured, committer.as_mut(), vec![1]);
    let first = committer.prepare().unwrap();
    committer.committed().unwrap();
    append(&captured, committer.as_mut(), vec![2]);
    let second = committer.prepare().unwrap();

    let mut aborted = captured.open(Some(&first)).unwrap();
    assert_eq!(captured.records(), [1]);
    append(&captured, aborted.as_mut(), vec![2]);
    assert_eq!(aborted.prepare().unwrap(), second);

    let mut unheard = captured.open(Some(&second)).unwrap();
    assert_eq!(captured.take(), [1, 2], "the commit was made, although the sink was not told");
    append(&captured, unheard.as_mut(), vec![3]);
    assert_eq!(unheard.prepare().unwrap(), "3");

    let mut elsewhere = Captured::<i32>::new().open(Some("7")).unwrap();
    assert_eq!(elsewhere.prepare().unwrap(), "7");
}

#[test]
fn waiting_ends_when_another_thread_commits() {
    let captured = Captured::new();
    let mut committer = captured.open(None).unwrap();
    append(&captured, committer.as_mut(), vec!["one"]);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| captured.wait_for(1, Duration::from_secs(60)));
        committer.committed().unwrap();
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn a_sink_for_other_records_is_refused() {
    let numbers = Topic::json::<u64>("numbers");
    let output = Output::of(Captured::<u32>::new());
    assert!(sink_for(&output, &Topic::json::<u32>("numbers")).is_ok());
    let expected = "topic numbers has records of type u64, and is bound to a sink of another type";
    Folder::new().assert_config(sink_for(&output, &numbers), expected);
    assert_eq!(sink_for(&Output::Stdout, &numbers).unwrap().describe(), "standard output");
    assert_eq!(sink_for(&Output::File("out".into()), &numbers).unwrap().describe(), "file out");
}
