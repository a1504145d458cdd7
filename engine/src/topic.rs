//! A stream's name and the type of its records.

use std::marker::PhantomData;
use std::sync::Arc;

use headwater_operators::Timestamp;

use crate::fields::Fields;
use crate::format::{Header, Json, KeyBytes, Lines, Whole};
use crate::{BadRecords, Received};

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
    /// What its records have beside their value where they are written.
    pub(crate) fields: Fields<T>,
    /// What becomes of records that are too large to be written. Shared, for one may name another topic.
    pub(crate) too_large: Arc<BadRecords>,
    records: PhantomData<fn() -> T>,
}

impl<T, F: Clone> Clone for Topic<T, F> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            format: self.format.clone(),
            fields: self.fields.clone(),
            too_large: Arc::clone(&self.too_large),
            records: PhantomData,
        }
    }
}

impl Topic<(), Json> {
    /// A topic with a JSON value per record.
    pub fn json<T>(name: impl Into<String>) -> Topic<T, Json> {
        Topic::new(name.into(), Json)
    }

    /// A topic with a line of text per record.
    pub fn lines<T>(name: impl Into<String>) -> Topic<T, Lines> {
        Topic::new(name.into(), Lines)
    }
}

impl<T, F> Topic<T, F> {
    fn new(name: String, format: F) -> Self {
        Self { name, format, fields: Fields::default(), too_large: Arc::default(), records: PhantomData }
    }

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
        Topic::new(self.name, Whole(self.format))
    }

    /// The same topic, to be written with a key. In Kafka, records with the same key are in the same partition, in their
    /// order: that which Java's clients put them in by default. Files and standard output have the value only.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let job = Job::new("totals");
    /// job.source(Topic::json::<(String, u64)>("orders"))
    ///     .sink(Topic::json::<(String, u64)>("totals").key(|(user, _)| user.to_lowercase()));
    /// job.check()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn key<K: KeyBytes>(mut self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Self {
        self.fields.key = Some(Arc::new(move |record, out| key(record).append(out)));
        self
    }

    /// The same for a key within the record: nothing is copied to find it.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let totals = Topic::json::<(String, u64)>("totals").key_ref(|(user, _)| user);
    /// assert_eq!(totals.name(), "totals");
    /// ```
    #[must_use]
    pub fn key_ref<K: KeyBytes + ?Sized>(mut self, key: impl Fn(&T) -> &K + Send + Sync + 'static) -> Self {
        self.fields.key = Some(Arc::new(move |record, out| key(record).append(out)));
        self
    }

    /// The same topic, to be written with headers.
    ///
    /// ```
    /// use headwater::format::Header;
    /// use headwater::prelude::*;
    /// let orders = Topic::json::<(String, u64)>("orders").headers(|(shop, _)| vec![Header::new("shop", shop.as_str())]);
    /// assert_eq!(orders.name(), "orders");
    /// ```
    #[must_use]
    pub fn headers(mut self, headers: impl Fn(&T) -> Vec<Header> + Send + Sync + 'static) -> Self {
        self.fields.headers = Some(Arc::new(headers));
        self
    }

    /// The same topic, to be written with this timestamp; without one it is the time at which a record is sent. Kafka
    /// keeps milliseconds after 1970, and brokers may refuse times that are too far from theirs
    /// (`message.timestamp.after.max.ms` of the topic, an hour by default).
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let readings = Topic::json::<(Timestamp, f64)>("readings").timestamp(|(at, _)| *at);
    /// assert_eq!(readings.name(), "readings");
    /// ```
    #[must_use]
    pub fn timestamp(mut self, timestamp: impl Fn(&T) -> Timestamp + Send + Sync + 'static) -> Self {
        self.fields.timestamp = Some(Arc::new(timestamp));
        self
    }

    /// What becomes of a record that is larger than the Kafka topic takes. Unless said, the job stops.
    ///
    /// A record is measured before it is compressed, with its key and headers. A dead letter has the beginning of its
    /// value.
    ///
    /// ```
    /// use headwater::prelude::*;
    /// let job = Job::new("documents");
    /// job.source(Topic::json::<String>("documents"))
    ///     .sink(Topic::json("copies").too_large(BadRecords::DeadLetter(Topic::json("oversized"))));
    /// assert_eq!(job.output_topics(), ["copies", "oversized"]);
    /// ```
    #[must_use]
    pub fn too_large(mut self, policy: BadRecords) -> Self {
        self.too_large = Arc::new(policy);
        self
    }
}
