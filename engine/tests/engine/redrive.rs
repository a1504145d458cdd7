//! Dead letters looked at, dropped and put back with the command line, of a job whose state is on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use headwater::prelude::*;
use headwater::{LetterKind, state::CRASH_POINTS};

use crate::numbers;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        fs::write(place.path("in.jsonl"), "1\n2\nthree\n4\n\"five\"\n").unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn letters(&self) -> Vec<DeadLetter> {
        self.lines("dead.jsonl").iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The command line of the job, mended or not, in this process. Whether it went well.
    fn call(&self, mended: bool, words: &[&str]) -> bool {
        let code = job(mended).main_from(args(self.directory.path(), words));
        format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
    }

    /// The same in a process of its own: whether it went well, and what it said.
    fn ask(&self, mended: bool, words: &[&str]) -> (bool, String) {
        let output = self.process(mended, words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    fn process(&self, mended: bool, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["redrive::a_process_of_its_own_does_what_it_is_told", "--exact", "--nocapture"]);
        command.env("LETTERS_WORDS", words.join("\u{1f}")).env("LETTERS_IN", self.directory.path());
        command.env("LETTERS_MENDED", mended.to_string());
        command
    }
}

fn job(mended: bool) -> Job {
    numbers::job("numbers", mended)
}

fn args(directory: &Path, words: &[&str]) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut args: Vec<String> = ["numbers"].iter().chain(words).map(|word| (*word).to_owned()).collect();
    if words[0] == "run" {
        args.extend(["--input".to_owned(), file("in.jsonl"), "-q".to_owned(), "--workers".to_owned(), "2".to_owned()]);
    }
    args.extend(["--output".to_owned(), format!("out={}", file("out.jsonl"))]);
    args.extend(["--output".to_owned(), format!("dead={}", file("dead.jsonl"))]);
    args.extend(["--state".to_owned(), file("state")]);
    args
}

#[test]
fn a_process_of_its_own_does_what_it_is_told() {
    let Ok(words) = std::env::var("LETTERS_WORDS") else { return };
    let words: Vec<&str> = words.split('\u{1f}').collect();
    let directory = PathBuf::from(std::env::var("LETTERS_IN").unwrap());
    let mended = std::env::var("LETTERS_MENDED").unwrap() == "true";
    let code = job(mended).main_from(args(&directory, &words));
    let is_good = format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS);
    std::process::exit(i32::from(!is_good));
}

#[test]
fn a_bad_record_comes_back_once_after_the_job_was_mended() {
    let place = Place::new();
    assert!(place.call(false, &["run"]));
    assert_eq!(place.lines("out.jsonl"), ["1", "2", "4"]);
    let letters = place.letters();
    let (three, five) = (letters[0].id.as_str(), letters[1].id.as_str());

    let (good, said) = place.ask(true, &["dead-letters", "list"]);
    assert!(good && said.contains(three) && said.contains(five) && said.contains("bad-record"), "{said}");
    let (good, said) = place.ask(true, &["dead-letters", "list", "--error", "ident", "--kind", "bad-record"]);
    assert!(good && said.contains(three) && !said.contains(five), "{said}");
    let (good, said) = place.ask(true, &["dead-letters", "show", five]);
    assert!(good && said.contains("payload        \"five\"") && said.contains("in.jsonl line 5"), "{said}");

    assert!(place.call(true, &["dead-letters", "redrive", five, "--dry-run"]));
    assert!(!place.path("state/redrive.jsonl").exists());
    assert!(!place.call(true, &["dead-letters", "redrive"]), "which ones was not said");
    let (good, said) = place.ask(true, &["dead-letters", "redrive", five, "--reason", "mended", "--rate", "100/s"]);
    assert!(good && said.contains(&format!("{five}: redriven")), "{said}");
    let (good, said) = place.ask(true, &["dead-letters", "redrive", five]);
    assert!(!good && said.contains(&format!("{five}: refused: it was redriven before")), "{said}");
    assert!(place.call(true, &["dead-letters", "drop", three, "--reason", "nonsense"]));
    assert_eq!(place.lines("dead.jsonl.audit.jsonl").len(), 2);

    for _ in 0..2 {
        assert!(place.call(true, &["run"]));
        assert_eq!(place.lines("out.jsonl"), ["1", "2", "4", "5"]);
    }
    let (good, said) = place.ask(true, &["dead-letters", "list"]);
    assert!(good && !said.contains(three) && !said.contains(five), "{said}");
    let audit = place.lines("dead.jsonl.audit.jsonl");
    assert!(audit[0].contains("\"what\":\"redriven\"") && audit[0].contains("\"reason\":\"mended\""), "{}", audit[0]);
    assert!(audit[1].contains("\"what\":\"dropped\"") && audit[1].contains("\"reason\":\"nonsense\""), "{}", audit[1]);
}

