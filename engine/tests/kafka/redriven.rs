//! Dead letters that come back over Kafka while instances take turns, end, and start over.

use headwater::RunOptions;
use headwater::prelude::*;

use super::letters::{Shop, written};
use super::running::{options, wait_until};

#[test]
fn a_job_that_ends_reads_the_queue_to_its_end_first() {
    let shop = Shop::open();
    shop.broker.console_producer(&shop.input, b"a\t1\nb\t\"five\"\nc\t3\n");
    let run = |mended| {
        let job = shop.job(mended);
        job.bind_input("numbers", Input::Kafka(shop.broker.kafka().topic(&shop.input).until_end()));
        let options = RunOptions { leave: true, ..options(shop.directory.path()) };
        job.run(&options, &Control::default()).unwrap();
    };
    run(false);
    assert!(shop.call(&["redrive", "--all"]));
    run(true);
    run(true);
    assert_eq!(shop.values(&shop.topic("out"), 3), ["1", "3", "5"]);
    // It is another letter if it comes to be one again.
    assert!(!shop.call(&["redrive", &shop.letters(1)[0].id]), "it was redriven before");
}

#[test]
fn the_instance_that_takes_over_knows_what_has_come_back() {
    let shop = Shop::open();
    shop.broker.console_producer(&shop.input, b"a\t\"five\"\nb\t\"seven\"\n");
    shop.run(false, |control| assert!(wait_until(|| written(control, "dead") == 2)));
    let (first, second) = (shop.letters(2).remove(0).id, shop.letters(2).remove(1).id);
    let other = tempfile::tempdir().unwrap();
    let standby = Control::default();
    std::thread::scope(|scope| {
        let mut standing_by = None;
        shop.run(true, |control| {
            assert!(shop.call(&["redrive", &first]));
            let handle = standby.clone();
            let options = RunOptions { leave: true, ..options(other.path()) };
            let shop = &shop;
            standing_by = Some(scope.spawn(move || shop.job(true).run(&options, &handle)));
            assert!(wait_until(|| written(control, "out") == 1));
            // What comes while one gives way to the other is for whoever is there.
            assert!(shop.call(&["redrive", &second]));
        });
        assert!(wait_until(|| written(&standby, "out") == 2));
        let queue = format!("{}.redrive", shop.name);
        let entries = shop.values(&queue, 2);
        let twice: String = entries.iter().map(|entry| format!("x\t{entry}\n")).collect();
        shop.broker.console_producer(&queue, twice.as_bytes());
        let audit = shop.values(&queue, 6);
        assert!(audit[4..].iter().all(|line| line.contains("refused-twice")), "{audit:?}");
        standby.stop();
        standing_by.unwrap().join().unwrap().unwrap();
    });
    assert_eq!(shop.values(&shop.topic("out"), 2), ["5", "6"]);
}

#[test]
fn a_job_that_starts_over_takes_nothing_back_from_before() {
    let shop = Shop::open();
    shop.broker.console_producer(&shop.input, b"a\t1\nb\t\"five\"\n");
    shop.run(false, |control| assert!(wait_until(|| written(control, "dead") == 1)));
    assert!(shop.call(&["redrive", "--all"]));
    shop.run(true, |control| assert!(wait_until(|| written(control, "out") == 2)));
    // Not mended any more, and over again: the same letter, which may come back once more.
    shop.run_with(false, true, |control| {
        assert!(wait_until(|| written(control, "dead") == 1));
        assert_eq!(control.progress.committed().dead_letters, 1);
    });
    let letters = shop.letters(2);
    assert_eq!((letters.len(), &letters[0].id), (2, &letters[1].id));
    assert!(letters[0].incarnation != letters[1].incarnation);
    assert!(shop.call(&["redrive", &letters[1].id]));
    shop.run(true, |control| assert!(wait_until(|| written(control, "out") == 2)));
    assert_eq!(shop.values(&shop.topic("out"), 4), ["1", "5", "1", "5"]);
}

#[test]
fn a_letter_from_before_a_job_started_over_is_not_read_twice() {
    let shop = Shop::open();
    shop.broker.console_producer(&shop.input, b"a\t1\nb\t\"five\"\n");
    shop.run(false, |control| assert!(wait_until(|| written(control, "dead") == 1)));
    shop.run_with(true, true, |control| {
        assert!(wait_until(|| written(control, "out") == 2));
        assert!(shop.call(&["redrive", "--all"]));
        let audit = shop.values(&format!("{}.redrive", shop.name), 2);
        assert!(audit[1].contains("\"refused\"") && audit[1].contains("started over"), "{audit:?}");
        assert_eq!(control.progress.committed().dead_letters, 0);
    });
    assert_eq!(shop.values(&shop.topic("out"), 3), ["1", "1", "5"]);
}

#[test]
fn the_age_is_that_of_the_oldest_letter_that_is_left() {
    let shop = Shop::open();
    shop.broker.console_producer(&shop.input, b"a\t\"five\"\n");
    shop.run(false, |control| {
        let since = || control.progress.committed().dead_letters_since;
        assert!(wait_until(|| written(control, "dead") == 1));
        let first = since().unwrap();
        shop.broker.console_producer(&shop.input, b"b\t\"seven\"\n");
        assert!(wait_until(|| written(control, "dead") == 2));
        assert_eq!(since(), Some(first));
        let letters = shop.letters(2);
        assert!(shop.call(&["drop", &letters[0].id]));
        assert!(wait_until(|| control.progress.committed().dead_letters == 1));
        assert!(since().unwrap() >= letters[1].written().unwrap(), "{:?} of {letters:?}", since());
        assert!(shop.call(&["drop", &letters[1].id]));
        assert!(wait_until(|| since().is_none()));
    });
}
