//! `--input NAME=FILE`, `--output NAME=FILE` and `--brokers`: what the job's topics stand for in this run.

use std::path::{Path, PathBuf};

use crate::binding::{Input, Output};
use crate::job::Job;
#[cfg(feature = "kafka")]
use crate::kafka::Kafka;
use crate::{Error, Result};

use super::flags::{BindFlags, KafkaFlags};

/// Binds the topics that the command line names; the others stay as the job bound them.
///
/// # Errors
/// `Config` for a name that the job does not have, with those that it has.
pub(super) fn bind(job: &Job, flags: &BindFlags) -> Result<()> {
    let input_topics = Topics { flag: "--input", verb: "reads", names: job.input_topics(), aside: Vec::new() };
    let inputs = input_topics.resolve(&flags.inputs)?;
    for topic in &input_topics.names {
        let file = inputs.iter().find(|(name, _)| name == topic).map(|(_, file)| *file);
        if let Some(kafka) = kafka_topic(&flags.kafka, topic, file)? {
            job.bind_input(topic, kafka);
        }
    }
    for (topic, file) in inputs.into_iter().filter(|(_, file)| !file.starts_with(KAFKA)) {
        if file == "-" {
            return Err(Error::config(
                "--input -: standard input cannot be read a second time after a crash\nhelp: write it to a file first",
            ));
        }
        job.bind_input(topic, Input::Files(file.to_owned()));
    }
    let (names, aside) = (job.output_topics(), job.outbox_dead_letters());
    let output_topics = Topics { flag: "--output", verb: "writes", names, aside };
    let outputs = output_topics.resolve(&flags.outputs)?;
    for topic in &output_topics.names {
        let file = outputs.iter().find(|(name, _)| name == topic).map(|(_, file)| *file);
        // What the code has bound stays, but for what the command line names.
        if (file.is_some() || !job.has_output(topic))
            && let Some(kafka) = kafka_output(&flags.kafka, topic, file)?
        {
            job.bind_output(topic, kafka);
        }
    }
    for (topic, file) in outputs.into_iter().filter(|(_, file)| !file.starts_with(KAFKA)) {
        let output = if file == "-" { Output::Stdout } else { Output::File(PathBuf::from(file)) };
        job.bind_output(topic, output);
    }
    Ok(())
}

/// What stands before the name of a Kafka topic where a file might be.
const KAFKA: &str = "kafka:";

/// The Kafka topic that `topic` is read from: the one that its `--input` names, or that of the same name if it has none.
#[cfg(feature = "kafka")]
fn kafka_topic(flags: &KafkaFlags, topic: &str, input: Option<&str>) -> Result<Option<Input>> {
    let Some(name) = kafka_name(flags, topic, ("--input", input))? else { return Ok(None) };
    let from = flags.from.parse().map_err(|error: Error| error.within("--from"))?;
    let topic = cluster(flags)?.topic(name).from(from);
    Ok(Some(Input::Kafka(if flags.until_end { topic.until_end() } else { topic })))
}

/// The Kafka topic that `topic` is written to, likewise.
#[cfg(feature = "kafka")]
fn kafka_output(flags: &KafkaFlags, topic: &str, output: Option<&str>) -> Result<Option<Output>> {
    let Some(name) = kafka_name(flags, topic, ("--output", output))? else { return Ok(None) };
    Ok(Some(Output::Kafka(cluster(flags)?.output(name).create(!flags.no_create_topics))))
}

/// The name in Kafka of a topic whose flag has this value; `None` where it is not in Kafka.
#[cfg(feature = "kafka")]
fn kafka_name(flags: &KafkaFlags, topic: &str, (flag, value): (&str, Option<&str>)) -> Result<Option<String>> {
    match (value.map(|value| value.strip_prefix(KAFKA)), &flags.brokers) {
        (Some(None), _) | (None, None) => Ok(None),
        (Some(Some("")), _) => Err(Error::config(format!("{flag} {topic}={KAFKA}: no topic behind the `:`"))),
        (Some(Some(name)), Some(_)) => Ok(Some(name.to_owned())),
        (Some(Some(name)), None) => Err(Error::config(format!(
            "{flag} {topic}={KAFKA}{name}: which cluster has it?\nhelp: give --brokers HOST:PORT, or ./{KAFKA}{name} if that \
             is a file"
        ))),
        (None, Some(_)) => Ok(Some(topic.to_owned())),
    }
}

#[cfg(feature = "kafka")]
fn cluster(flags: &KafkaFlags) -> Result<Kafka> {
    let mut kafka = Kafka::at(flags.brokers.as_deref().unwrap_or_default());
    for option in &flags.options {
        let option = option.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Error::config(format!("--kafka {option}: KEY=VALUE is wanted, such as security.protocol=SSL"))
        })?;
        kafka = kafka.set(option.0, option.1);
    }
    kafka.check()?;
    Ok(kafka)
}

