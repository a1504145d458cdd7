//! A job under faults: two instances, a feed that does not end, and one fault after the other. After each the job must go
//! on; at the end its outputs must be right and the broker at rest.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headwater::prelude::Random;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::broker::AT_MOST;
use super::checker::Checker;
use super::cluster::Cluster;
use super::crash_points::{crash_everywhere, wait_everywhere};
use super::feed::{Feed, feed_each};
use super::job::{INPUTS, Instance, JOB, LINKS, PARTS, PARTS_EACH, Timeouts};
use super::kinds::{KINDS, Kind, chosen, chosen_hits, plan};
use super::monitor::Monitor;
use super::process::examples;
use super::reader::{inputs, read};
use super::rest;
use super::seed::{seed, torture};

/// Within this a job goes on after a fault.
pub const GOES_ON: Duration = Duration::from_secs(60);

pub struct Campaign {
    pub cluster: Cluster,
    pub instances: [Instance; 2],
    pub random: Random,
    pub timeouts: Timeouts,
    /// How late a late EndTxn is.
    pub lateness: Duration,
    seed: u64,
    feed: Option<Feed>,
    monitor: Monitor,
    began: Instant,
    /// How instances ended by themselves.
    pub ends: Vec<String>,
    /// How long it took to go on, by kind.
    times: HashMap<Kind, Vec<Duration>>,
    directory: tempfile::TempDir,
}

impl Campaign {
    /// Starts broker, feed and both instances, and waits for the first output.
    pub fn start(seed: u64, timeouts: Timeouts, lateness: Duration) -> Self {
        // The processes' state and logs stay where a test fails.
        let directory = tempfile::Builder::new().prefix("headwater-faults-").tempdir().unwrap();
        // They may have to be built first.
        examples();
        let cluster = Cluster::start();
        for (topic, partitions) in INPUTS.into_iter().chain([LINKS, PARTS]) {
            cluster.broker.create(topic, partitions);
        }
        let instance = |name| Instance::new(name, directory.path(), &cluster.proxied(), timeouts);
        let mut campaign = Self {
            instances: [instance("one"), instance("two")],
            random: Random::new(seed, 0),
            timeouts,
            lateness,
            seed,
            feed: Some(Feed::start(cluster.broker.config(), seed, 0)),
            monitor: Monitor::start(cluster.broker.config()),
            began: Instant::now(),
            ends: Vec::new(),
            times: HashMap::new(),
            cluster,
            directory,
        };
        campaign.instances.iter_mut().for_each(Instance::start);
        if let Err(error) = campaign.progress() {
            campaign.fail(&format!("at the start: {error}"));
        }
        campaign
    }

    /// Does the faults, each as often as wanted.
    pub fn run(&mut self, kinds: &[Kind], hits: usize) {
        let faults = plan(&mut self.random, kinds, hits);
        for (number, kind) in faults.iter().enumerate() {
            let gap = self.within(1_500);
            self.wait(gap);
            let (from, total) = (now(), faults.len());
            let done = kind.inject(self);
            let (healed, to) = (Instant::now(), now());
            let waited = done.clone().unwrap_or_default();
            let outcome = done.and_then(|_| self.progress());
            let time = waited + healed.elapsed();
            println!("{from} to {to}  {:>3}/{total} {kind:?}: on after {} ms", number + 1, time.as_millis());
            if let Err(error) = outcome {
                self.fail(&format!("fault {} of {total}, {kind:?}: {error}", number + 1));
            }
            // By themselves they may end with an error only.
            if let Some(end) = self.ends.iter().find(|end| end.contains("ended, signal")) {
                self.fail(&format!("fault {} of {total}, {kind:?}: {end}", number + 1));
            }
            self.times.entry(*kind).or_default().push(time);
        }
    }

    /// Ends the job at each place of a commit, and has it wait there.
    pub fn crash_everywhere(&mut self) {
        if let Err(error) = crash_everywhere(self).and_then(|()| wait_everywhere(self)) {
            self.fail(&error);
        }
    }

    /// Stops the feed and the job, and checks everything.
    pub fn finish(mut self) {
        let fed = self.feed.take().map_or(0, Feed::stop);
        self.await_all(fed, "all outputs at the end");
        self.stop_instances();
        self.check_rest();
        // What the changelog holds is what ran: the chains go on from it.
        self.instances.iter().for_each(Instance::forget);
        let fed = feed_each(&self.cluster.broker.config(), fed);
        self.instances[0].start();
        self.await_all(fed, "outputs of a state that was rebuilt");
        self.stop_instances();
        self.check_rest();
        self.check_outputs(fed);
        self.report(fed);
    }

