//! A stream's name and the type of its records.

use std::marker::PhantomData;

use crate::Received;
use crate::format::{Json, Lines, Whole};

/// A name for a stream of records, with their type and format. At run time the name is bound to files, a generator,
/// Kafka, or memory in a test; the pipeline stays as it is.
///
/// ```
/// use headwater::prelude::*;
/// #[derive(serde::Deserialize)]
/// struct Order { id: u64 }
/// let orders = Topic::json::<Order>("orders");
/// assert_eq!(orders.name(), "orders");
/// ```
#[derive(Debug)]
pub struct Topic<T, F = Json> {
    name: String,
    pub(crate) format: F,
    records: PhantomData<fn() -> T>,
}

impl<T, F: Clone> Clone for Topic<T, F> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), format: self.format.clone(), records: PhantomData }
    }
}

impl Topic<(), Json> {
    /// A topic with a JSON value per record.
    pub fn json<T>(name: impl Into<String>) -> Topic<T, Json> {
        Topic { name: name.into(), format: Json, records: PhantomData }
    }

    /// A topic with a line of text per record.
    pub fn lines<T>(name: impl Into<String>) -> Topic<T, Lines> {
        Topic { name: name.into(), format: Lines, records: PhantomData }
    }
}

impl<T, F> Topic<T, F> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same topic, to be read with the key, headers, timestamp and place of each record.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let job = Job::new("late-orders");
    /// job.source(Topic::json::<u64>("orders").received())
    ///     .event_time(|order| order.timestamp.unwrap_or(Timestamp::MIN), Lateness::minutes(1))
    ///     .map(|order| (String::from_utf8_lossy(order.key.as_deref().unwrap_or_default()).into_owned(), order.value))
    ///     .sink(Topic::json("by_key"));
    /// job.check()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn received(self) -> Topic<Received<T>, Whole<F>> {
        Topic { name: self.name, format: Whole(self.format), records: PhantomData }
    }
}
