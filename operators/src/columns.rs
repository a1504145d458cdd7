//! Arrow record batches as records: the same operators over columns.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, BooleanArray, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_schema::{DataType, TimeUnit};
use arrow_select::take::take_record_batch;
use headwater_state::{Error, Key, Result, RowKeys, Text, hash_bytes};

use crate::batch::no_row;
use crate::records::check_parts;
use crate::{Keying, Predicate, Records, Times, Timestamp};

impl Records for RecordBatch {
    fn rows(&self) -> usize {
        self.num_rows()
    }

    fn memory_bytes(&self) -> usize {
        self.get_array_memory_size()
    }

    fn take(self, rows: &[u32]) -> Result<Self> {
        if let Some(&row) = rows.iter().find(|&&row| row as usize >= self.num_rows()) {
            return Err(no_row(row, self.num_rows()));
        }
        take_rows(&self, rows.to_vec())
    }

    fn split_off(&mut self, at: usize) -> Result<Self> {
        if at > self.num_rows() {
            return Err(no_row(at as u32, self.num_rows()));
        }
        let tail = self.slice(at, self.num_rows() - at);
        *self = self.slice(0, at);
        Ok(tail)
    }

    fn divide(self, part_of: &[u16], parts: usize) -> Result<Vec<Self>> {
        check_parts(part_of, self.num_rows(), parts)?;
        let mut rows = vec![Vec::new(); parts];
        for (row, &part) in (0..).zip(part_of) {
            rows[usize::from(part)].push(row);
        }
        rows.into_iter().map(|rows| take_rows(&self, rows)).collect()
    }
}

fn take_rows(batch: &RecordBatch, rows: Vec<u32>) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt32Array::from(rows))
        .map_err(|error| Error::bug("rows cannot be taken from a record batch").caused_by(error))
}

#[diagnostic::do_not_recommend]
impl<F> Predicate<RecordBatch> for F
where
    F: Fn(&RecordBatch) -> Result<BooleanArray>,
{
    /// A row where the array is null is not selected.
    fn select(&self, records: &RecordBatch, rows: &mut Vec<u32>) -> Result<()> {
        let selected = self(records)?;
        if selected.len() != records.num_rows() {
            let message = format!("a predicate gave {} values for {} rows", selected.len(), records.num_rows());
            return Err(Error::config(message));
        }
        rows.extend((0..).zip(&selected).filter(|(_, holds)| *holds == Some(true)).map(|(row, _)| row));
        Ok(())
    }
}

/// The column called `name`, which must have no null.
fn column<'a>(records: &'a RecordBatch, name: &str) -> Result<&'a dyn Array> {
    let Some(array) = records.column_by_name(name) else {
        let names: Vec<_> = records.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
        return Err(Error::config(format!("there is no column {name}, only {}", names.join(", "))));
    };
    match (0..array.len()).find(|&row| array.is_null(row)).filter(|_| array.null_count() > 0) {
        None => Ok(&**array),
        Some(row) => Err(Error::record(format!("column {name} is null in row {row}"))),
    }
}

fn wrong_type(name: &str, array: &dyn Array, wanted: impl fmt::Display) -> Error {
    Error::config(format!("column {name} is {}, not {wanted}", array.data_type()))
}

/// Event times in a column: a timestamp of any unit, read as UTC where it has no zone.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{RecordBatch, TimestampMillisecondArray};
/// use headwater_operators::{TimeColumn, Times};
///
/// let at = TimestampMillisecondArray::from(vec![1_772_323_200_000]);
/// let batch = RecordBatch::try_from_iter([("at", Arc::new(at) as _)])?;
/// let mut times = Vec::new();
/// TimeColumn::named("at").times(&batch, &mut times)?;
/// assert_eq!(times[0].to_string(), "2026-03-01T00:00:00Z");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TimeColumn {
    name: Arc<str>,
}

impl TimeColumn {
    /// The times in the column called `name`.
    pub fn named(name: &str) -> Self {
        Self { name: name.into() }
    }
}

impl Times<RecordBatch> for TimeColumn {
    fn times(&self, records: &RecordBatch, times: &mut Vec<Timestamp>) -> Result<()> {
        let array = column(records, &self.name)?;
        let DataType::Timestamp(unit, _) = array.data_type() else {
            return Err(wrong_type(&self.name, array, "a timestamp"));
        };
        let nanos = |nanos: i64| Timestamp::from_micros(nanos.div_euclid(1_000));
        match unit {
            TimeUnit::Second => {
                times.extend(values::<TimestampSecondType>(array).iter().map(|&time| Timestamp::from_seconds(time)));
            }
            TimeUnit::Millisecond => {
                times
                    .extend(values::<TimestampMillisecondType>(array).iter().map(|&time| Timestamp::from_millis(time)));
            }
            TimeUnit::Microsecond => {
                times
                    .extend(values::<TimestampMicrosecondType>(array).iter().map(|&time| Timestamp::from_micros(time)));
            }
            TimeUnit::Nanosecond => {
                times.extend(values::<TimestampNanosecondType>(array).iter().map(|&time| nanos(time)));
            }
        }
        Ok(())
    }
}

