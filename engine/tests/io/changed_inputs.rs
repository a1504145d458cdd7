//! Files that are not what they were when a position was made of them.

use std::fs;

use headwater::Kind;
use headwater::source::{Partition, Source};

use super::{Folder, lines, poll, rest};

const RESTORE: &str = "restore the file as it was, or start over with --fresh";

/// Three files with four lines each: `b 0003` is the last of the second.
fn three_files() -> Folder {
    let folder = Folder::new();
    for name in ["a", "b", "c"] {
        folder.write(name, (0..4).map(|n| format!("{name} 000{n}\n")).collect::<String>());
    }
    folder
}

fn source(folder: &Folder) -> impl Source<String> + use<> {
    lines(folder.path("*"))
}

/// A partition after so many lines.
fn after(folder: &Folder, lines: usize) -> Box<dyn Partition<String>> {
    let mut partition = source(folder).open("0", None).unwrap();
    assert_eq!(poll(partition.as_mut(), lines).unwrap().0.len(), lines);
    partition
}

#[track_caller]
fn assert_refused(folder: &Folder, position: &str, message: &str) {
    folder.assert_config(source(folder).open("0", Some(position)), message);
}

#[test]
fn every_position_is_found_again() {
    let folder = three_files();
    let all = rest(source(&folder).open("0", None).unwrap().as_mut()).unwrap();
    for stop in 1..=all.len() {
        let position = after(&folder, stop).position();
        let mut reopened = source(&folder).open("0", Some(&position)).unwrap();
        assert_eq!(reopened.position(), position);
        assert_eq!(rest(reopened.as_mut()).unwrap(), all[stop..]);
    }
}

#[test]
fn a_path_is_the_same_with_a_dot_before_it() {
    let folder = three_files();
    let position = after(&folder, 6).position();
    let mut reopened = lines(folder.path("./*")).open("0", Some(&position)).unwrap();
    assert_eq!(rest(reopened.as_mut()).unwrap().len(), 6);
}

#[test]
fn a_file_that_was_read_and_is_gone_is_missed() {
    for (name, stop) in [("a", 6), ("b", 6), ("c", 12)] {
        let folder = three_files();
        let position = after(&folder, stop).position();
        fs::remove_file(folder.path(name)).unwrap();
        let expected = format!("input {name} was read and is not among the input files any more; {RESTORE}");
        assert_refused(&folder, &position, &expected);
    }
}

#[test]
fn a_file_not_begun_may_go() {
    let folder = three_files();
    let position = after(&folder, 6).position();
    fs::remove_file(folder.path("c")).unwrap();
    assert_eq!(rest(source(&folder).open("0", Some(&position)).unwrap().as_mut()).unwrap(), ["b 0002", "b 0003"]);
}

#[test]
fn a_truncated_file_is_noticed() {
    let folder = three_files();
    let position = after(&folder, 6).position();
    folder.write("b", "b 0000\nb 0");
    let expected = format!("input b was truncated: it has 10 bytes, and 14 were read; {RESTORE}");
    assert_refused(&folder, &position, &expected);
}

#[test]
fn a_replaced_file_is_noticed_by_its_head_and_by_its_tail() {
    for changed in [0, 5_000, 9_999] {
        let folder = Folder::new();
        folder.write("a", "one line\n".repeat(10_000));
        let position = after(&folder, 10_000 / 9 + 1).position();
        let mut other = fs::read(folder.path("a")).unwrap();
        other[changed] = b'x';
        folder.write("a", other);
        let reopened = source(&folder).open("0", Some(&position));
        if changed == 5_000 {
            assert!(reopened.is_ok(), "the middle is not looked at");
            continue;
        }
        let expected = "input a was replaced: its first 10008 bytes are not those that were read";
        folder.assert_config(reopened, &format!("{expected}; {RESTORE}"));
    }
}

#[test]
fn a_new_file_before_one_that_was_read_is_noticed() {
    let folder = three_files();
    let position = after(&folder, 6).position();
    folder.write("aa", "late");
    let expected = "input aa is new, and comes before b, which was read; take it away or name it to come later, or \
                    start over with --fresh";
    assert_refused(&folder, &position, expected);

    fs::rename(folder.path("aa"), folder.path("bb")).unwrap();
    let read = rest(source(&folder).open("0", Some(&position)).unwrap().as_mut()).unwrap();
    assert_eq!(read[..4], ["b 0002", "b 0003", "late", "c 0000"]);
}

