//! The rules of the code that neither the compiler nor clippy holds for us, as one test.
//!
//! It reads every `.rs` file of the workspace, masks comments and the text of literals, and looks
//! for what must not be there. All violations are listed at once, each with its remedy. A rule is
//! one entry of a table below or one function, and each has a bad sample in `samples.rs`.
//!
//! Test code is `tests/` folders, files named `tests.rs` or `*_tests.rs`, and items under
//! `#[cfg(test)]`; most rules leave it alone.

#![cfg(test)]

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/source.rs"]
mod source;

use source::{blank, find_word, functions, item_end, line_of, mask, test_items};

/// Lines of one file, items under `#[cfg(test)]` not counted.
const FILE_LINES: usize = 400;

/// Lines of one function, from its `fn` to its closing brace.
const FUNCTION_LINES: usize = 60;

/// Where time comes from. Everything else is given the time, so that tests decide what time it is.
const CLOCK_FILES: &[&str] = &["engine/src/clock.rs", "state/src/crash.rs"];

const CLOCKS: &[&str] = &[
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "thread::sleep",
    "time::sleep",
    "time::interval",
];

/// Files that may hold `unsafe`, each with `#![expect(unsafe_code, reason = "…")]`.
const UNSAFE_FILES: &[&str] = &["engine/src/kafka/ffi.rs", "engine/src/kafka/ffi/producer.rs"];

/// A folder, and the crates that its code must not name; a trailing `_` is any crate beginning so.
const DIRECTION: &[(&str, &str)] = &[
    ("state/", "rdkafka tokio arrow arrow_ datafusion datafusion_ headwater_operators"),
    // The derive macro may write the engine's name into the code it makes.
    ("state/src/", "headwater"),
    ("operators/", "rdkafka tokio rocksdb librocksdb_sys headwater"),
    ("engine/", "rocksdb librocksdb_sys"),
    ("examples/", "rocksdb librocksdb_sys"),
    ("benches/", "rocksdb librocksdb_sys"),
];

/// Methods whose result says whether something reached its place: these words, alone or at an end
/// of a longer name.
const DELIVERIES: &[&str] = &["send", "write", "flush", "commit", "sync"];

/// A rule that bans words, which are looked for in code only, never in comments or strings.
struct Ban {
    rule: &'static str,
    remedy: &'static str,
    words: &'static [&'static str],
    applies: fn(&str) -> bool,
    in_tests: bool,
}

const BANS: &[Ban] = &[
    Ban {
        rule: "no unwrap",
        remedy: "return an `Error` with `?`, or state the invariant with `expect`",
        words: &[".unwrap()"],
        applies: |path| place(path) == Place::Source,
        in_tests: false,
    },
    Ban {
        rule: "no printing",
        remedy: "log through `tracing`; what a command answers goes to a writer it is given",
        words: &["println!", "print!", "dbg!"],
        applies: |path| place(path) == Place::Source,
        in_tests: false,
    },
    Ban {
        rule: "no clock and no sleep",
        remedy: "take the time as an argument; files that may read it are listed in tidy.rs",
        words: CLOCKS,
        applies: |path| matches!(place(path), Place::Source | Place::Example) && !CLOCK_FILES.contains(&path),
        in_tests: false,
    },
    Ban {
        rule: "no unsafe",
        remedy: "find a safe way; a file that cannot do without it is listed in tidy.rs",
        words: &["unsafe"],
        applies: |path| !UNSAFE_FILES.contains(&path),
        in_tests: true,
    },
    Ban {
        rule: "nothing unfinished",
        remedy: "finish it, or leave it out and open an issue",
        words: &["todo!", "unimplemented!", "#[ignore"],
        applies: |_| true,
        in_tests: true,
    },
];

#[derive(PartialEq)]
enum Place {
    Source,
    Example,
    Bench,
    Test,
}

fn place(path: &str) -> Place {
    let is_test = |part: &str| part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs");
    match path {
        _ if path.split('/').any(is_test) => Place::Test,
        _ if path.starts_with("examples/") => Place::Example,
        _ if path.starts_with("benches/") => Place::Bench,
        _ => Place::Source,
    }
}

struct Violation {
    path: String,
    line: usize,
    rule: String,
    remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.remedy)
    }
}

/// One source file, read in the ways the rules need.
struct File<'a> {
    path: &'a str,
    code: String,
    comments: String,
    /// The code without the items under `#[cfg(test)]`.
    production: String,
    lines: usize,
}

impl<'a> File<'a> {
    fn new(path: &'a str, text: &str) -> Self {
        let (code, comments) = mask(text);
        let tests = test_items(&code);
        let lines_of_test = |test: &Range<usize>| code[test.clone()].lines().count();
        let test_lines = tests.iter().map(lines_of_test).sum();
        Self {
            path,
            comments,
            production: blank(&code, &tests),
            lines: text.lines().count().saturating_sub(test_lines),
            code,
        }
    }

    fn violation(&self, line: usize, rule: String, remedy: &str) -> Violation {
        Violation { path: self.path.into(), line, rule, remedy: remedy.into() }
    }

