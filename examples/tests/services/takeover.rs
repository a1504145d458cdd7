//! Two instances of a job that delivers, over Kafka: what the active one has left the other one delivers, and one that was
//! taken for gone delivers nothing any more. Through each connector, all at the same time: most of it is waiting.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use headwater::prelude::Random;
use rdkafka::producer::BaseRecord;
use rustix::process::Signal;

use super::broker::Broker;
use super::letters;
use super::process::{EVER, Running, examples, wait_for};
use super::receiver::{CONNECTORS, Receiver};
use super::seed::seed;

const SESSION: Duration = Duration::from_secs(6);

/// More than an instance can have under way, so that these are the other one's.
const MORE: usize = 20;

/// A job of two instances, by their names.
struct Pair<'a> {
    broker: &'a Broker,
    place: &'a Path,
    receiver: &'a Receiver,
    lines: String,
    dead: String,
}

impl Pair<'_> {
    fn start(&self, name: &str) -> Running {
        let mut command = Command::new(examples().join("postbox"));
        command.args(["--brokers", &self.broker.address, "--instance", name, "--state"]).arg(self.place.join(name));
        command.args(["--input", &format!("lines=kafka:{}", self.lines)]);
        command.args(["--output", &format!("post.dead-letters=kafka:{}", self.dead)]);
        command.args(self.receiver.flags()).args(["--throttle", "25", "--commit-interval", "100ms", "-v"]);
        command.args(["--kafka", &format!("session.timeout.ms={}", SESSION.as_millis())]);
        let said = fs::OpenOptions::new().append(true).create(true).open(self.log(name)).unwrap();
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.place.join(format!("{name}.log"))
    }

    /// Waits until so many more attempts were made. How long that took, in ms.
    fn wait_for_more(&self, more: usize) -> u128 {
        let (began, before) = (Instant::now(), self.receiver.arrivals().len());
        wait_for("deliveries", EVER, || self.receiver.arrivals().len() >= before + more);
        began.elapsed().as_millis()
    }

    fn dead(&self) -> String {
        let dead = self.broker.read(&self.dead, 0);
        let values: Vec<String> =
            dead.iter().filter_map(|letter| String::from_utf8(letter.value.clone()?).ok()).collect();
        values.join("\n")
    }
}

fn one_after_the_other(connector: &'static str, mut random: Random) {
    let (broker, place) = (Broker::shared(), tempfile::tempdir().unwrap());
    let (lines, expected) = letters::lines(280, &mut random);
    let receiver = match connector {
        "file" => Receiver::file(place.path().join("post")),
        _ => Receiver::start(connector).with_faults(&expected),
    };
    let (topic, dead) = (broker.topic("lines", 1), broker.topic("dead", 1));
    let pair = Pair { broker, place: place.path(), receiver: &receiver, lines: topic, dead };
    let producer = broker.producer();
    lines.lines().for_each(|line| producer.send_record(BaseRecord::to(&pair.lines).partition(0).payload(line)));
    producer.flush();
    let mut first = pair.start("a");
    pair.wait_for_more(MORE);
    let second = pair.start("b");
    // One is killed, and comes back to stand by.
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    let killed = pair.wait_for_more(MORE);
    let third = pair.start("a");
    pair.wait_for_more(MORE);
    // The other one stands still for longer than its session lasts, and then goes on as if nothing had been.
    second.signal(Signal::STOP);
    let stopped = pair.wait_for_more(MORE);
    second.signal(Signal::CONT);
    let is_over = || {
        let (arrivals, dead) = (receiver.arrivals(), letters::given_up(&pair.dead()));
        let taken = letters::taken(&arrivals);
        expected.iter().all(|letter| taken.contains(letter.as_str()) || dead.contains(letter))
    };
    wait_for("all letters", EVER, is_over);
    let tally = receiver.check(&pair.dead(), &expected);
    println!("{connector}: {MORE} more {killed} ms after a kill and {stopped} ms after a stop: {tally}");
    drop((second, third));
    for name in ["a", "b"] {
        assert!(!fs::read_to_string(pair.log(name)).unwrap().contains("panic"), "{connector}: {name} panics");
    }
}

#[test]
fn what_one_instance_has_left_the_other_delivers_and_none_delivers_for_another() {
    let (seed, began) = (seed("takeover"), Instant::now());
    thread::scope(|scope| {
        for (stream, connector) in (0..).zip(CONNECTORS.into_iter().chain(["file"])) {
            scope.spawn(move || one_after_the_other(connector, Random::new(seed, stream)));
        }
    });
    println!("all in {:.1?}", began.elapsed());
}
