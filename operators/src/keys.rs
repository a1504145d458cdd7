//! By what rows are grouped: a key per row, given by a closure or a column.

use std::marker::PhantomData;

use headwater_state::{Key, Result, RowKeys};

use crate::{Records, Shared};

/// Gives every row a key. [`Exchange`](crate::Exchange) routes by its hash, keyed operators find their state by it.
pub trait Keying<R: Records>: Send + Sync + 'static {
    /// The key.
    type Key: Key;

    /// The keys of one batch.
    type Keys<'a>: RowKeys<Self::Key>
    where
        Self: 'a;

    /// The keys of `records`, each made or borrowed when it is asked for.
    ///
    /// # Errors
    /// `Config` where a column does not exist or is of another type, `Record` where a key is missing.
    fn keys<'a>(&'a self, records: &'a R) -> Result<Self::Keys<'a>>;

    /// Appends the [`hash64`](Key::hash64) of every row's key.
    ///
    /// # Errors
    /// As [`keys`](Self::keys).
    fn hashes(&self, records: &R, hashes: &mut Vec<u64>) -> Result<()>;
}

/// Keys that a closure makes: `key_by(|tx| tx.user_id)`. The closure is called more than once per row; where that is
/// dear because the key owns memory, borrow it with [`KeyByRef`].
pub struct KeyBy<T, F> {
    f: F,
    records: PhantomData<fn(T)>,
}

impl<T, F> KeyBy<T, F> {
    /// Keys made by `f`.
    pub fn new<K: Key>(f: F) -> Self
    where
        F: Fn(&T) -> K,
    {
        Self { f, records: PhantomData }
    }
}

/// The keys of one batch's rows, made by a closure.
pub struct MadeKeys<'a, T, F> {
    f: &'a F,
    records: &'a [T],
}

impl<T, K: Key, F: Fn(&T) -> K> RowKeys<K> for MadeKeys<'_, T, F> {
    #[inline]
    fn is(&self, row: usize, key: &K) -> bool {
        (self.f)(&self.records[row]) == *key
    }

    #[inline]
    fn key(&self, row: usize) -> K {
        (self.f)(&self.records[row])
    }
}

impl<T, K, F> Keying<Vec<T>> for KeyBy<T, F>
where
    T: Send + 'static,
    K: Key,
    F: Fn(&T) -> K + Shared,
{
    type Key = K;
    type Keys<'a> = MadeKeys<'a, T, F>;

    fn keys<'a>(&'a self, records: &'a Vec<T>) -> Result<Self::Keys<'a>> {
        Ok(MadeKeys { f: &self.f, records })
    }

    fn hashes(&self, records: &Vec<T>, hashes: &mut Vec<u64>) -> Result<()> {
        hashes.extend(records.iter().map(|record| (self.f)(record).hash64()));
        Ok(())
    }
}

/// Keys that a closure points to: `key_by_ref(|tx| &tx.user)`. A key is cloned only when its state is first made.
pub struct KeyByRef<T, F> {
    f: F,
    records: PhantomData<fn(T)>,
}

impl<T, F> KeyByRef<T, F> {
    /// Keys that `f` points to.
    pub fn new<K: Key>(f: F) -> Self
    where
        F: Fn(&T) -> &K,
    {
        Self { f, records: PhantomData }
    }
}

/// The keys of one batch's rows, within them.
pub struct BorrowedKeys<'a, T, F> {
    f: &'a F,
    records: &'a [T],
}

impl<T, K: Key, F: Fn(&T) -> &K> RowKeys<K> for BorrowedKeys<'_, T, F> {
    #[inline]
    fn is(&self, row: usize, key: &K) -> bool {
        (self.f)(&self.records[row]) == key
    }

    #[inline]
    fn key(&self, row: usize) -> K {
        (self.f)(&self.records[row]).clone()
    }
}

impl<T, K, F> Keying<Vec<T>> for KeyByRef<T, F>
where
    T: Send + 'static,
    K: Key,
    F: Fn(&T) -> &K + Shared,
{
    type Key = K;
    type Keys<'a> = BorrowedKeys<'a, T, F>;

    fn keys<'a>(&'a self, records: &'a Vec<T>) -> Result<Self::Keys<'a>> {
        Ok(BorrowedKeys { f: &self.f, records })
    }

    fn hashes(&self, records: &Vec<T>, hashes: &mut Vec<u64>) -> Result<()> {
        hashes.extend(records.iter().map(|record| (self.f)(record).hash64()));
        Ok(())
    }
}