    fn lengths(&self) -> Vec<Violation> {
        let file = [("file", FILE_LINES + 1, self.lines, FILE_LINES)].into_iter();
        let functions = functions(&self.production).into_iter();
        let functions = functions.map(|(at, lines)| ("function", at, lines, FUNCTION_LINES));
        file.chain(functions)
            .filter(|(_, _, lines, limit)| lines > limit)
            .map(|(what, at, lines, limit)| {
                let rule = format!("{what} too long: {lines} lines of {limit}");
                self.violation(at, rule, "split it by what its parts are about")
            })
            .collect()
    }

    fn banned(&self, ban: &Ban) -> Vec<Violation> {
        let Ban { rule, remedy, .. } = ban;
        let code = if ban.in_tests { &self.code } else { &self.production };
        let hits = ban.words.iter().flat_map(|word| find_lines(code, word));
        hits.map(|(line, word)| self.violation(line, format!("{rule}: `{word}`"), remedy)).collect()
    }

    fn wrong_direction(&self, folder: &str, crates: &'static str) -> Vec<Violation> {
        let hits = crates.split(' ').flat_map(|name| find_lines(&self.code, name));
        hits.map(|(line, name)| {
            let rule = format!("crate direction: {folder} names `{name}`");
            self.violation(line, rule, "the direction is state ← operators ← engine")
        })
        .collect()
    }

    fn notes_to_fix(&self) -> Vec<Violation> {
        let hits = find_lines(&self.comments, concat!("FIX", "ME")).into_iter();
        hits.map(|(line, word)| {
            let rule = format!("nothing unfinished: {word}");
            self.violation(line, rule, "fix it, or open an issue")
        })
        .collect()
    }

    fn discards(&self) -> Vec<Violation> {
        let rule = || "result thrown away".to_owned();
        let remedy = "hand it on with `?`, or log it and say why that is enough";
        let lines = discarded_results(&self.production).into_iter();
        lines.map(|line| self.violation(line, rule(), remedy)).collect()
    }
}

/// Everything that is wrong with one file.
fn check(path: &str, text: &str) -> Vec<Violation> {
    let file = File::new(path, text);
    let mut found = file.lengths();
    for ban in BANS.iter().filter(|ban| (ban.applies)(path)) {
        found.extend(file.banned(ban));
    }
    for (folder, crates) in DIRECTION.iter().filter(|(folder, _)| path.starts_with(folder)) {
        found.extend(file.wrong_direction(folder, crates));
    }
    found.extend(file.notes_to_fix());
    if place(path) != Place::Test {
        found.extend(file.discards());
    }
    found.sort_by_key(|violation| violation.line);
    found
}

/// The lines of `let _ = …` and `_ = …` statements that throw away the result of a delivery.
fn discarded_results(code: &str) -> Vec<usize> {
    let is_delivery = |name: &str| {
        let matches = |verb: &&str| {
            let rest = name.strip_prefix(*verb).or_else(|| name.strip_suffix(*verb));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_') || rest.ends_with('_'))
        };
        DELIVERIES.iter().any(matches)
    };
    let discards = |at: &usize| {
        let statement = &code[*at..item_end(code, *at)];
        let Some(value) = statement[1..].trim_start().strip_prefix('=') else {
            return false;
        };
        if value.starts_with('>') {
            return false; // a match arm
        }
        let calls = value.split('.').skip(1).filter_map(|call| call.split_once('('));
        calls.map(|(name, _)| name).any(is_delivery)
    };
    find_word(code, "_").into_iter().filter(discards).map(|at| line_of(code, at)).collect()
}

fn find_lines<'a>(code: &str, word: &'a str) -> Vec<(usize, &'a str)> {
    let hits = find_word(code, word).into_iter();
    hits.map(|at| (line_of(code, at), word)).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("the folder can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Path and text of every file of the workspace, in order.
fn workspace() -> Vec<(String, String)> {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = crate_folder.parent().expect("the crate lies in a workspace");
    let mut files = Vec::new();
    rust_files(root, &mut files);
    files.sort();
    assert!(files.len() > 5, "found only {files:?}");
    let read = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a source file is readable UTF-8");
        let path = file.strip_prefix(root).expect("it was found below the root");
        (path.to_string_lossy().replace('\\', "/"), text)
    };
    files.iter().map(read).collect()
}

/// The entries of a list of exempt files that are exempt from nothing: the file is gone, or has none of `words`.
fn stale<'a>(list: &[&'a str], words: &[&str], files: &[(String, String)]) -> Vec<&'a str> {
    let needs = |entry: &str| {
        let file = files.iter().find(|(path, _)| path == entry);
        file.is_some_and(|(path, text)| {
            let production = File::new(path, text).production;
            words.iter().any(|word| !find_word(&production, word).is_empty())
        })
    };
    list.iter().copied().filter(|entry| !needs(entry)).collect()
}

#[test]
fn no_exemption_is_stale() {
    let files = workspace();
    assert_eq!(stale(CLOCK_FILES, CLOCKS, &files), [""; 0], "remove these from CLOCK_FILES");
    assert_eq!(stale(UNSAFE_FILES, &["unsafe"], &files), [""; 0], "remove these from UNSAFE_FILES");
}

#[test]
fn the_workspace_is_tidy() {
    let mut violations = Vec::new();
    for (path, text) in workspace() {
        violations.extend(check(&path, &text).iter().map(ToString::to_string));
    }
    let list = violations.join("\n");
    assert!(list.is_empty(), "{} violations:\n{list}\n", violations.len());
}
