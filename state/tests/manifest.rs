//! The manifest: what fits, what is refused and how it is said, and that the file is whole or named.

#![cfg(test)]

use std::fs;

use headwater_state::{Changes, Key, Kind, Manifest, Table, Text};

const COUNTS: Table<Text, u64> = Table::new("counts");

fn stored() -> Manifest {
    let mut manifest = Manifest::new("alerts", "8f3a61c09be2d745", 32)
        .table(COUNTS.spec())
        .table(Table::<(Text, u32), Vec<u8>>::new("open").spec());
    manifest.settings.insert("counts".into(), "tumbling 1 day".into());
    manifest
}

fn without(name: &str) -> Manifest {
    let mut manifest = stored();
    manifest.tables.retain(|table| table.name != name);
    manifest
}

fn refusal(wanted: &Manifest, drop: &[&str]) -> String {
    let drop: Vec<String> = drop.iter().map(ToString::to_string).collect();
    let error = Manifest::check(&stored(), wanted, &drop).expect_err("should be refused");
    assert_eq!(error.kind(), Kind::Config);
    error.to_string()
}

#[test]
fn the_same_job_fits_whatever_its_id() {
    let mut wanted = stored();
    wanted.job_id = "another".into();
    assert_eq!(Manifest::check(&stored(), &wanted, &[]).expect("fits"), Changes::default());
}

#[test]
fn a_string_key_may_become_text() {
    let mut wanted = stored();
    wanted.tables[0] = Table::<String, u64>::new("counts").spec();
    assert!(Manifest::check(&stored(), &wanted, &[]).is_ok());
}

#[test]
fn a_new_table_starts_empty() {
    let wanted = stored().table(Table::<u32, bool>::new("seen").spec());
    let changes = Manifest::check(&stored(), &wanted, &[]).expect("fits");
    assert_eq!(changes, Changes { added: vec!["seen".into()], dropped: vec![] });
}

#[test]
fn a_removed_table_has_to_be_named() {
    let wanted = without("open");
    let message = refusal(&wanted, &[]);
    assert!(message.contains("table open: ") && message.contains("--drop open"), "{message}");
    let changes = Manifest::check(&stored(), &wanted, &["open".into()]).expect("fits");
    assert_eq!(changes, Changes { added: vec![], dropped: vec!["open".into()] });
    let again = Manifest::check(&wanted, &wanted, &["open".into()]).expect("the next start has the same options");
    assert!(again.is_empty());
}

#[test]
fn a_setting_stays_as_long_as_its_table() {
    let mut unset = stored();
    unset.settings.clear();
    let message = refusal(&unset, &[]);
    assert!(message.contains("table counts: setting was tumbling 1 day, is now none"), "{message}");
    let message = Manifest::check(&unset, &stored(), &[]).expect_err("should be refused").to_string();
    assert!(message.contains("table counts: setting was none, is now tumbling 1 day"), "{message}");
    let mut gone = without("counts");
    gone.settings.clear();
    assert!(Manifest::check(&stored(), &gone, &["counts".into()]).is_ok());
}

#[test]
fn a_table_in_use_is_not_dropped() {
    let message = refusal(&stored(), &["counts"]);
    assert!(message.contains("table counts: named in --drop, but the job still has it"), "{message}");
}

#[test]
fn another_format_is_refused() {
    let mut wanted = stored();
    wanted.format = 2;
    let message = refusal(&wanted, &[]);
    assert!(message.contains("format 1, this version reads 2"), "{message}");
}

#[test]
fn two_tables_of_one_name_are_refused() {
    let message = refusal(&stored().table(COUNTS.spec()), &[]);
    assert!(message.contains("table counts: the job has two"), "{message}");
}

#[test]
fn every_difference_is_in_the_one_error() {
    #[derive(Clone, PartialEq, Eq, Key)]
    struct Card {
        user: Text,
        number: u64,
    }
    let mut wanted = Manifest::new("fraud", "", 64)
        .table(Table::<Card, (u64, bool)>::new("counts").spec())
        .table(Table::<u32, bool>::new("seen").spec());
    wanted.membership = "partitioned".into();
    wanted.settings.insert("counts".into(), "tumbling 1 hour".into());
    let message = refusal(&wanted, &["seen"]);
    let expected = "\
stored state does not fit job fraud:
  - job: was alerts, is now fraud: use another state directory, or start over with --fresh
  - shards: was 32, is now 64: it is fixed when the state is created; set it back, or start over with --fresh
  - membership: was exchange, is now partitioned: it is fixed when the state is created; set it back, or start over \
with --fresh
  - table counts: key was text, is now (user:text,number:u64): run the version that wrote it, give the table a new \
name, or start over with --fresh
  - table counts: value was u64, is now (u64,bool): run the version that wrote it, give the table a new name, or \
start over with --fresh
  - table counts: setting was tumbling 1 day, is now tumbling 1 hour: set it back, give the table a new name, or start \
over with --fresh
  - table seen: named in --drop, but the job still has it: leave out --drop seen
  - table open: is stored, but the job no longer has it: give it back, or drop its rows with --drop open";
    assert_eq!(message, expected);
}

#[test]
fn the_file_returns_and_is_replaced() {
    let dir = tempfile::tempdir().expect("a directory");
    assert_eq!(Manifest::load(dir.path()).expect("reads"), None);
    stored().save(dir.path()).expect("writes");
    assert_eq!(Manifest::load(dir.path()).expect("reads"), Some(stored()));
    without("open").save(dir.path()).expect("writes");
    assert_eq!(Manifest::load(dir.path()).expect("reads"), Some(without("open")));
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing is left beside it");
}

#[test]
fn what_a_crash_leaves_unfinished_is_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("manifest.json.next"), "{").expect("writes");
    assert_eq!(Manifest::load(dir.path()).expect("reads"), None);
    stored().save(dir.path()).expect("writes");
    assert_eq!(Manifest::load(dir.path()).expect("reads"), Some(stored()));
}

#[test]
fn people_can_read_it() {
    let text = String::from_utf8(stored().to_bytes().expect("writes")).expect("is text");
    assert!(text.contains("\"job\": \"alerts\",\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
    assert_eq!(json["manifest"]["tables"][0]["value"], "u64");
}

#[test]
fn every_damaged_byte_is_noticed_and_the_file_named() {
    let dir = tempfile::tempdir().expect("a directory");
    stored().save(dir.path()).expect("writes");
    let file = dir.path().join(Manifest::FILE);
    let whole = fs::read(&file).expect("reads");
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x04;
        if let Ok(manifest) = Manifest::from_bytes(&damaged) {
            assert_eq!(manifest, stored(), "byte {at}");
        }
        assert!(Manifest::from_bytes(&whole[..at]).is_err() || at == whole.len() - 1);
    }
    fs::write(&file, &whole[..whole.len() / 2]).expect("writes");
    let error = Manifest::load(dir.path()).expect_err("is cut off");
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().starts_with(&format!("{}: manifest is not readable: ", file.display())), "{error}");
}

#[test]
fn a_newer_layout_is_no_corruption() {
    let text = r#"{"format": 2, "unheard": "of"}"#;
    let checksum = crc32fast::hash(text.as_bytes());
    let file = format!(r#"{{"checksum": "{checksum:08x}", "manifest": {text}}}"#);
    let error = Manifest::from_bytes(file.as_bytes()).expect_err("should be refused");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("format 2, this version reads 1"), "{error}");
}

#[test]
fn a_directory_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = stored().save(&dir.path().join("nowhere")).expect_err("cannot be written");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("nowhere"), "{error}");
}
