//! Timers per key, ordered by time.

use std::collections::{BTreeMap, BTreeSet};

use headwater_state::{Error, Key, LocalState, Namespace, Result, Scan, Shard, State, Table, TableSpec};

use crate::Timestamp;

/// Timers are stored by the second, so that only those of the seconds under way are in memory in order.
const BUCKET_US: i64 = 1_000_000;
/// How many keys of a bucket are read at once.
const READ_MAX: usize = 4096;

/// Timers per key, ordered by time: those of the event time or those of the wall clock. A key has any number, each at
/// another time. They are state: kept across restarts, and moved with their shard.
pub(crate) struct Timers<K> {
    /// Bucket × key → its times, ascending.
    table: State<K, Vec<Timestamp>>,
    shards_total: u16,
    /// Buckets that are only stored, by their ends.
    far: BTreeMap<Timestamp, BTreeSet<Shard>>,
    /// The bucket that is being read.
    reading: Option<(Timestamp, Shard, Scan)>,
    /// Buckets whose timers are in `near`, by their ends.
    read: BTreeMap<Timestamp, BTreeSet<Shard>>,
    /// Time and key bytes of the timers in order.
    near: BTreeMap<(Timestamp, Vec<u8>), K>,
    /// Every bucket that ends by then goes straight to `near`.
    read_through: Timestamp,
}

pub(crate) fn table<K>(name: String) -> Table<K, Vec<Timestamp>> {
    Table::named(name).in_windows()
}

/// What a table of timers holds, as the manifest keeps it.
pub(crate) fn spec<K: Key>(name: String) -> TableSpec {
    table::<K>(name).spec()
}

fn bucket(time: Timestamp) -> Timestamp {
    let end = time.as_micros().div_euclid(BUCKET_US).saturating_add(1).saturating_mul(BUCKET_US);
    Timestamp::from_micros(end)
}

fn namespace(bucket: Timestamp) -> Namespace {
    Namespace::window(bucket.as_micros())
}

fn bytes_of(key: &impl Key) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24);
    key.encode(&mut bytes);
    bytes
}

impl<K: Key> Timers<K> {
    /// Opens the timers kept in the table called `name`.
    pub fn open(name: String, local: &LocalState) -> Result<Self> {
        let table = local.open(table(name));
        let mut far: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (shard, namespace) in table.stored_namespaces()? {
            let end = namespace.end().ok_or_else(|| Error::corrupt("a stored timer has no time"))?;
            far.entry(Timestamp::from_micros(end)).or_default().insert(shard);
        }
        Ok(Self {
            table,
            shards_total: local.shards_total(),
            far,
            reading: None,
            read: BTreeMap::new(),
            near: BTreeMap::new(),
            read_through: Timestamp::MIN,
        })
    }

    /// Sets a timer, unless it is set.
    pub fn set(&mut self, key: &K, time: Timestamp) -> Result<()> {
        let end = bucket(time);
        let mut times = self.table.get(namespace(end), key)?.cloned().unwrap_or_default();
        let Err(at) = times.binary_search(&time) else { return Ok(()) };
        times.insert(at, time);
        self.table.put(namespace(end), key, times)?;
        let shard = Shard::of(key.hash64(), self.shards_total);
        // Past the buckets that are read it waits for its own to be; among them it takes its place at once.
        if end <= self.read_through && self.unread().is_none_or(|unread| end < unread) {
            self.near.insert((time, bytes_of(key)), key.clone());
            self.read.entry(end).or_default().insert(shard);
        } else {
            self.far.entry(end).or_default().insert(shard);
        }
        Ok(())
    }

    /// The end of the first bucket that is not read, or not to its end.
    fn unread(&self) -> Option<Timestamp> {
        let reading = self.reading.as_ref().map(|&(end, ..)| end);
        let far = self.far.first_key_value().map(|(&end, _)| end);
        reading.into_iter().chain(far).min()
    }

