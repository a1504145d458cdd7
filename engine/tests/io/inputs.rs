//! Which files a pattern names, and what a line is.

use std::process::Command;

use headwater::binding::{Input, source_for};
use headwater::format::{Json, Lines};
use headwater::source::{BadRecord, FileSource, LINE_BYTES_MAX, Poll, Polled, Records, Source};

use super::{Folder, lines, rest};

fn all(source: &dyn Source<String>) -> Vec<String> {
    assert_eq!(source.partitions().unwrap(), ["0"]);
    rest(source.open("0", None).unwrap().as_mut()).unwrap()
}

#[test]
fn files_are_read_in_the_order_of_their_names() {
    let folder = Folder::new();
    for name in ["b", "a", "c/a", "c/b", ".hidden"] {
        folder.write(name, format!("{name} 1\n{name} 2\n"));
    }
    assert_eq!(all(&lines(folder.path("*"))), ["a 1", "a 2", "b 1", "b 2"]);
    assert_eq!(all(&lines(folder.path("*/b"))), ["c/b 1", "c/b 2"]);
    assert_eq!(all(&lines(folder.path("**/a"))), ["a 1", "a 2", "c/a 1", "c/a 2"]);
    assert_eq!(all(&lines(folder.path("[ab]"))).len(), 4);
}

#[test]
fn a_file_whose_name_looks_like_a_pattern_is_read() {
    let folder = Folder::new();
    folder.write("[a]*", "one");
    assert_eq!(all(&lines(folder.path("[a]*"))), ["one"]);
}

#[test]
fn lines_end_in_any_way() {
    let folder = Folder::new();
    folder.write("a", "\u{feff}one\r\n\r\n \t\ntwo\n\nthree");
    folder.write("b", "");
    folder.write("c", "\u{feff}four\n\u{feff}five\r\n");
    assert_eq!(all(&lines(folder.path("*"))), ["one", "", " \t", "two", "", "three", "four", "\u{feff}five"]);
}

#[test]
fn a_blank_line_is_a_record_of_text_and_none_of_json() {
    let folder = Folder::new();
    folder.write("in", "one\n\n  \ntwo\n");
    let text = FileSource::<String, _>::new(folder.text("in"), Lines);
    assert_eq!(all(&text), ["one", "", "  ", "two"]);
    folder.write("in", "\"one\"\n\n  \n\"two\"\n");
    assert_eq!(all(&FileSource::<String, _>::new(folder.text("in"), Json)), ["one", "two"]);
}

#[test]
fn a_bad_record_says_where_it_stands() {
    let folder = Folder::new();
    folder.write("orders", "[1]\n\n[x]\n[2]\n[3");
    let path = folder.text("orders");
    let mut polled = Polled::<Vec<u32>>::default();
    let mut partition = FileSource::new(&path, Json).open("0", None).unwrap();
    assert_eq!(partition.poll(&mut polled, 100).unwrap(), Poll::Records);
    assert_eq!((polled.records, polled.bytes), (vec![vec![1], vec![2]], 15));
    let bad = |place: &str, cause: &str, payload: &str| BadRecord {
        place: format!("{path} {place}"),
        cause: cause.into(),
        payload: payload.into(),
        ..BadRecord::default()
    };
    let expected = [
        bad("line 3 (byte 5)", "expected value at column 2", "[x]"),
        bad("line 5 (byte 13)", "EOF while parsing a list at column 2", "[3"),
    ];
    assert_eq!(polled.bad, expected);
}

#[test]
fn a_record_that_is_not_utf8_is_bad_in_every_format() {
    let folder = Folder::new();
    folder.write("lines", b"\"\xff\"\n\"two\"\n");
    let cause = "invalid utf-8 sequence of 1 bytes from index 1";
    let mut polled = Polled::<String>::default();
    FileSource::new(folder.text("lines"), Json).open("0", None).unwrap().poll(&mut polled, 10).unwrap();
    assert_eq!((polled.bad[0].cause.as_str(), polled.records), (cause, vec!["two".to_owned()]));
    let mut polled = Polled::default();
    lines(folder.path("lines")).open("0", None).unwrap().poll(&mut polled, 10).unwrap();
    assert_eq!((polled.bad[0].cause.as_str(), polled.records), (cause, vec!["\"two\"".to_owned()]));
}

