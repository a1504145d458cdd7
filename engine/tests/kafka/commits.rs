//! Outputs, state and offsets in one transaction: a job that counts, over and over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use headwater::kafka::KafkaTopic;
use headwater::prelude::*;
use headwater::sink::{Chunk, Outgoing, Sink, SinkCommitter, SinkWriter, Transaction};

use super::broker::{AT_MOST, Broker};
use super::running::wait_until;

/// The key, the number that it is of, and how many the key has had with it.
pub type Counted = (u64, u64, u64);

/// Writes each record into the transaction of the run.
struct Into_ {
    topic: String,
}

struct Rows;

struct Committer {
    topic: String,
    transaction: Transaction,
}

impl SinkWriter<Counted> for Rows {
    fn write(&mut self, records: Vec<Counted>, chunk: &mut Chunk) -> Result<()> {
        for record in records {
            serde_json::to_writer(&mut chunk.bytes, &record).unwrap();
            chunk.bytes.push(b'\n');
            chunk.records += 1;
        }
        Ok(())
    }
}

impl Sink<Counted> for Into_ {
    fn describe(&self) -> String {
        self.topic.clone()
    }

    fn writer(&self) -> Box<dyn SinkWriter<Counted>> {
        Box::new(Rows)
    }

    fn open(&self, _: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        Err(Error::bug("there is no transaction"))
    }

    fn open_in(&self, _: Option<&str>, transaction: Option<&Transaction>) -> Result<Box<dyn SinkCommitter>> {
        let transaction = Arc::clone(transaction.expect("a run over Kafka has a transaction"));
        Ok(Box::new(Committer { topic: self.topic.clone(), transaction }))
    }
}

impl SinkCommitter for Committer {
    fn append(&mut self, chunk: Chunk) -> Result<()> {
        for line in chunk.bytes.trim_ascii_end().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (key, value) = (None, Some(line));
            self.transaction.send(&Outgoing { topic: &self.topic, key, value, headers: &[], timestamp: None })?;
        }
        Ok(())
    }

    fn prepare(&mut self) -> Result<String> {
        Ok(String::new())
    }

    fn committed(&mut self) -> Result<()> {
        Ok(())
    }
}

const KEYS: u64 = 97;

/// Counts the numbers of `input` by their remainder, and writes every count.
fn counting(name: &str, input: Input, output: &str) -> Job {
    let job = Job::new(name);
    job.source(Topic::json::<u64>("numbers"))
        .event_time(|number| Timestamp::from_seconds(*number as i64), Lateness::NONE)
        .key_by(|number| number % KEYS)
        .process(
            "count",
            |turn: &mut Turn<'_, u64, u64, Counted>, number| {
                let count = turn.state().copied().unwrap_or_default() + 1;
                *turn.state_mut() = Some(count);
                let key = *turn.key();
                turn.emit((key, *number, count));
                Ok(())
            },
            |_, _, _| Ok(()),
        )
        .sink(Topic::json("counts"));
    job.bind_input("numbers", input);
    job.bind_output("counts", Output::of(Into_ { topic: output.to_owned() }));
    job
}

/// A job between two topics of its own.
pub struct Counting {
    pub name: String,
    pub kafka: Kafka,
    pub input: KafkaTopic,
    pub output: String,
    pub directory: tempfile::TempDir,
}

impl Counting {
    pub fn over(broker: &Broker, name: &str, partitions: i32) -> Self {
        let (input, output) =
            (broker.topic(&format!("{name}-in"), partitions), broker.topic(&format!("{name}-out"), 2));
        let kafka = broker.kafka();
        let input = kafka.topic(input);
        let name = format!("{name}-{}", std::process::id());
        Self { name, kafka, input, output, directory: tempfile::tempdir().unwrap() }
    }

    pub fn state(&self, instance: &str) -> PathBuf {
        self.directory.path().join(instance)
    }

    pub fn options(&self, state: &Path) -> RunOptions {
        RunOptions {
            state: Some(state.to_owned()),
            workers: 2,
            commit_interval: Duration::from_millis(50),
            memory_bytes: 64 << 20,
            shards: 8,
            transactions: Some(self.kafka.clone()),
            ..RunOptions::default()
        }
    }

