//! A job that copies numbers from Kafka to a file, on a thread or in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Instant;

use headwater::kafka::{KafkaOutput, KafkaTopic};
use headwater::prelude::*;

use super::broker::{AT_MOST, pause};

/// `numbers` → `copies`, from whatever is bound to it.
pub fn copy(directory: &Path, input: Input) -> Job {
    let job = Job::new("copy");
    job.source(Topic::json::<u64>("numbers")).sink(Topic::json("copies"));
    job.bind_input("numbers", input);
    job.bind_output("copies", Output::File(directory.join("copies.jsonl")));
    job
}

pub fn options(directory: &Path) -> RunOptions {
    RunOptions {
        state: Some(directory.join("state")),
        workers: 2,
        commit_interval: Duration::from_millis(20),
        memory_bytes: 64 << 20,
        restarts_max: 1,
        ..RunOptions::default()
    }
}

/// A job that runs over a directory, as often as wanted.
pub struct Copy {
    pub directory: tempfile::TempDir,
    pub topic: KafkaTopic,
}

impl Copy {
    pub fn of(topic: KafkaTopic) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), topic }
    }

    /// Runs it to its end.
    pub fn run(&self) -> Result<Summary> {
        let input = Input::Kafka(self.topic.clone());
        copy(self.directory.path(), input).run(&options(self.directory.path()), &Control::default())
    }

    pub fn run_until_end(&self) -> Result<Summary> {
        let input = Input::Kafka(self.topic.clone().until_end());
        copy(self.directory.path(), input).run(&options(self.directory.path()), &Control::default())
    }

    /// Runs it beside the test.
    pub fn start(&self) -> Running {
        self.start_to(None)
    }

    /// The same, with the numbers going to a Kafka topic instead, at least once.
    pub fn start_to(&self, output: Option<KafkaOutput>) -> Running {
        let (control, directory) = (Control::default(), self.directory.path().to_owned());
        let (handle, topic) = (control.clone(), self.topic.clone());
        let thread = std::thread::spawn(move || {
            let job = copy(&directory, Input::Kafka(topic));
            let mut options = options(&directory);
            if let Some(output) = output {
                job.bind_output("copies", Output::Kafka(output));
                options.delivery = Delivery::AtLeastOnce;
            }
            job.run(&options, &handle)
        });
        Running { control, thread, output: self.directory.path().join("copies.jsonl") }
    }

    /// Runs it until it has written so many numbers, over all runs, and stops it.
    pub fn run_until(&self, numbers: usize) -> Summary {
        let running = self.start();
        running.wait_for(numbers);
        running.stop().unwrap()
    }

    pub fn sorted(&self) -> Vec<u64> {
        sorted(&self.directory.path().join("copies.jsonl"))
    }
}

pub fn sorted(output: &Path) -> Vec<u64> {
    let text = fs::read_to_string(output).unwrap();
    let mut numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

pub struct Running {
    pub control: Control,
    thread: JoinHandle<Result<Summary>>,
    output: PathBuf,
}

impl Running {
    /// Waits until so many numbers are committed, over all runs.
    #[track_caller]
    pub fn wait_for(&self, numbers: usize) {
        let committed = || {
            let committed = self.control.progress.committed();
            committed.records_out.iter().map(|(_, number)| *number as usize).sum::<usize>()
        };
        let done = wait_until(|| committed() >= numbers || self.thread.is_finished());
        assert!(done && committed() >= numbers, "{} of {numbers} in {}", committed(), self.output.display());
    }

    pub fn stop(self) -> Result<Summary> {
        self.control.stop();
        self.thread.join().unwrap()
    }

    /// Waits until it ends by itself.
    pub fn join(self) -> Result<Summary> {
        assert!(wait_until(|| self.thread.is_finished()), "the job goes on");
        self.thread.join().unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "a test gives up some time")]
pub fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        if done() {
            return true;
        }
        if began.elapsed() > AT_MOST {
            return false;
        }
        pause();
    }
}

/// How long it took.
#[expect(clippy::disallowed_methods, reason = "a test measures")]
pub fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (run(), began.elapsed())
}