#[test]
fn a_finished_file_that_changed_is_noticed() {
    let folder = three_files();
    let position = after(&folder, 6).position();
    folder.append("a", "a 0004\n");
    let expected = "input a has grown after its end was read, at 28 bytes; put what was appended into a file that comes \
                    later, or start over with --fresh";
    assert_refused(&folder, &position, expected);
    folder.write("a", "a 0000\n");
    let expected = format!("input a was truncated: it has 7 bytes, and 28 were read; {RESTORE}");
    assert_refused(&folder, &position, &expected);
    folder.write("a", "a 0000\na 0001\nA 0002\na 0003\n");
    let expected = format!("input a was replaced: its first 28 bytes are not those that were read; {RESTORE}");
    assert_refused(&folder, &position, &expected);
}

#[test]
fn what_is_appended_to_the_last_file_is_read() {
    let folder = three_files();
    let mut partition = after(&folder, 12);
    assert_eq!(rest(partition.as_mut()).unwrap(), [""; 0]);
    folder.append("c", "c 0004\n");
    assert_eq!(rest(partition.as_mut()).unwrap(), [""; 0], "an end is for good");
    let mut reopened = source(&folder).open("0", Some(&partition.position())).unwrap();
    assert_eq!(rest(reopened.as_mut()).unwrap(), ["c 0004"]);
}

#[test]
fn a_last_line_without_an_end_may_get_it_and_no_more() {
    let folder = Folder::new();
    folder.write("a", "one\ntwo");
    let position = after(&folder, 2).position();
    for (end, more) in [("", vec![]), ("\n", vec![]), ("\r\n", vec![]), ("\nthree", vec!["three"])] {
        folder.write("a", format!("one\ntwo{end}"));
        assert_eq!(rest(source(&folder).open("0", Some(&position)).unwrap().as_mut()).unwrap(), more);
    }
    folder.write("a", "one\ntwofold\n");
    let expected = format!("input a line 2 had no end when it was read and has grown since; {RESTORE}");
    let mut reopened = source(&folder).open("0", Some(&position)).unwrap();
    folder.assert_config(rest(reopened.as_mut()), &expected);
}

#[test]
fn a_file_rotated_while_it_is_read_is_noticed_at_its_end() {
    let folder = three_files();
    let mut partition = after(&folder, 6);
    fs::rename(folder.path("b"), folder.path("b.1")).unwrap();
    let expected = format!("input b was rotated or removed while it was read; {RESTORE}");
    folder.assert_config(rest(partition.as_mut()), &expected);
    folder.write("b", "b 0004\n");
    let expected = format!("input b was rotated while it was read: another file has its name; {RESTORE}");
    folder.assert_config(rest(partition.as_mut()), &expected);
}

#[test]
fn a_file_truncated_while_it_is_read_is_noticed() {
    let folder = three_files();
    let mut partition = after(&folder, 6);
    folder.write("b", "b 0000\n");
    let expected = format!("input b was truncated: it has 7 bytes, and 28 were read; {RESTORE}");
    folder.assert_config(rest(partition.as_mut()), &expected);
}

#[test]
fn a_file_written_anew_while_it_is_read_is_noticed_before_a_line_of_it_is_taken() {
    let folder = Folder::new();
    let long = |text: &str| format!("{text}\n").repeat(100_000);
    folder.write("a", long("old line"));
    let mut partition = after(&folder, 100);
    folder.write("a", long("new line"));
    let mut taken = Vec::new();
    let error = loop {
        match poll(partition.as_mut(), 100) {
            Ok((lines, _)) => taken.extend(lines),
            Err(error) => break error,
        }
    };
    assert!(taken.iter().all(|line| line == "old line"));
    assert_eq!(error.kind(), Kind::Config);
    assert!(folder.says(&error).starts_with("input a was replaced: its first"), "{error}");
}

#[test]
fn a_file_that_goes_before_it_is_begun_is_missed() {
    let folder = three_files();
    let mut partition = after(&folder, 6);
    fs::remove_file(folder.path("c")).unwrap();
    folder.assert_config(rest(partition.as_mut()), &format!("input c is gone; {RESTORE}"));
}

#[test]
fn a_position_of_another_kind_of_input_is_refused() {
    let folder = three_files();
    let error = source(&folder).open("0", Some("7")).err().unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.message().starts_with("what was read before is not files: its position is 7; "), "{error}");
}
