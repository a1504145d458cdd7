//! Sources whose records are one stream.

use super::{Measure, Partition, Source};
use crate::{Error, Result};

/// Reads several sources as one. The partitions of the first have their own names, those of the others the source's
/// name and a slash before: another source can be added to one that was read by itself.
pub(crate) struct Several<T> {
    first: Box<dyn Source<T>>,
    others: Vec<(String, Box<dyn Source<T>>)>,
    description: String,
}

impl<T> Several<T> {
    pub fn new(description: String, first: Box<dyn Source<T>>, others: Vec<(String, Box<dyn Source<T>>)>) -> Self {
        Self { first, others, description }
    }

    /// The source of a partition, and its name there.
    fn find<'a>(&self, partition: &'a str) -> Result<(&dyn Source<T>, &'a str)> {
        let Some((name, partition)) = partition.rsplit_once('/') else { return Ok((&*self.first, partition)) };
        let source = self.others.iter().find(|(other, _)| other == name).map(|(_, source)| &**source);
        // The engine opens what it was told of, and what was read before.
        let source = source.ok_or_else(|| {
            Error::config(format!("{name} was read before, and is none of the {} now", self.description))
        })?;
        Ok((source, partition))
    }
}

impl<T> Source<T> for Several<T> {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn partitions(&self) -> Result<Vec<String>> {
        let mut partitions = self.first.partitions()?;
        for (name, source) in &self.others {
            partitions.extend(source.partitions()?.into_iter().map(|partition| format!("{name}/{partition}")));
        }
        Ok(partitions)
    }

    fn open(&self, partition: &str, position: Option<&str>) -> Result<Box<dyn Partition<T>>> {
        let (source, partition) = self.find(partition)?;
        source.open(partition, position)
    }

    fn open_added(&self, partition: &str) -> Result<Box<dyn Partition<T>>> {
        let (source, partition) = self.find(partition)?;
        source.open_added(partition)
    }

    fn has_changed(&self) -> bool {
        self.first.has_changed() || self.others.iter().any(|(_, source)| source.has_changed())
    }

    fn measures(&self) -> Vec<Measure> {
        let others = self.others.iter().flat_map(|(_, source)| source.measures());
        self.first.measures().into_iter().chain(others).collect()
    }
}
