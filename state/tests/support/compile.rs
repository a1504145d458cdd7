//! Checks what the compiler says, without cargo: the libraries of this very build are beside the test.
//!
//! Each case is a file whose `//~` lines list what the message must contain, the sentence that helps; `//~ compiles`
//! alone says that it must compile. The first error has at most 15 lines, unless `//~ longer: …` says why it cannot.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// What fits beside the code that it is about. The error is counted as the compiler draws it, with the code it quotes.
const LINES_MAX: usize = 15;

/// The library that this test was built with: the newest one beside it.
fn library(directory: &Path, name: &str) -> PathBuf {
    let prefix = format!("lib{name}-");
    let candidates = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        name.starts_with(&prefix) && name.ends_with(".rlib")
    });
    let modified = |path: &PathBuf| path.metadata().unwrap().modified().unwrap_or(SystemTime::UNIX_EPOCH);
    candidates.max_by_key(modified).unwrap_or_else(|| panic!("{prefix}*.rlib beside the test"))
}

/// What the compiler says to `case`. It only checks types: nothing is built.
fn compile(case: &Path, name: &str) -> (bool, String) {
    let directory = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let out = tempfile::tempdir().unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    // From the root of the workspace the compiler finds our code, and quotes it as it does for users.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(rustc)
        .current_dir(root)
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata", "--out-dir"])
        .arg(out.path())
        .arg("-L")
        .arg(format!("dependency={}", directory.display()))
        .arg("--extern")
        .arg(format!("{name}={}", library(&directory, name).display()))
        .arg(case)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

/// The first error, as it is drawn: an empty line ends it.
fn first_error(said: &str) -> &str {
    said.split("\n\n").find(|part| part.starts_with("error")).unwrap_or_default()
}

/// What is wrong with what the compiler says to a case, if anything is.
fn wrong(source: &str, compiled: bool, said: &str) -> Option<String> {
    let (longer, wanted): (Vec<&str>, Vec<&str>) =
        source.lines().filter_map(|line| line.strip_prefix("//~ ")).partition(|text| text.starts_with("longer: "));
    assert!(!wanted.is_empty(), "nothing is said of its message");
    if wanted == ["compiles"] {
        return (!compiled).then(|| "it should compile".to_owned());
    }
    if compiled {
        return Some("it should not compile".to_owned());
    }
    let missing: Vec<_> = wanted.iter().filter(|text| !said.contains(**text)).collect();
    if !missing.is_empty() {
        return Some(format!("it lacks {missing:?}"));
    }
    let lines = first_error(said).lines().count();
    if lines > LINES_MAX && longer.is_empty() {
        return Some(format!("the first error has {lines} lines"));
    }
    (lines <= LINES_MAX && !longer.is_empty()).then(|| format!("it has {lines} lines, and may lose its `longer`"))
}

/// Compiles every case in `cases` against the library called `name`.
pub fn check(cases: &Path, name: &str) {
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in cases.read_dir().unwrap() {
        let case = entry.unwrap().path();
        let source = std::fs::read_to_string(&case).unwrap();
        let (compiled, said) = compile(&case, name);
        if let Some(wrong) = wrong(&source, compiled, &said) {
            failures.push(format!("{}: {wrong}; said:\n{said}", case.display()));
        }
        count += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(count >= 2, "only {count} cases were found in {}", cases.display());
}
