//! What operators do to a job's topics and offsets with their tools, and to its directories.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use headwater_state::{Manifest, RocksOptions, RocksStore, Store as _};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::broker::{AT_MOST, Broker, wait};

impl Broker {
    pub fn create_with(&self, name: &str, partitions: i32, options: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in options {
            topic = topic.set(key, value);
        }
        wait(self.admin().create_topics([&topic], &AdminOptions::new())).unwrap().remove(0).unwrap();
    }

    /// Where each partition begins, and where it ends.
    pub fn watermarks(&self, topic: &str) -> Vec<(i64, i64)> {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let partitions = self.partitions(topic).unwrap() as i32;
        (0..partitions).map(|partition| consumer.fetch_watermarks(topic, partition, AT_MOST).unwrap()).collect()
    }

    fn asks(&self, group: &str) -> BaseConsumer {
        self.config().set("group.id", group).set("enable.auto.commit", "false").create().unwrap()
    }

    /// Sets an offset of a group without members, as `kafka-consumer-groups --reset-offsets` does.
    pub fn set_offset(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        self.set_offset_with(group, (topic, partition, offset), "");
    }

    /// The same, with metadata.
    pub fn set_offset_with(&self, group: &str, (topic, partition, offset): (&str, i32, i64), metadata: &str) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        list.find_partition(topic, partition).unwrap().set_metadata(metadata);
        self.asks(group).commit(&list, CommitMode::Sync).unwrap();
    }

    /// An offset of a group with its metadata, if it has one.
    pub fn offset_of(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let found = self.asks(group).committed_offsets(list, AT_MOST).unwrap();
        let element = found.elements().remove(0);
        match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
            _ => None,
        }
    }

    /// Deletes offsets; `topic` may name a partition, as in `orders:3`.
    pub fn delete_offsets(&self, group: &str, topic: &str) {
        self.tool(&["consumer-groups", "--delete-offsets", "--group", group, "--topic", topic], b"");
    }
}

/// All rows of the tables in a state directory that nobody uses.
pub fn tables(directory: &Path) -> BTreeMap<(String, Vec<u8>), Vec<u8>> {
    let manifest = Manifest::load(directory).unwrap().unwrap();
    let names: Vec<String> = manifest.tables.iter().map(|table| table.name.clone()).collect();
    let options = RocksOptions { keeps_log: false, ..RocksOptions::default() };
    let store = RocksStore::open(directory.join("db"), &names, &options).unwrap();
    let mut rows = BTreeMap::new();
    for name in &names {
        let mut take = |key: &[u8], value: &[u8]| {
            rows.insert((name.clone(), key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        };
        store.scan(name, &[], &[0xff; 32], &mut take).unwrap();
    }
    rows
}

/// Copies a directory, or puts it in the place of another.
pub fn copy_directory(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