#[cfg(not(feature = "kafka"))]
fn kafka_topic(flags: &KafkaFlags, _: &str, input: Option<&str>) -> Result<Option<Input>> {
    without_kafka(flags, input).map(|()| None)
}

#[cfg(not(feature = "kafka"))]
fn kafka_output(flags: &KafkaFlags, _: &str, output: Option<&str>) -> Result<Option<Output>> {
    without_kafka(flags, output).map(|()| None)
}

#[cfg(not(feature = "kafka"))]
fn without_kafka(flags: &KafkaFlags, value: Option<&str>) -> Result<()> {
    if flags.brokers.is_some() || value.is_some_and(|value| value.starts_with(KAFKA)) {
        return Err(Error::config("Kafka is not in this build\nhelp: build it with the feature `kafka` of headwater"));
    }
    Ok(())
}

/// The topics that one kind of flag may name.
struct Topics {
    flag: &'static str,
    verb: &'static str,
    names: Vec<String>,
    /// Those among them that are not meant where none is named.
    aside: Vec<String>,
}

impl Topics {
    /// The topic and the file of each value.
    fn resolve<'a>(&'a self, values: &'a [String]) -> Result<Vec<(&'a str, &'a str)>> {
        let mut bound: Vec<(&str, &str)> = Vec::new();
        for value in values {
            let (topic, file) = self.split(value)?;
            if bound.iter().any(|(other, _)| *other == topic) {
                let remedy = if self.flag == "--input" {
                    "name several files by a pattern, such as 'data/*.jsonl'"
                } else {
                    "name one file"
                };
                return Err(Error::config(format!("{} names {topic} twice\nhelp: {remedy}", self.flag)));
            }
            bound.push((topic, file));
        }
        Ok(bound)
    }

    /// Cuts at the first `=` if a topic stands before it. Otherwise the whole is a file, of the only topic.
    fn split<'a>(&'a self, value: &'a str) -> Result<(&'a str, &'a str)> {
        let Self { flag, .. } = self;
        let named = value.split_once('=');
        if let Some((name, file)) = named
            && let Some(topic) = self.names.iter().find(|topic| *topic == name)
        {
            if file.is_empty() {
                return Err(Error::config(format!("{flag} {value}: no file behind the `=`")));
            }
            return Ok((topic, file));
        }
        let meant: Vec<&String> = self.names.iter().filter(|name| !self.aside.contains(name)).collect();
        match (named, meant.as_slice()) {
            // `trasnactions=in.jsonl` is a slip, `data/day=1.jsonl` is a file.
            (Some((name, file)), _) if is_name(name) && !Path::new(value).exists() => {
                let remedy = match self.names.as_slice() {
                    [] => String::new(),
                    [topic] => format!("\nhelp: {flag} {topic}={file}, or {flag} {topic}={value} if that is the file"),
                    names => format!("\nhelp: it {} {}", self.verb, names.join(", ")),
                };
                Err(Error::config(format!("{flag} {value}: the job {} no topic {name}{remedy}", self.verb)))
            }
            (_, [topic]) => Ok((topic, value)),
            (_, []) => Err(Error::config(format!("{flag} {value}: the job {} no topic", self.verb))),
            (_, [first, ..]) => {
                let names = self.names.join(", ");
                let remedy = format!("help: say which is meant, as in {flag} {first}={value}");
                Err(Error::config(format!("{flag} {value}: the job {} several topics: {names}\n{remedy}", self.verb)))
            }
        }
    }
}