#[test]
fn a_line_that_is_too_long_is_a_bad_record() {
    for (length, end) in [(LINE_BYTES_MAX + 1, "\n"), (3 * LINE_BYTES_MAX, "\n"), (2 * LINE_BYTES_MAX, "")] {
        let folder = Folder::new();
        let next = if end.is_empty() { "" } else { "three\n" };
        folder.write("lines", format!("one\n{}{end}{next}", "x".repeat(length)));
        let mut polled = Polled::<String>::default();
        let source = lines(folder.path("lines"));
        let mut partition = source.open("0", None).unwrap();
        while partition.poll(&mut polled, 10).unwrap() != Poll::End {}
        let bytes = length + end.len();
        let [bad] = polled.bad.as_slice() else { panic!("one bad record: {}", polled.bad.len()) };
        assert_eq!(bad.cause, format!("line is too long: {bytes} bytes of 16777216"));
        assert_eq!(bad.place, format!("{} line 2 (byte 4)", folder.text("lines")));
        assert_eq!(bad.payload, vec![b'x'; 4096]);
        assert_eq!(polled.records.join(" "), format!("one {}", next.trim()).trim());
        let again = source.open("0", Some(&partition.position())).unwrap().poll(&mut Polled::default(), 10).unwrap();
        assert_eq!(again, Poll::End);
    }
}

#[test]
fn a_line_may_be_as_long_as_the_bound() {
    let folder = Folder::new();
    folder.write("lines", format!("{}\ntwo", "x".repeat(LINE_BYTES_MAX - 1)));
    let records = all(&lines(folder.path("lines")));
    assert_eq!((records[0].len(), records[1].as_str()), (LINE_BYTES_MAX - 1, "two"));
}

#[test]
fn a_pattern_that_names_nothing_is_refused() {
    let folder = Folder::new();
    folder.write("directory/a.jsonl", "");
    let at = std::env::current_dir().unwrap().display().to_string();
    for pattern in ["*.json", "orders.jsonl", "dir*"] {
        let expected = format!("no file matches {pattern}, in working directory {at}");
        folder.assert_config(lines(folder.path(pattern)).partitions(), &expected);
        folder.assert_config(lines(folder.path(pattern)).open("0", None), &expected);
    }
    let expected = "input pattern a*** cannot be read: Pattern syntax error near position";
    let error = lines("a***").partitions().unwrap_err();
    assert!(folder.says(&error).starts_with(expected), "{error}");
}

#[test]
fn what_is_not_a_file_of_lines_is_refused() {
    let folder = Folder::new();
    folder.write("directory/a", "");
    let expected = "input directory is a directory: name its files, such as directory/*.jsonl";
    folder.assert_config(lines(folder.path("directory")).partitions(), expected);
    folder.assert_config(lines(folder.path("directory/")).partitions(), expected);

    std::os::unix::fs::symlink(folder.path("nothing"), folder.path("link")).unwrap();
    let expected = "input link is a link to a file that does not exist";
    folder.assert_config(lines(folder.path("link")).partitions(), expected);

    assert!(Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap().success());
    let expected = "pipe cannot be read again after a crash: write it to a file and read that";
    folder.assert_config(lines(folder.path("pipe")).partitions(), expected);
    let expected = "standard input cannot be read again after a crash: write it to a file and read that";
    folder.assert_config(lines("-").partitions(), expected);

    folder.write("orders.jsonl.gz", b"\x1f\x8b\x08\x00");
    let expected = "input orders.jsonl.gz is compressed, and positions are in plain text: gzip -d orders.jsonl.gz";
    folder.assert_config(lines(folder.path("*.gz")).partitions(), expected);
}

#[test]
fn a_source_for_other_records_is_refused() {
    let input = Input::of(Records::new(vec![1_u32]));
    assert!(source_for::<u32, _>(&input, "numbers", Json).is_ok());
    let expected = "topic numbers has records of type u64, and is bound to a source of another type";
    Folder::new().assert_config(source_for::<u64, _>(&input, "numbers", Json), expected);

    let folder = Folder::new();
    folder.write("numbers", "1\n2");
    let files = source_for::<u64, _>(&Input::Files(folder.text("numbers")), "numbers", Json).unwrap();
    assert_eq!(rest(files.open("0", None).unwrap().as_mut()).unwrap(), [1, 2]);
}
