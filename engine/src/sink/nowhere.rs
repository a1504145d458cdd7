//! Nowhere: records are counted, and shown by the live view.

use std::marker::PhantomData;

use super::encode::LineWriter;
use super::{Chunk, Sink, SinkCommitter, SinkWriter};
use crate::Result;
use crate::format::Encode;

/// Encodes records, so that what cannot be encoded is found and the live view has something to show, and lets them go.
#[derive(Debug)]
pub(crate) struct NowhereSink<T, F> {
    format: F,
    records: PhantomData<fn(T)>,
}

impl<T, F: Encode<T>> NowhereSink<T, F> {
    pub fn new(format: F) -> Self {
        Self { format, records: PhantomData }
    }
}

impl<T: 'static, F: Encode<T>> Sink<T> for NowhereSink<T, F> {
    fn describe(&self) -> String {
        "nowhere".to_owned()
    }

    fn writer(&self) -> Box<dyn SinkWriter<T>> {
        Box::new(LineWriter::new(self.format.clone()))
    }

    fn open(&self, committed: Option<&str>) -> Result<Box<dyn SinkCommitter>> {
        super::nothing_committed("nowhere", committed)?;
        Ok(Box::new(Nowhere))
    }
}

struct Nowhere;

impl SinkCommitter for Nowhere {
    fn append(&mut self, _chunk: Chunk) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self) -> Result<String> {
        Ok(String::new())
    }

    fn committed(&mut self) -> Result<()> {
        Ok(())
    }
}