    /// Something up to `millis` long.
    pub fn within(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.random.below(millis))
    }

    /// Lets time go by.
    pub fn wait(&mut self, time: Duration) {
        self.wait_for(time, |_| false);
    }

    /// Waits until something holds; false if it does not in time. Instances that end are started again meanwhile.
    pub fn wait_for(&mut self, limit: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + limit;
        loop {
            for at in 0..self.instances.len() {
                if let Some(text) = self.instances[at].tend() {
                    println!("{}  {text}", now());
                    self.ends.push(text);
                }
            }
            if holds(self) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a record that is yet to come has its committed output.
    ///
    /// # Errors
    /// There is none in time.
    pub fn progress(&mut self) -> Result<(), String> {
        let next = self.fed();
        let goes_on = self.wait_for(GOES_ON, |campaign| campaign.newest() > next);
        let newest = self.newest();
        goes_on.then_some(()).ok_or_else(|| {
            format!("stuck: record {next} has no output after {GOES_ON:?}, the newest that has one is before {newest}")
        })
    }

    /// How many records were given.
    pub fn fed(&self) -> u64 {
        self.feed.as_ref().map_or(0, Feed::next)
    }

    /// One more than the greatest number of a record that has its output.
    pub fn newest(&self) -> u64 {
        self.monitor.newest()
    }

    /// How many records have theirs.
    pub fn records(&self) -> u64 {
        self.monitor.records()
    }

    /// Has the feed go on into one more partition of an input; how many it has now.
    pub fn spread(&self, input: usize) -> Option<i32> {
        self.feed.as_ref().map(|feed| feed.spread(input))
    }

    /// The instance that owns the work; one of them while none does.
    pub fn active(&mut self) -> usize {
        let mut owner = None;
        let end = Instant::now() + Duration::from_secs(15);
        while owner.is_none() && Instant::now() < end {
            owner = self.owner();
            self.wait(Duration::from_millis(50));
        }
        owner.unwrap_or_else(|| self.random.below(2) as usize)
    }

    fn owner(&self) -> Option<usize> {
        let client: BaseConsumer = self.cluster.broker.config().create().ok()?;
        let groups = client.fetch_group_list(Some(JOB), Duration::from_secs(5)).ok()?;
        let group = groups.groups().iter().find(|group| group.name() == JOB)?;
        let owns = |assignment: Option<&[u8]>| {
            // Version, then the number of topics.
            assignment.and_then(|bytes| bytes.get(2..6)).is_some_and(|topics| topics != [0; 4])
        };
        let member = group.members().iter().find(|member| owns(member.assignment()))?;
        self.instances.iter().position(|instance| member.client_id().starts_with(instance.name))
    }

    fn await_all(&mut self, fed: u64, what: &str) {
        if !self.wait_for(GOES_ON, |campaign| campaign.monitor.records() >= fed) {
            self.fail(&format!("waited {GOES_ON:?} for {what}: {} of {fed} records", self.monitor.records()));
        }
        // Timers go on when the feed is over.
        self.wait(Duration::from_secs(3));
    }

    /// Stops both, cleanly.
    pub fn stop_instances(&mut self) {
        for at in 0..self.instances.len() {
            let instance = &mut self.instances[at];
            if let Some(code @ 1..) = instance.stop(AT_MOST) {
                let (name, words) = (instance.name, instance.last_words());
                self.fail(&format!("{name} ended with {code} when it was to stop: {words}"));
            }
        }
    }

    fn check_rest(&mut self) {
        if let Err(error) = rest::check(&self.cluster) {
            self.fail(&error);
        }
    }

    fn check_outputs(&mut self, fed: u64) {
        let given = inputs(&self.cluster.broker, self.directory.path());
        if given.len() as u64 != fed {
            self.fail(&format!("{} records in the inputs, {fed} were fed: the test is at fault", given.len()));
        }
        let mut checker = Checker::new(given, PARTS_EACH);
        for (at, value) in read(&self.cluster.broker, LINKS.0, self.directory.path()) {
            checker.link(at, &value);
        }
        for (at, value) in read(&self.cluster.broker, PARTS.0, self.directory.path()) {
            checker.part(at, &value);
        }
        match checker.finish() {
            Ok(found) => println!("each exactly once: {found:?}"),
            Err(faults) => self.fail(&faults),
        }
    }

    /// What was done, and how long it took to go on: median and worst by kind.
    fn report(&mut self, fed: u64) {
        let seconds = self.began.elapsed().as_secs();
        println!("HEADWATER_SEED={}: {fed} records, {} timers, {seconds} s", self.seed, self.monitor.timers());
        for (kind, times) in &mut self.times {
            times.sort_unstable();
            let (median, worst) = (times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis());
            println!("{:>4} × {kind:?}: on after {median} ms at the median, {worst} at worst", times.len());
        }
        println!("{} times an instance ended by itself", self.ends.len());
    }

    /// Ends the test. What the instances have said stays, and what the broker knows of them.
    fn fail(&mut self, error: &str) -> ! {
        let kept = std::env::temp_dir().join(format!("headwater-faults-{}", self.seed));
        copy_logs(self.directory.path(), &kept);
        std::fs::write(kept.join("broker.txt"), rest::describe(&self.cluster)).unwrap();
        let (_, data) = self.cluster.broker.own.as_ref().unwrap();
        for log in ["broker.log", "previous.log"] {
            // Of a broker that was started once there is no previous one.
            std::fs::copy(data.join(log), kept.join(log)).ok();
        }
        self.instances.iter_mut().for_each(Instance::kill);
        let text = format!("HEADWATER_SEED={}: {error}\nThe logs are in {}", self.seed, kept.display());
        panic!("{text}")
    }
}

/// Seconds of the clock, as records have them, the thousands left out.
fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{:>7.3}", (now % 1_000_000) as f64 / 1_000.0)
}

fn copy_logs(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// A few faults of each kind, and a lot of them under `make torture`.
#[test]
fn every_output_is_there_once_whatever_happens() {
    let seed = seed("every_output_is_there_once_whatever_happens");
    let seconds = Duration::from_secs;
    let timeouts = Timeouts { session: seconds(4), transaction: seconds(6) };
    let (hits, lateness) = if torture() { (30, seconds(30)) } else { (1, seconds(8)) };
    let mut campaign = Campaign::start(seed, timeouts, lateness);
    let chosen = chosen();
    campaign.run(chosen.as_deref().unwrap_or(&KINDS), chosen_hits().unwrap_or(hits));
    if chosen.is_none() {
        campaign.crash_everywhere();
    }
    campaign.finish();
}