/// Whether a word may be meant as a topic's name.
fn is_name(word: &str) -> bool {
    let is_letter = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.');
    !word.is_empty() && word.chars().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "kafka")]
    use crate::Topic;

    fn inputs(names: &[&str]) -> Topics {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Topics { flag: "--input", verb: "reads", names, aside: Vec::new() }
    }

    fn refusal(names: &[&str], values: &[&str]) -> String {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        let topics = inputs(names);
        topics.resolve(&values).expect_err("it should be refused").to_string()
    }

    #[test]
    fn the_name_may_be_left_out_where_there_is_one_topic() {
        let one = inputs(&["orders"]);
        assert_eq!(one.split("in.jsonl").unwrap(), ("orders", "in.jsonl"));
        assert_eq!(one.split("orders=in.jsonl").unwrap(), ("orders", "in.jsonl"));
    }

    #[test]
    fn dead_letters_are_not_meant_where_no_topic_is_named() {
        let outputs =
            Topics { aside: vec!["mail.dead-letters".to_owned()], ..inputs(&["alerts", "mail.dead-letters"]) };
        assert_eq!(outputs.split("out.jsonl").unwrap(), ("alerts", "out.jsonl"));
        assert_eq!(outputs.split("mail.dead-letters=dead.jsonl").unwrap(), ("mail.dead-letters", "dead.jsonl"));
    }

    #[test]
    fn a_file_may_contain_an_equals_sign() {
        let one = inputs(&["orders"]);
        assert_eq!(one.split("data/day=1.jsonl").unwrap(), ("orders", "data/day=1.jsonl"));
        assert_eq!(one.split("orders=day=1.jsonl").unwrap(), ("orders", "day=1.jsonl"));
    }

    #[test]
    fn an_unknown_topic_is_answered_with_the_known_ones() {
        let text = refusal(&["orders"], &["oders=in.jsonl"]);
        assert!(text.contains("the job reads no topic oders\nhelp: --input orders=in.jsonl"), "{text}");
        let text = refusal(&["orders", "users"], &["oders=in.jsonl"]);
        assert!(text.contains("it reads orders, users"), "{text}");
        let text = refusal(&["orders", "users"], &["in.jsonl"]);
        assert!(text.contains("--input orders=in.jsonl"), "{text}");
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn a_kafka_topic_is_that_of_the_same_name_or_the_one_that_is_named() {
        let flags = KafkaFlags {
            brokers: Some("localhost:9092".to_owned()),
            options: vec!["fetch.min.bytes=2".to_owned()],
            from: "latest".to_owned(),
            until_end: true,
            no_create_topics: false,
        };
        let bound = |input| kafka_topic(&flags, "orders", input).unwrap().and_then(|input| input.describe());
        let topic = |name: &str| Some(format!("Kafka topic {name} at localhost:9092, from latest until its end"));
        assert_eq!(bound(None), topic("orders"));
        assert_eq!(bound(Some("kafka:shop.orders")), topic("shop.orders"));
        assert_eq!(bound(Some("orders.jsonl")), None);
        let none = KafkaFlags { from: "earliest".to_owned(), ..KafkaFlags::default() };
        assert!(kafka_topic(&none, "orders", None).unwrap().is_none());
        let refusal = |flags: &KafkaFlags, input| kafka_topic(flags, "orders", input).err().unwrap().to_string();
        assert!(refusal(&none, Some("kafka:shop")).contains("--brokers HOST:PORT, or ./kafka:shop"));
        assert!(refusal(&flags, Some("kafka:")).contains("no topic behind"));
        let wrong = KafkaFlags { options: vec!["acks".to_owned()], ..flags.clone() };
        assert!(refusal(&wrong, None).contains("KEY=VALUE is wanted"));
        let wrong = KafkaFlags { from: "yesterday".to_owned(), ..flags.clone() };
        assert!(refusal(&wrong, None).contains("--from: `yesterday` is no place"));
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn an_output_goes_to_kafka_unless_something_else_is_bound() {
        use crate::format::Json;
        let brokers = || KafkaFlags {
            brokers: Some("localhost:9092".to_owned()),
            from: "earliest".to_owned(),
            ..KafkaFlags::default()
        };
        let explained = |bound: Option<Output>, outputs: &[&str]| {
            let job = Job::new("copy");
            job.source::<u64, Json>(Topic::json("orders")).sink::<Json>(Topic::json("totals"));
            if let Some(output) = bound {
                job.bind_output("totals", output);
            }
            let outputs = outputs.iter().map(|output| (*output).to_owned()).collect();
            bind(&job, &BindFlags { inputs: Vec::new(), outputs, kafka: brokers() }).unwrap();
            job.explain().unwrap()
        };
        assert!(explained(None, &[]).contains("written to Kafka topic totals at localhost:9092\n"));
        assert!(explained(None, &["totals=kafka:shop.totals"]).contains("written to Kafka topic shop.totals at"));
        assert!(explained(None, &["kafka:shop.totals"]).contains("written to Kafka topic shop.totals at"));
        assert!(explained(None, &["-"]).contains("written to standard output"));
        assert!(explained(Some(Output::Stdout), &[]).contains("written to standard output"));
        assert!(explained(Some(Output::Stdout), &["kafka:x"]).contains("written to Kafka topic x at"));
        let refusal = kafka_output(&KafkaFlags::default(), "totals", Some("kafka:x")).err().unwrap().to_string();
        assert!(refusal.contains("--output totals=kafka:x: which cluster has it?"), "{refusal}");
    }

    #[test]
    fn a_topic_is_bound_once() {
        let text = refusal(&["orders"], &["a.jsonl", "orders=b.jsonl"]);
        assert!(text.contains("orders twice"), "{text}");
        assert!(refusal(&["orders"], &["orders="]).contains("no file"));
    }
}
