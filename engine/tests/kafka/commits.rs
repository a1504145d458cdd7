//! Outputs, state and offsets in one transaction: a job that counts, over and over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
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
pub struct Into_ {
    pub topic: String,
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
pub fn counting(name: &str, input: Input, output: &str) -> Job {
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

    /// One that has counted 1000 numbers, and has 100 more to read.
    pub fn begun(broker: &Broker, name: &str) -> Self {
        Self::begun_by(broker, name, |counting| drop(counting.run("a", 1000)))
    }

    /// The same, by a static member.
    pub fn begun_as_static(broker: &Broker, name: &str) -> Self {
        Self::begun_by(broker, name, |counting| {
            counting.start("a", counting.input.clone()).wait_for(1000).stop().unwrap();
        })
    }

    fn begun_by(broker: &Broker, name: &str, run: impl FnOnce(&Self)) -> Self {
        let counting = Self::over(broker, name, 1);
        broker.write(counting.input_name(), 0, 0..1000);
        run(&counting);
        broker.write(counting.input_name(), 0, 1000..1100);
        counting
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
        Instance::of(self.options(&self.state(instance)), move || counting(&name, Input::Kafka(input), &output))
    }

    /// The same, with other options.
    pub fn start_with(&self, instance: &str, change: impl FnOnce(&mut RunOptions)) -> Instance {
        let (name, output, input) = (self.name.clone(), self.output.clone(), self.input.clone());
        let mut options = self.options(&self.state(instance));
        change(&mut options);
        Instance::of(options, move || counting(&name, Input::Kafka(input), &output))
    }

    /// Two instances that leave the group when they stop: `a`, which has read so many numbers, and `b`, which stands by.
    #[track_caller]
    pub fn with_standby(&self, numbers: u64) -> (Instance, Instance) {
        let leave = |options: &mut RunOptions| options.leave = true;
        let first = self.start_with("a", leave).wait_for(numbers);
        let second = self.start_with("b", leave);
        second.said.wait_for("standing by: another instance");
        (first, second)
    }

    /// Runs an instance that leaves the group, until it has read so many numbers over all runs.
    #[track_caller]
    pub fn run(&self, instance: &str, numbers: u64) -> String {
        let instance = self.start_with(instance, |options| options.leave = true).wait_for(numbers);
        let said = instance.said.clone();
        instance.stop().unwrap();
        said.text()
    }

    /// Runs an instance that cannot go on, and says why.
    #[track_caller]
    pub fn refused(&self, instance: &str) -> Error {
        self.start_with(instance, |options| options.leave = true).join().unwrap_err()
    }

    /// Starts over, and counts everything once more.
    #[track_caller]
    pub fn start_over(&self, instance: &str, numbers: u64) {
        let fresh = |options: &mut RunOptions| (options.fresh, options.leave) = (true, true);
        self.start_with(instance, fresh).wait_for(numbers).stop().unwrap();
    }

    pub fn state_topic(&self) -> String {
        format!("{}.state", self.name)
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
        self.assert_times(numbers, 1);
    }

    /// The same after so many beginnings.
    #[track_caller]
    pub fn assert_times(&self, numbers: u64, times: u64) {
        assert_counted(self.counted(), numbers, times);
    }
}

/// That every number up to `numbers` is among these so often, and every count is right.
#[track_caller]
pub fn assert_counted(counted: Vec<Counted>, numbers: u64, times: u64) {
    let mut seen: Vec<u64> = counted.iter().map(|(_, number, _)| *number).collect();
    seen.sort_unstable();
    let wanted: Vec<u64> = (0..numbers).flat_map(|number| (0..times).map(move |_| number)).collect();
    assert!(seen == wanted, "every number {times} times: {}", difference(&seen, &wanted));
    let mut counts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (key, number, count) in counted {
        assert_eq!(key, number % KEYS);
        counts.entry(key).or_default().push(count);
    }
    for (key, mut of) in counts {
        of.sort_unstable();
        let each = of.len() as u64 / times;
        let wanted: Vec<u64> = (1..=each).flat_map(|count| (0..times).map(move |_| count)).collect();
        assert_eq!(of, wanted, "counts of {key}");
    }
}

/// What sorted numbers have too few and too many of.
fn difference(seen: &[u64], wanted: &[u64]) -> String {
    let mut times: BTreeMap<u64, i64> = BTreeMap::new();
    seen.iter().for_each(|number| *times.entry(*number).or_default() += 1);
    wanted.iter().for_each(|number| *times.entry(*number).or_default() -= 1);
    times.retain(|_, times| *times != 0);
    format!("{} of {}, wrong by: {times:?}", seen.len(), wanted.len())
}

/// What an instance has logged.
#[derive(Clone, Default)]
pub struct Said(Arc<Mutex<String>>);

impl Said {
    pub fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    #[track_caller]
    pub fn wait_for(&self, words: &str) {
        assert!(wait_until(|| self.text().contains(words)), "`{words}` is not in: {}", self.text());
    }
}

impl std::io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub struct Instance {
    pub control: Control,
    pub said: Said,
    thread: JoinHandle<Result<Summary>>,
}

impl Instance {
    pub fn of(options: RunOptions, job: impl FnOnce() -> Job + Send + 'static) -> Self {
        let (control, said) = (Control::default(), Said::default());
        let (handle, to) = (control.clone(), said.clone());
        let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
        let run = move || tracing::subscriber::with_default(log, || job().run(&options, &handle));
        Self { control, said, thread: std::thread::spawn(run) }
    }

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

    pub fn stop(self) -> Result<Summary> {
        self.control.stop();
        self.thread.join().unwrap()
    }

    pub fn join(self) -> Result<Summary> {
        assert!(wait_until(|| self.thread.is_finished()), "the job goes on: {}", self.said.text());
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
        let instance = counting.start("a", counting.input.clone());
        instance.wait_for((part + 1) * 3000).stop().unwrap();
    }
    counting.assert_exact(9000);
}

#[test]
fn what_a_job_has_committed_can_be_read_when_it_has_ended() {
    let broker = Broker::shared();
    let counting = Counting::over(broker, "readable", 1);
    // Readers of what is committed do not get past it.
    let another = broker.transactional(&broker.unused("another"));
    another.begin();
    (0..2).for_each(|partition| another.send(&counting.output, partition, 0));
    another.flush();
    broker.write(counting.input_name(), 0, 0..1000);
    let instance = counting.start("a", counting.input.clone()).wait_for(1000);
    instance.control.stop();
    instance.said.wait_for("can be read");
    another.abort();
    instance.join().unwrap();
    counting.assert_exact(1000);
}

#[test]
fn a_stop_does_not_bring_back_an_output_that_was_deleted() {
    // As brokers have it unless they are told otherwise.
    let broker = Broker::start_with(&["auto.create.topics.enable=true"]);
    let counting = Counting::over(&broker, "deleted", 1);
    broker.write(counting.input_name(), 0, 0..1000);
    let instance = counting.start("a", counting.input.clone()).wait_for(1000);
    broker.delete(&counting.output);
    let said = instance.said.clone();
    instance.stop().unwrap();
    assert!(said.text().contains("may not be readable yet"), "{}", said.text());
    assert_eq!(broker.partitions(&counting.output), None);
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
    pub fn input_name(&self) -> &str {
        self.input.name()
    }
}