#[test]
fn what_is_in_the_queue_twice_comes_back_once_and_the_audit_says_so() {
    let place = Place::new();
    assert!(place.call(false, &["run"]));
    let five = place.letters()[1].id.clone();
    assert!(place.call(true, &["dead-letters", "redrive", &five]));
    let queue = fs::read_to_string(place.path("state/redrive.jsonl")).unwrap();
    // The last is what a command line has left that was killed.
    fs::write(place.path("state/redrive.jsonl"), queue.repeat(2) + &queue[..40]).unwrap();
    for _ in 0..2 {
        assert!(place.call(true, &["run"]));
        assert_eq!(place.lines("out.jsonl"), ["1", "2", "4", "5"]);
    }
    let audit = place.lines("dead.jsonl.audit.jsonl");
    assert_eq!(audit.len(), 2, "{audit:?}");
    assert!(audit[1].contains("refused-twice") && audit[1].contains("it was redriven before"), "{}", audit[1]);
    let three = place.letters()[0].id.clone();
    assert!(!place.call(true, &["dead-letters", "redrive", &three]), "a line of the queue cannot be read");
    assert!(place.call(true, &["run"]));
    assert_eq!(place.letters().len(), 3, "and what came after it was");
}

#[test]
fn what_fails_again_is_a_letter_with_one_more_attempt() {
    let place = Place::new();
    assert!(place.call(false, &["run"]));
    assert!(place.call(false, &["dead-letters", "redrive", "--all"]));
    assert!(place.call(false, &["run"]));
    let letters = place.letters();
    assert_eq!(letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>(), [1, 1, 2, 2]);
    assert!(letters[2..].iter().all(|letter| letter.id.ends_with("~1") && letter.kind == LetterKind::BadRecord));
    let again = letters[2..].iter().find(|letter| letter.payload.as_deref() == Some("\"five\"")).unwrap();
    assert!(place.call(true, &["dead-letters", "redrive", &again.id]));
    assert!(place.call(true, &["run"]));
    assert_eq!(place.lines("out.jsonl"), ["1", "2", "4", "5"]);
}

#[test]
fn a_job_that_is_killed_wherever_it_commits_takes_a_letter_back_once() {
    let place = Place::new();
    assert!(place.call(false, &["run"]));
    let five = place.letters()[1].id.clone();
    assert!(place.call(true, &["dead-letters", "redrive", &five]));
    for point in CRASH_POINTS {
        for nth in [1, 2] {
            let mut run = place.process(true, &["run"]);
            run.env("HEADWATER_CRASH", format!("{point}:{nth}")).output().unwrap();
        }
    }
    assert!(place.call(true, &["run"]));
    assert_eq!(place.lines("out.jsonl"), ["1", "2", "4", "5"]);
}

#[test]
fn a_line_that_is_no_letter_is_named_and_the_others_are_handled() {
    let place = Place::new();
    assert!(place.call(false, &["run"]));
    let text = fs::read_to_string(place.path("dead.jsonl")).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    fs::write(place.path("dead.jsonl"), format!("{first}\nnonsense\n{second}{{\"half")).unwrap();
    let (good, said) = place.ask(false, &["dead-letters", "list", "--json"]);
    assert!(!good && said.contains("1 lines could not be read") && said.contains("dead.jsonl line 2"), "{said}");
    assert_eq!(said.matches("\"kind\":\"bad-record\"").count(), 2, "{said}");
}

#[test]
fn what_can_never_come_back_is_refused_with_the_reason() {
    let place = Place::new();
    assert!(place.call(false, &["run"]));
    let of = |id: &str, kind: LetterKind, operator: &str| {
        let bad = place.letters()[0].clone();
        serde_json::to_string(&DeadLetter { id: id.into(), kind, operator: operator.into(), ..bad }).unwrap() + "\n"
    };
    let letters = [
        of("late", LetterKind::LateRecord, "window"),
        of("large", LetterKind::TooLarge, "out"),
        of("gone", LetterKind::BadRecord, "orders"),
    ];
    fs::write(place.path("dead.jsonl"), letters.concat()).unwrap();
    let (good, said) = place.ask(false, &["dead-letters", "redrive", "--all"]);
    assert!(!good && said.contains("late: refused: its window is closed"), "{said}");
    assert!(
        said.contains("large: refused: it is too large") && said.contains("gone: refused: the job has no"),
        "{said}"
    );
    assert!(said.contains("3 dead letters were refused, 0 were not"), "{said}");
    assert!(!place.path("state/redrive.jsonl").exists());
}