fn values<T: arrow_array::ArrowPrimitiveType>(array: &dyn Array) -> &[T::Native] {
    array.as_primitive::<T>().values()
}

/// A key that a column can hold: text in `Utf8`, `i64` in `Int64`, `u64` in `UInt64`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the key of a column",
    note = "use `Text`, `String`, `i64` or `u64`"
)]
pub trait ColumnKey: Key {
    /// The column's array.
    type Array: Array + 'static;

    /// Whether the key of `row` is `key`.
    fn is(array: &Self::Array, row: usize, key: &Self) -> bool;

    /// The key of `row`.
    fn key(array: &Self::Array, row: usize) -> Self;

    /// The hash of the key of `row`.
    fn hash(array: &Self::Array, row: usize) -> u64;
}

macro_rules! text_column {
    ($($type:ty)*) => {
        $(impl ColumnKey for $type {
            type Array = StringArray;

            #[inline]
            fn is(array: &StringArray, row: usize, key: &Self) -> bool {
                array.value(row) == &**key
            }

            #[inline]
            fn key(array: &StringArray, row: usize) -> Self {
                array.value(row).into()
            }

            #[inline]
            fn hash(array: &StringArray, row: usize) -> u64 {
                hash_bytes(array.value(row).as_bytes())
            }
        })*
    };
}

text_column!(String Text);

macro_rules! number_column {
    ($($type:ty, $array:ty;)*) => {
        $(impl ColumnKey for $type {
            type Array = $array;

            #[inline]
            fn is(array: &$array, row: usize, key: &Self) -> bool {
                array.value(row) == *key
            }

            #[inline]
            fn key(array: &$array, row: usize) -> Self {
                array.value(row)
            }

            #[inline]
            fn hash(array: &$array, row: usize) -> u64 {
                array.value(row).hash64()
            }
        })*
    };
}

number_column! {
    i64, Int64Array;
    u64, UInt64Array;
}

/// Keys in a column, of the type `K`. A null is an error: such rows are to be filtered before.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{RecordBatch, StringArray};
/// use headwater_operators::{KeyColumn, Keying};
/// use headwater_state::{Key, RowKeys};
///
/// let users = StringArray::from(vec!["ada", "bob"]);
/// let batch = RecordBatch::try_from_iter([("user", Arc::new(users) as _)])?;
/// let by_user = KeyColumn::<String>::named("user");
/// assert_eq!(by_user.keys(&batch)?.key(1), "bob");
/// let mut hashes = Vec::new();
/// by_user.hashes(&batch, &mut hashes)?;
/// assert_eq!(hashes[0], "ada".to_owned().hash64());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct KeyColumn<K> {
    name: Arc<str>,
    key: PhantomData<fn() -> K>,
}

impl<K: ColumnKey> KeyColumn<K> {
    /// The keys in the column called `name`.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), key: PhantomData }
    }

    fn array<'a>(&self, records: &'a RecordBatch) -> Result<&'a K::Array> {
        let array = column(records, &self.name)?;
        let found = array.as_any().downcast_ref();
        found.ok_or_else(|| wrong_type(&self.name, array, format_args!("one of {} keys", K::shape())))
    }
}

/// The keys of one batch's rows, in a column.
pub struct ColumnKeys<'a, K: ColumnKey>(&'a K::Array);

impl<K: ColumnKey> RowKeys<K> for ColumnKeys<'_, K> {
    #[inline]
    fn is(&self, row: usize, key: &K) -> bool {
        K::is(self.0, row, key)
    }

    #[inline]
    fn key(&self, row: usize) -> K {
        K::key(self.0, row)
    }
}

impl<K: ColumnKey> Keying<RecordBatch> for KeyColumn<K> {
    type Key = K;
    type Keys<'a> = ColumnKeys<'a, K>;

    fn keys<'a>(&'a self, records: &'a RecordBatch) -> Result<Self::Keys<'a>> {
        Ok(ColumnKeys(self.array(records)?))
    }

    fn hashes(&self, records: &RecordBatch, hashes: &mut Vec<u64>) -> Result<()> {
        let array = self.array(records)?;
        hashes.extend((0..records.num_rows()).map(|row| K::hash(array, row)));
        Ok(())
    }
}
