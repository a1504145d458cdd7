//! How far a partition was read, as a commit holds it.

use std::fmt;

use crate::source::another;
use crate::{Error, Result};

/// Which topic of which cluster: a topic that is deleted and created again is another one, with the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// `None` where it was not asked for, and in positions of before it was kept.
    pub name: Option<String>,
    /// The topic's id; `None` from brokers before Kafka 2.8, which have none.
    pub topic: Option<String>,
    /// The cluster's id; `None` where the brokers tell none.
    pub cluster: Option<String>,
}

/// Where a partition is read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The next offset.
    pub offset: i64,
    /// The epoch of the leader that wrote the record before it, if that is known: an offset with it cannot be
    /// mistaken for the same offset of a log that was cut and written again. Not known behind the marker of a
    /// transaction, which is not delivered.
    pub leader_epoch: Option<i32>,
    pub identity: Identity,
}

impl Position {
    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// `Config` where the position is that of another kind of input.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text).ok_or_else(|| another("a Kafka topic", text))
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let offset = words.next()?.strip_prefix("offset=")?.parse().ok().filter(|offset| *offset >= 0)?;
        let mut position = Self { offset, leader_epoch: None, identity: Identity::default() };
        for word in words {
            match word.split_once('=')? {
                ("epoch", epoch) => position.leader_epoch = Some(epoch.parse().ok()?),
                (key, value) => position.identity.take(key, value)?,
            }
        }
        Some(position)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset={}", self.offset)?;
        if let Some(epoch) = self.leader_epoch {
            write!(f, " epoch={epoch}")?;
        }
        write!(f, "{}", self.identity)
    }
}

impl fmt::Display for Identity {
    /// A space before each word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in [("topic", &self.topic), ("cluster", &self.cluster), ("name", &self.name)] {
            if let Some(value) = value {
                write!(f, " {key}={value}")?;
            }
        }
        Ok(())
    }
}

impl Identity {
    /// Takes a word that [`Display`](fmt::Display) has written.
    pub fn take(&mut self, key: &str, value: &str) -> Option<()> {
        let part = match key {
            "topic" => &mut self.topic,
            "cluster" => &mut self.cluster,
            "name" => &mut self.name,
            _ => return None,
        };
        *part = Some(value.to_owned());
        Some(())
    }

    /// What is known now, and of the rest what was known `before`: brokers do not always tell.
    pub fn or(&self, before: Self) -> Self {
        let now = self.clone();
        Self {
            name: now.name.or(before.name),
            topic: now.topic.or(before.topic),
            cluster: now.cluster.or(before.cluster),
        }
    }

    /// That what is there `now` is what was read before.
    ///
    /// # Errors
    /// `Config` where it is not. An id that either side does not know is no difference.
    pub fn check(&self, now: &Self, topic: &str) -> Result<()> {
        let remedy = "start over with --fresh";
        let differ = |before: &Option<String>, now: &Option<String>| match (before, now) {
            (Some(before), Some(now)) if before != now => Some(format!("id {before} then, {now} now")),
            _ => None,
        };
        if let Some(ids) = differ(&self.cluster, &now.cluster) {
            return Err(Error::config(format!(
                "the brokers are those of another Kafka cluster than {topic} was read from ({ids}), where its offsets \
                 mean other records; give the --brokers that were given before, or {remedy}"
            )));
        }
        if let (Some(before), Some(now)) = (&self.name, &now.name)
            && before != now
        {
            return Err(Error::config(format!(
                "what was read before is Kafka topic {before}, not {now}, where its offsets mean other records; bind \
                 the topic that was read, or {remedy}"
            )));
        }
        if let Some(ids) = differ(&self.topic, &now.topic) {
            return Err(Error::config(format!(
                "Kafka topic {topic} is not the one that was read before ({ids}): it was deleted and created again, or \
                 another topic was bound; its offsets mean other records; bind the topic that was read, or {remedy}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(topic: &str, cluster: &str) -> Identity {
        Identity { name: Some("orders".to_owned()), topic: Some(topic.to_owned()), cluster: Some(cluster.to_owned()) }
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let whole = Position { offset: 42, leader_epoch: Some(3), identity: identity("T_-1", "C=") };
        assert_eq!(whole.to_string(), "offset=42 epoch=3 topic=T_-1 cluster=C= name=orders");
        let nothing_known = Identity::default();
        let bare = Position { offset: 0, leader_epoch: None, identity: nothing_known };
        for position in [whole, bare] {
            assert_eq!(Position::parse(&position.to_string()).unwrap(), position);
        }
    }

    #[test]
    fn the_position_of_another_input_is_refused() {
        for text in ["", "17", "offset=", "offset=-1", "offset=1 x", "offset=1 x=2", "{\"files\":[]}"] {
            let error = Position::parse(text).unwrap_err();
            assert!(error.to_string().contains("not a Kafka topic"), "{error}");
        }
    }

    #[test]
    fn another_topic_or_cluster_is_told() {
        let before = identity("T1", "C1");
        before.check(&identity("T1", "C1"), "orders").unwrap();
        before.check(&Identity::default(), "orders").unwrap();
        assert_eq!(Identity::default().or(before.clone()), before);
        assert_eq!(identity("T2", "C2").or(before.clone()), identity("T2", "C2"));
        let other = Identity { name: Some("bills".to_owned()), ..identity("T2", "C1") };
        let error = before.check(&other, "bills").unwrap_err().to_string();
        assert!(error.contains("Kafka topic orders, not bills"), "{error}");
        let error = before.check(&identity("T2", "C1"), "orders").unwrap_err().to_string();
        assert!(error.contains("deleted and created again") && error.contains("id T1 then, T2 now"), "{error}");
        let error = before.check(&identity("T2", "C2"), "orders").unwrap_err().to_string();
        assert!(error.contains("another Kafka cluster"), "{error}");
    }
}