    /// Runs an instance beside the test.
    pub fn start(&self, instance: &str, input: KafkaTopic) -> Instance {
        let (name, output) = (self.name.clone(), self.output.clone());
        let options = self.options(&self.state(instance));
        let control = Control::default();
        let handle = control.clone();
        let run = move || counting(&name, Input::Kafka(input), &output).run(&options, &handle);
        Instance { control, thread: std::thread::spawn(run) }
    }

    pub fn run_until_end(&self, instance: &str) -> Result<Summary> {
        self.start(instance, self.input.clone().until_end()).join()
    }

    /// All that is committed in the output.
    pub fn counted(&self) -> Vec<Counted> {
        let reader = Job::new("reader");
        let counts = Captured::<Counted>::new();
        reader.source(Topic::json::<Counted>("counts")).sink(Topic::json("counts-read"));
        reader.bind_input("counts", Input::Kafka(self.kafka.topic(&self.output).until_end()));
        reader.bind_output("counts-read", Output::of(counts.clone()));
        reader.run(&RunOptions { workers: 1, ..RunOptions::default() }, &Control::default()).unwrap();
        counts.take()
    }

    /// That every number up to `numbers` was counted once, and every count is right.
    #[track_caller]
    pub fn assert_exact(&self, numbers: u64) {
        let counted = self.counted();
        let mut seen: Vec<u64> = counted.iter().map(|(_, number, _)| *number).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..numbers).collect::<Vec<_>>(), "every number once");
        let mut counts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (key, number, count) in counted {
            assert_eq!(key, number % KEYS);
            counts.entry(key).or_default().push(count);
        }
        for (key, mut of) in counts {
            of.sort_unstable();
            assert_eq!(of, (1..=of.len() as u64).collect::<Vec<_>>(), "counts of {key}");
        }
    }
}

pub struct Instance {
    pub control: Control,
    thread: JoinHandle<Result<Summary>>,
}

impl Instance {
    #[track_caller]
    pub fn wait_for(self, numbers: u64) -> Self {
        let committed = || self.control.progress.committed().records_in;
        let done = wait_until(|| committed() >= numbers || self.thread.is_finished());
        if committed() < numbers && self.thread.is_finished() {
            let ended = self.join();
            panic!("{} of {numbers}", ended.map_or_else(|error| error.to_string(), |summary| format!("{summary:?}")));
        }
        assert!(done, "{} of {numbers}", committed());
        self
    }

    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn stop(self) -> Result<Summary> {
        self.control.stop();
        self.thread.join().unwrap()
    }

    pub fn join(self) -> Result<Summary> {
        assert!(wait_until(|| self.thread.is_finished()), "the job goes on");
        self.thread.join().unwrap()
    }
}

#[test]
fn a_job_that_starts_over_and_over_counts_once() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "over-and-over", 3);
    for part in 0..3u64 {
        for number in 0..3u64 {
            let from = part * 3000 + number * 1000;
            broker.write(counting.input_name(), number as i32, from..from + 1000);
        }
        let began = now();
        let instance = counting.start("a", counting.input.clone());
        let instance = instance.wait_for(part * 3000 + 1);
        eprintln!("first after {:?}", began.elapsed());
        instance.wait_for((part + 1) * 3000).stop().unwrap();
        eprintln!("stopped after {:?}", began.elapsed());
    }
    counting.assert_exact(9000);
}

#[test]
fn an_empty_directory_is_filled_from_the_changelog() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "elsewhere", 1);
    broker.write(counting.input_name(), 0, 0..5000);
    let first = counting.start("a", counting.input.clone());
    first.wait_for(5000).stop().unwrap();
    broker.write(counting.input_name(), 0, 5000..6000);
    let began = now();
    let second = counting.start("b", counting.input.clone());
    second.wait_for(6000).stop().unwrap();
    assert!(began.elapsed() < AT_MOST);
    counting.assert_exact(6000);
}

#[expect(clippy::disallowed_methods, reason = "a test measures")]
fn now() -> Instant {
    Instant::now()
}

impl Counting {
    fn input_name(&self) -> &str {
        self.input.name()
    }
}
