//! Where the records of a transaction stand in the outputs. Each commit says it, so that what a lost end leaves open there
//! can be told from what was never committed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The records of one transaction in a partition, by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, i64, i64)", into = "(i64, i64, i64)")]
pub(super) struct Span {
    pub first: i64,
    pub last: i64,
    pub records: i64,
}

impl From<(i64, i64, i64)> for Span {
    fn from((first, last, records): (i64, i64, i64)) -> Self {
        Self { first, last, records }
    }
}

impl From<Span> for (i64, i64, i64) {
    fn from(span: Span) -> Self {
        (span.first, span.last, span.records)
    }
}

impl Span {
    /// Brokers may take a record for one that they have, and not say where that is.
    pub fn is_known(&self) -> bool {
        self.first >= 0
    }

    fn add(&mut self, offset: i64) {
        // An offset that is not known stays the first.
        (self.first, self.last) = (self.first.min(offset), self.last.max(offset));
        self.records += 1;
    }
}

/// By topic and partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Outputs(BTreeMap<String, BTreeMap<i32, Span>>);

impl Outputs {
    /// Takes those of a later transaction, which has ended what was open of earlier ones where it has records.
    pub fn follow(&mut self, later: Self) {
        for (topic, spans) in later.0 {
            self.0.entry(topic).or_default().extend(spans);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn of(&self, topic: &str, partition: i32) -> Option<&Span> {
        self.0.get(topic)?.get(&partition)
    }

    pub fn topics(&self) -> impl Iterator<Item = (&String, &BTreeMap<i32, Span>)> {
        self.0.iter()
    }
}

/// What brokers have told of the running transaction.
#[derive(Default)]
pub(super) struct Written {
    /// By the number of the topic, and by partition.
    spans: Vec<Vec<Option<Span>>>,
}

impl Written {
    pub fn add(&mut self, topic: usize, partition: i32, offset: i64) {
        let Ok(partition) = usize::try_from(partition) else { return };
        let spans = grown(&mut self.spans, topic);
        match grown(spans, partition) {
            Some(span) => span.add(offset),
            none => *none = Some(Span { first: offset, last: offset, records: 1 }),
        }
    }

    /// Everything, under the names of the topics.
    pub fn take<'a>(&mut self, name: impl Fn(usize) -> &'a str) -> Outputs {
        let mut outputs = Outputs::default();
        for (topic, spans) in std::mem::take(&mut self.spans).into_iter().enumerate() {
            let known = (0..).zip(spans).filter_map(|(partition, span)| Some((partition, span?)));
            let known: BTreeMap<i32, Span> = known.collect();
            if !known.is_empty() {
                outputs.0.insert(name(topic).to_owned(), known);
            }
        }
        outputs
    }
}

fn grown<T: Default>(list: &mut Vec<T>, at: usize) -> &mut T {
    if list.len() <= at {
        list.resize_with(at + 1, T::default);
    }
    &mut list[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_gathered_by_topic_and_partition() {
        let mut written = Written::default();
        for (topic, partition, offset) in [(1, 2, 7), (1, 2, 8), (1, 0, 3), (1, 2, 10), (3, 0, 5), (3, 0, -1)] {
            written.add(topic, partition, offset);
        }
        let outputs = written.take(|topic| ["a", "b", "c", "d"][topic]);
        let text = serde_json::to_string(&outputs).unwrap();
        assert_eq!(text, r#"{"b":{"0":[3,3,1],"2":[7,10,3]},"d":{"0":[-1,5,2]}}"#);
        assert_eq!(serde_json::from_str::<Outputs>(&text).unwrap(), outputs);
        let of = |topic, partition| *outputs.of(topic, partition).unwrap();
        assert!(of("b", 2).is_known());
        assert!(!of("d", 0).is_known());
        assert_eq!(written.take(|_| "none"), Outputs::default());
    }

    #[test]
    fn the_last_of_each_partition_is_remembered() {
        let read = |text| serde_json::from_str::<Outputs>(text).unwrap();
        let mut outputs = read(r#"{"a":{"0":[1,2,2],"1":[5,5,1]}}"#);
        outputs.follow(read(r#"{"a":{"1":[7,9,3]},"b":{"0":[0,0,1]}}"#));
        assert_eq!(outputs, read(r#"{"a":{"0":[1,2,2],"1":[7,9,3]},"b":{"0":[0,0,1]}}"#));
    }
}