    /// The start of the first bucket that is not read.
    fn unread_from(&self) -> Timestamp {
        self.unread().map_or(Timestamp::MAX, |end| Timestamp::from_micros(end.as_micros().saturating_sub(BUCKET_US)))
    }

    /// Takes a timer back. Whether it was set.
    pub fn cancel(&mut self, key: &K, time: Timestamp) -> Result<bool> {
        let end = bucket(time);
        let Some(mut times) = self.table.get(namespace(end), key)?.cloned() else { return Ok(false) };
        let Ok(at) = times.binary_search(&time) else { return Ok(false) };
        times.remove(at);
        if times.is_empty() {
            self.table.delete(namespace(end), key)?;
        } else {
            self.table.put(namespace(end), key, times)?;
        }
        self.near.remove(&(time, bytes_of(key)));
        Ok(true)
    }

    /// The first `limit` timers due at `now`, in order; they stay set. `None` where nothing is due; nothing in `Some`
    /// where more was read and it has to be asked again.
    pub fn due(&mut self, now: Timestamp, limit: usize) -> Result<Option<Vec<(Timestamp, K)>>> {
        let mut budget = READ_MAX;
        loop {
            match self.due_among_read(now, limit)? {
                Some(due) if !due.is_empty() => return Ok(Some(due)),
                Some(_) if budget > 0 => budget = budget.saturating_sub(self.read_slice(budget)?),
                nothing => return Ok(nothing),
            }
        }
    }

    /// As [`due`](Self::due), of what is read. Nothing in `Some` where more has to be read first.
    fn due_among_read(&mut self, now: Timestamp, limit: usize) -> Result<Option<Vec<(Timestamp, K)>>> {
        let unread = self.unread_from();
        let unread_due = self.unread().is_some() && unread <= now;
        let due = self.near.iter().take_while(|((time, _), _)| *time <= now && (!unread_due || *time < unread));
        let due: Vec<_> = due.take(limit).map(|((time, _), key)| (*time, key.clone())).collect();
        if unread_due || !due.is_empty() {
            return Ok(Some(due));
        }
        self.read_through = self.read_through.max(bucket(now));
        self.clean(now)?;
        Ok(None)
    }

    /// Reads up to `limit` keys of the first bucket that is not read. Returns what it cost.
    fn read_slice(&mut self, limit: usize) -> Result<usize> {
        let (end, shard, mut scan) = match self.reading.take() {
            Some(reading) => reading,
            None => {
                let Some(mut first) = self.far.first_entry() else { return Ok(1) };
                let end = *first.key();
                let shard = first.get_mut().pop_first();
                if first.get().is_empty() {
                    first.remove();
                }
                let Some(shard) = shard else { return Ok(1) };
                (end, shard, self.table.scan(shard, namespace(end), None)?)
            }
        };
        let (near, mut keys) = (&mut self.near, 0);
        let more = self.table.scan_next(&mut scan, limit, |key, times| {
            keys += 1;
            let bytes = bytes_of(&key);
            near.extend(times.iter().map(|&time| ((time, bytes.clone()), key.clone())));
            Ok(())
        })?;
        if more {
            self.reading = Some((end, shard, scan));
        } else {
            self.read.entry(end).or_default().insert(shard);
        }
        Ok(keys.max(1))
    }

    /// Forgets buckets that are over and empty.
    fn clean(&mut self, now: Timestamp) -> Result<()> {
        let first = self.near.first_key_value().map_or(Timestamp::MAX, |((time, _), _)| *time);
        let over = now.min(first).min(self.unread_from());
        while let Some(entry) = self.read.first_entry().filter(|entry| *entry.key() <= over) {
            let end = *entry.key();
            for shard in entry.remove() {
                self.table.drop_namespace(shard, namespace(end))?;
            }
        }
        Ok(())
    }

    pub fn maintain(&mut self) {
        self.table.maintain();
    }

    pub fn checkpoint(&mut self) -> Result<()> {
        self.table.checkpoint()
    }
}
