//! Checks what the compiler says, without cargo: the libraries of this very build are beside the test.
//!
//! Each case is a file whose `//~` lines list what the message must contain, the sentence that helps; `//~ compiles`
//! alone says that it must compile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

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
    let output = Command::new(rustc)
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

/// Compiles every case in `cases` against the library called `name`.
pub fn check(cases: &Path, name: &str) {
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in cases.read_dir().unwrap() {
        let case = entry.unwrap().path();
        let source = std::fs::read_to_string(&case).unwrap();
        let (compiled, said) = compile(&case, name);
        let wanted: Vec<&str> = source.lines().filter_map(|line| line.strip_prefix("//~ ")).collect();
        assert!(!wanted.is_empty(), "{} says nothing of its message", case.display());
        let should_compile = wanted == ["compiles"];
        let missing = wanted.iter().filter(|text| !should_compile && !said.contains(**text)).collect::<Vec<_>>();
        if compiled != should_compile || !missing.is_empty() {
            failures.push(format!("{}: compiled: {compiled}; missing: {missing:?}; said:\n{said}", case.display()));
        }
        count += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert!(count >= 2, "only {count} cases were found in {}", cases.display());
}
