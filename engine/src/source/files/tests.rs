//! Lines come out the same however the file is cut into reads, and wherever reading is taken up again.

use std::path::Path;

use proptest::prelude::*;

use super::lines::{Line, Lines, SEEN_BYTES};
use super::position::Mark;

/// What a test compares of a line.
#[derive(Clone, Debug, PartialEq)]
struct Taken {
    text: Vec<u8>,
    number: u64,
    offset: u64,
    bytes: usize,
}

impl From<Line<'_>> for Taken {
    fn from(line: Line<'_>) -> Self {
        Self { text: line.bytes.to_vec(), number: line.number, offset: line.offset, bytes: line.bytes_taken }
    }
}

/// A line's length and end: many short ones, and some longer than what is kept before a position.
fn lines() -> impl Strategy<Value = Vec<(usize, bool)>> {
    let length = prop_oneof![8 => 0..40_usize, 2 => 0..600_usize, 1 => 0..3 * SEEN_BYTES];
    prop::collection::vec((length, any::<bool>()), 0..120)
}

fn file_of(lines: &[(usize, bool)], ended: bool) -> (Vec<u8>, Vec<Taken>) {
    let (mut file, mut expected) = (Vec::new(), Vec::new());
    for (n, (length, carriage_return)) in lines.iter().enumerate() {
        let text: Vec<u8> = (0..*length).map(|at| b'a' + ((n * 7 + at) % 26) as u8).collect();
        let end: &[u8] = if *carriage_return { b"\r\n" } else { b"\n" };
        let end = if n + 1 < lines.len() || ended { end } else { b"" };
        let bytes = text.len() + end.len();
        if bytes > 0 {
            expected.push(Taken { text: text.clone(), number: n as u64 + 1, offset: file.len() as u64, bytes });
        }
        file.extend_from_slice(&text);
        file.extend_from_slice(end);
    }
    (file, expected)
}

fn read(path: &Path, stops: &[usize], chunk_bytes: usize) -> Vec<Taken> {
    let mut mark = Mark::start(path.to_str().unwrap());
    let mut taken = Vec::new();
    for stop in stops.iter().chain([&usize::MAX]) {
        let mut lines = Lines::open_in_chunks(&mark, chunk_bytes).unwrap();
        for _ in 0..*stop {
            match lines.next().unwrap() {
                Some(line) => taken.push(Taken::from(line)),
                None => break,
            }
        }
        mark = serde_json::from_str(&serde_json::to_string(&lines.mark()).unwrap()).unwrap();
    }
    taken
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn reads_and_stops_do_not_show(
        lines in lines(),
        ended in any::<bool>(),
        stops in prop::collection::vec(0..30_usize, 0..8),
        chunk_bytes in prop_oneof![1..8_usize, 8..600_usize, 600..20_000_usize],
    ) {
        let (file, expected) = file_of(&lines, ended);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lines");
        std::fs::write(&path, file).unwrap();
        prop_assert_eq!(read(&path, &stops, chunk_bytes), expected);
    }
}
