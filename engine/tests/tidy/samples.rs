//! The rules themselves, tested: text that each must find, and text that none may.

use super::{CLOCKS, FILE_LINES, FUNCTION_LINES, check, stale};

/// A sample, and how the one violation in it begins: the sample is checked as if it were that file.
fn assert_found(text: &str, expected: &str) {
    let (path, _) = expected.split_once(':').expect("a violation begins with its file");
    let found: Vec<String> = check(path, text).iter().map(ToString::to_string).collect();
    let as_expected = matches!(&found[..], [one] if one.starts_with(expected));
    assert!(as_expected, "{text}\nexpected {expected}\nfound {found:?}");
}

fn assert_passes(path: &str, text: &str) {
    let found: Vec<String> = check(path, text).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{text}\nfound {found:?}");
}

/// A function of so many lines.
fn function(lines: usize) -> String {
    format!("pub fn f<T>(a: [u8; 2]) {{\n{}}}\n", "g();\n".repeat(lines - 2))
}

#[test]
fn length() {
    let file = "// line\n".repeat(FILE_LINES + 1);
    assert_found(&file, "state/src/a.rs:401: file too long: 401 lines");
    assert_found(&file, "engine/tests/a.rs:401: file too long: 401 lines");
    assert_passes("state/src/a.rs", &"// line\n".repeat(FILE_LINES));

    let nested = format!("const A: u8 = 1;\n{}", function(FUNCTION_LINES + 1));
    assert_found(&nested, "state/src/a.rs:2: function too long: 61 lines");
    assert_passes("state/src/a.rs", &function(FUNCTION_LINES).repeat(2));

    let tests = "#[cfg(test)]\nmod tests {\nfn g() { a.unwrap(); }\n".to_owned() + &file + "}\n";
    assert_passes("state/src/a.rs", &tests);
    assert_found(&(tests + "f(a.unwrap())"), "state/src/a.rs:406: no unwrap");
}

#[test]
fn panics_and_printing() {
    assert_found("fn f() {\n  a\n    .unwrap();\n}", "state/src/a.rs:3: no unwrap");
    assert_found("fn f() { println!(\"a\") }", "state/src/a.rs:1: no printing: `println!`");
    assert_found("fn f() { dbg!(a) }", "engine/src/a.rs:1: no printing: `dbg!`");
    assert_passes("state/src/a.rs", "fn f() { eprintln!(\"a\"); a.unwrap_or(1).expect(\"b\") }");
    assert_passes("state/tests/a.rs", "fn f() { a.unwrap(); println!() }");
    assert_passes("state/src/a/tests.rs", "fn f() { a.unwrap(); println!() }");
    assert_passes("benches/a.rs", "fn f() { a.unwrap(); println!() }");
    assert_passes("examples/a.rs", "fn f() { a.unwrap(); println!() }");
}

#[test]
fn clocks() {
    assert_found("fn f() { Instant::now() }", "engine/src/a.rs:1: no clock and no sleep");
    assert_found("use std::time::SystemTime;\nlet f = SystemTime::now;", "state/src/a.rs:2: no clock");
    assert_found("tokio::time::sleep(d)", "engine/src/a.rs:1: no clock and no sleep");
    assert_found("std::thread::sleep(d)", "examples/a.rs:1: no clock and no sleep");
    assert_passes("engine/src/clock.rs", "fn f() -> Instant { Instant::now() }");
    assert_passes("benches/a.rs", "fn f() -> Instant { Instant::now() }");
    assert_passes("engine/tests/a.rs", "fn f() { thread::sleep(d) }");
}

#[test]
fn stale_exemptions() {
    let files = [("a.rs", "fn f() { Instant::now() }"), ("b.rs", "// Instant::now")];
    let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
    assert_eq!(stale(&["a.rs", "b.rs", "gone.rs"], CLOCKS, &files), ["b.rs", "gone.rs"]);
}

#[test]
fn unsafe_code() {
    assert_found("#[cfg(test)] fn f() { unsafe { g() } }", "engine/src/a.rs:1: no unsafe");
    assert_found("unsafe extern \"C\" {}", "benches/a.rs:1: no unsafe");
    assert_passes("state/src/a.rs", "#![deny(unsafe_code)]");
}

#[test]
fn unfinished_work() {
    assert_found("#[ignore = \"slow\"]", "state/tests/a.rs:1: nothing unfinished: `#[ignore`");
    assert_found("fn f() { todo!() }", "examples/a.rs:1: nothing unfinished: `todo!`");
    assert_found("fn f() { unimplemented!() }", "state/src/a.rs:1: nothing unfinished");
    assert_found(concat!("/* a\n FIX", "ME */"), "state/src/a.rs:2: nothing unfinished: ");
}

#[test]
fn crate_direction() {
    assert_found("use arrow_array::Array;", "state/src/a.rs:1: crate direction: state/ names `arrow_`");
    assert_found("use headwater::Job;", "state/src/a.rs:1: crate direction: state/src/ names");
    assert_found("headwater_operators::Time", "state/src/a.rs:1: crate direction: state/ names");
    assert_found("tokio::spawn(a)", "operators/src/a.rs:1: crate direction: operators/ names `tokio`");
    assert_found("use headwater as h;", "operators/tests/a.rs:1: crate direction: operators/ names");
    assert_found("use ::rocksdb::DB;", "engine/src/a.rs:1: crate direction: engine/ names `rocksdb`");
    assert_found("use rocksdb::DB;", "examples/a.rs:1: crate direction: examples/ names `rocksdb`");
    assert_passes("state/src/a.rs", "use rocksdb::DB; use headwater_state::Key; let tokio_like = 1;");
    assert_passes("state/derive/src/a.rs", "quote!(::headwater::Key)");
    assert_passes("operators/src/a.rs", "use arrow_array::Array; use headwater_state::Key;");
}

#[test]
fn discarded_results() {
    assert_found("fn f() {\n let _ =\n a\n.try_send(b);}", "engine/src/a.rs:2: result thrown away");
    assert_found("_ = file.write_all(b\"\");", "examples/a.rs:1: result thrown away");
    assert_found("let _ = self.log.commit(epoch).ok();", "state/src/a.rs:1: result thrown away");
    assert_passes("engine/src/a.rs", "let _ = b.sender(); let _guard = g.flush();");
    assert_passes("engine/src/a.rs", "match c { _ => d.send(e)?, }");
    assert_passes("engine/tests/a.rs", "let _ = b.send(c);");
    assert_found("let _ = a.each(|b| { c; }).flush();", "engine/src/a.rs:1: result thrown away");
}

#[test]
fn comments_and_literals_are_not_code() {
    let comments = "//! `a.unwrap()`, rocksdb, tokio\n/* /* unsafe */ todo!() */ fn f() {}";
    assert_passes("state/src/a.rs", comments);
    let literals = r##"fn f<'a>(c: &'a str) { g('"', '\'', '\u{7b}', '{', "dbg!(\"1\")", r#"dbg!("")"#) }"##;
    assert_passes("state/src/a.rs", literals);
    let after = "fn f(r#type: &'static str) { \"\\\\\"; a.unwrap() }";
    assert_found(after, "state/src/a.rs:1: no unwrap");
}
