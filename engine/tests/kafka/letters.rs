//! Dead letters in Kafka: looked at while the job runs, and put back by the topic `J.redrive`.

use headwater::prelude::*;
use headwater::{LetterKind, RunOptions};

use super::broker::Broker;
use super::numbers;
use super::running::{options, wait_until};

pub struct Shop {
    pub broker: &'static Broker,
    pub name: String,
    pub input: String,
    pub directory: tempfile::TempDir,
}

impl Shop {
    pub fn open() -> Self {
        let broker = Broker::shared();
        let input = broker.topic("numbers", 1);
        Self { broker, name: format!("{input}-job"), input, directory: tempfile::tempdir().unwrap() }
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.input)
    }

    pub fn job(&self, mended: bool) -> Job {
        let job = numbers::job(&self.name, mended);
        job.bind_input("numbers", Input::Kafka(self.broker.kafka().topic(&self.input)));
        for name in ["out", "dead"] {
            job.bind_output(name, Output::Kafka(self.broker.kafka().output(self.topic(name)).partitions(1)));
        }
        job
    }

    /// Runs the job in a thread while `meanwhile` goes on.
    pub fn run(&self, mended: bool, meanwhile: impl FnOnce(&Control)) {
        self.run_with(mended, false, meanwhile);
    }

    pub fn run_with(&self, mended: bool, fresh: bool, meanwhile: impl FnOnce(&Control)) {
        let control = Control::default();
        std::thread::scope(|scope| {
            let handle = control.clone();
            let options = RunOptions { leave: true, fresh, ..options(self.directory.path()) };
            let running = scope.spawn(move || self.job(mended).run(&options, &handle));
            meanwhile(&control);
            control.stop();
            running.join().unwrap().unwrap();
        });
    }

    /// What the command line of the mended job says. Whether it went well.
    pub fn call(&self, words: &[&str]) -> bool {
        let code = self.job(true).main_from([&[self.name.as_str(), "dead-letters"], words].concat());
        format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS)
    }

    pub fn values(&self, topic: &str, at_least: usize) -> Vec<String> {
        let read = self.broker.read(topic, at_least);
        read.into_iter().map(|record| String::from_utf8(record.value.unwrap()).unwrap()).collect()
    }

    pub fn letters(&self, at_least: usize) -> Vec<DeadLetter> {
        let values = self.values(&self.topic("dead"), at_least);
        values.iter().map(|value| serde_json::from_str(value).unwrap()).collect()
    }
}

pub fn written(control: &Control, topic: &str) -> u64 {
    let committed = control.progress.committed();
    committed.records_out.iter().find(|(name, _)| name == topic).map_or(0, |(_, number)| *number)
}

#[test]
fn a_dead_letter_comes_back_once_through_the_job_s_topic_while_the_job_runs() {
    let shop = Shop::open();
    shop.broker.console_producer(&shop.input, b"a\t1\nb\t\"five\"\nc\t3\n");
    shop.run(false, |control| {
        assert!(wait_until(|| written(control, "dead") == 1));
        let letter = shop.letters(1).remove(0);
        assert_eq!((letter.kind, letter.key.as_deref()), (LetterKind::BadRecord, Some("b")));
        let origin = letter.origin.clone().unwrap();
        assert_eq!((origin.topic.as_str(), origin.partition, origin.offset), (shop.input.as_str(), 0, 1));
        assert!(origin.timestamp.is_some() && letter.instance.is_some() && letter.last_attempt.is_some());
        // Not mended yet: it fails again, and is another letter.
        assert!(shop.call(&["list"]) && shop.call(&["redrive", &letter.id, "--reason", "too soon"]));
        assert!(!shop.call(&["redrive", &letter.id]), "it was redriven before");
        assert!(wait_until(|| written(control, "dead") == 2));
        let committed = control.progress.committed();
        assert!(wait_until(|| control.progress.committed().dead_letters == 1), "{committed:?}");
    });
    let again = shop.letters(2).remove(1);
    assert_eq!((again.attempts, again.id.ends_with("~1")), (2, true));
    assert!(shop.call(&["redrive", "--all"]));
    shop.run(true, |control| {
        assert!(wait_until(|| written(control, "out") == 3));
        // What somebody puts into the queue a second time is refused, and the audit says so.
        let queue = format!("{}.redrive", shop.name);
        let entry = shop.values(&queue, 2).remove(1);
        shop.broker.console_producer(&queue, format!("x\t{entry}\n").as_bytes());
        let audit = shop.values(&queue, 4);
        assert!(audit[3].contains("refused-twice") && audit[3].contains(&again.id), "{audit:?}");
        assert!(wait_until(|| control.progress.committed().dead_letters == 0));
    });
    assert_eq!(shop.values(&shop.topic("out"), 3), ["1", "3", "5"]);
    assert_eq!(shop.letters(2).len(), 2);
}

#[test]
fn the_letter_of_a_late_record_has_its_key_headers_and_place() {
    let broker = Broker::shared();
    let input = broker.topic("times", 1);
    let writer = broker.producer();
    for (number, seconds) in ["100", "200", "10"].into_iter().enumerate() {
        writer.send_whole(&input, Some(seconds), &format!("trace {number}"), 5_000);
    }
    writer.flush();
    let dead = Captured::<DeadLetter>::new();
    let job = Job::new("times");
    job.source(Topic::json::<i64>("times").received())
        .event_time(|at| Timestamp::from_seconds(at.value), Lateness::NONE)
        .key_by(|_| 0_u8)
        .window(Tumbling::of(Duration::from_secs(60)))
        .late_dead_letters(Topic::json("dead"))
        .count()
        .on_close()
        .map(|pane| pane.value)
        .sink(Topic::json("counts"));
    job.bind_input("times", Input::Kafka(broker.kafka().topic(&input).until_end()));
    job.bind_output("dead", Output::of(dead.clone()));
    job.bind_output("counts", Output::Nowhere);
    let directory = tempfile::tempdir().unwrap();
    job.run(&options(directory.path()), &Control::default()).unwrap();
    let letter = dead.take().remove(0);
    let origin = letter.origin.unwrap();
    assert_eq!((letter.kind, letter.payload.as_deref()), (LetterKind::LateRecord, Some("10")));
    assert_eq!((letter.key.as_deref(), origin.topic, origin.partition, origin.offset), (Some("a"), input, 0, 2));
    assert_eq!(origin.timestamp, Some(Timestamp::from_seconds(5)));
    let header = &letter.headers[0];
    assert_eq!((header.name.as_str(), header.value.as_deref()), ("trace", Some("trace 2")));
}
