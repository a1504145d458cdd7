//! How far each shard's windows are closed.

use std::collections::BTreeSet;
use std::ops::Bound;

use headwater_state::{Error, LocalState, Namespace, Note, Result, Shard};

use crate::Timestamp;

/// How far the windows of a worker's shards are closed.
pub(crate) struct Progress {
    /// In the order of the worker's shards.
    pub shards: Vec<ShardProgress>,
    /// Shard → its place in `shards`.
    places: Vec<u16>,
    /// The input watermark of every shard, unless they differ.
    watermark: Timestamp,
    /// Shards that came from different workers stand at different watermarks until time has passed them all.
    differ: bool,
    allowed_us: i64,
}

/// How far the windows of one shard are closed.
pub(crate) struct ShardProgress {
    pub shard: Shard,
    /// The input watermark: what lateness is judged by. Never goes back.
    pub watermark: Timestamp,
    /// Every window that ends by then has emitted what its close emits.
    pub closed: Timestamp,
    /// The window whose close is under way, and the bytes of the last key emitted.
    pub partial: Option<(Timestamp, Vec<u8>)>,
    /// The ends of the windows that have panes.
    pub open: BTreeSet<Timestamp>,
}

/// What a shard has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Emit the panes of the window that ends then.
    Close(Timestamp),
    /// Forget the window that ends then.
    Drop(Timestamp),
}

impl Progress {
    /// How far the last commit was, with the windows that `stored` lists.
    pub fn restored(
        operator: &str,
        local: &LocalState,
        stored: Vec<(Shard, Namespace)>,
        allowed_us: i64,
    ) -> Result<Self> {
        let mut places = vec![0; usize::from(local.shards_total())];
        let mut shards = Vec::with_capacity(local.shards().len());
        for (place, &shard) in (0..).zip(local.shards()) {
            places[usize::from(shard.0)] = place;
            shards.push(ShardProgress::restored(operator, local, shard)?);
        }
        for (shard, namespace) in stored {
            let end = namespace.end().ok_or_else(|| Error::corrupt(format!("a pane of {operator} has no window")))?;
            let place = usize::from(places[usize::from(shard.0)]);
            shards[place].open.insert(Timestamp::from_micros(end));
        }
        let mut progress = Self { shards, places, watermark: Timestamp::MIN, differ: false, allowed_us };
        progress.compare();
        Ok(progress)
    }

    /// Moves every shard's watermark up to `watermark`.
    pub fn advance(&mut self, watermark: Timestamp, emits_at_close: bool) {
        for shard in &mut self.shards {
            shard.watermark = shard.watermark.max(watermark);
            if !emits_at_close {
                shard.closed = shard.watermark;
            }
        }
        self.compare();
    }

    fn compare(&mut self) {
        let mut watermarks = self.shards.iter().map(|shard| shard.watermark);
        let first = watermarks.next().unwrap_or(Timestamp::MIN);
        self.differ = watermarks.any(|watermark| watermark != first);
        self.watermark = first;
    }

    /// The watermark that every shard has, unless they differ.
    pub fn common_watermark(&self) -> Option<Timestamp> {
        (!self.differ).then_some(self.watermark)
    }

    /// The input watermark of the shard of the key with this hash.
    #[inline]
    pub fn watermark(&self, hash: u64) -> Timestamp {
        if self.differ { self.shards[self.place(hash)].watermark } else { self.watermark }
    }

    /// The place of the shard of the key with this hash.
    #[inline]
    pub fn place(&self, hash: u64) -> usize {
        usize::from(self.places[usize::from(Shard::of(hash, self.places.len() as u16).0)])
    }

    /// Whether the watermark of a shard has reached the window's end.
    pub fn has_passed(&self, shard: Shard, end: Timestamp) -> bool {
        let place = usize::from(self.places[usize::from(shard.0)]);
        self.shards.get(place).is_some_and(|shard| end <= shard.watermark)
    }

    /// The end of the last window that is gone at `watermark`.
    #[inline]
    pub fn gone(&self, watermark: Timestamp) -> Timestamp {
        if watermark == Timestamp::MAX {
            return watermark;
        }
        Timestamp::from_micros(watermark.as_micros().saturating_sub(self.allowed_us))
    }

    /// Remembers that the window has a pane in the shard of the key with this hash.
    pub fn opened(&mut self, hash: u64, end: Timestamp) {
        let place = self.place(hash);
        self.shards[place].open.insert(end);
    }

    /// What the shard at `place` has to do next.
    pub fn step(&mut self, place: usize) -> Option<Step> {
        let shard = self.shards.get(place)?;
        let gone = self.gone(shard.watermark);
        if let Some(&end) = shard.open.first()
            && end <= gone.min(shard.closed)
        {
            return Some(Step::Drop(end));
        }
        let shard = &mut self.shards[place];
        let due = (Bound::Excluded(shard.closed), Bound::Included(shard.watermark));
        // The range of an empty stretch of time would panic.
        let next = (shard.closed < shard.watermark).then(|| shard.open.range(due).next().copied()).flatten();
        match next {
            Some(end) => Some(Step::Close(end)),
            None => {
                shard.closed = shard.watermark;
                None
            }
        }
    }

    /// Keeps it with this epoch: a note per shard.
    pub fn note(&self, operator: &str, local: &LocalState) {
        let open: BTreeSet<Timestamp> = self.shards.iter().flat_map(|shard| &shard.open).copied().collect();
        local.set_gauge("open windows", operator, open.len() as i64);
        for shard in &self.shards {
            local.note(Note { operator: operator.to_owned(), scope: shard.scope(), text: shard.text() });
        }
    }
}

impl ShardProgress {
    fn restored(operator: &str, local: &LocalState, shard: Shard) -> Result<Self> {
        let mut progress =
            Self { shard, watermark: Timestamp::MIN, closed: Timestamp::MIN, partial: None, open: BTreeSet::new() };
        let scope = progress.scope();
        let Some(note) = local.restored(operator).find(|note| note.scope == scope) else { return Ok(progress) };
        progress
            .read(&note.text)
            .ok_or_else(|| Error::corrupt(format!("note of {operator} on {scope} cannot be read: {}", note.text)))?;
        Ok(progress)
    }

    fn scope(&self) -> String {
        format!("shard {}", self.shard)
    }

    /// `WATERMARK CLOSED [END KEY]`: microseconds, and the key's bytes in hexadecimal.
    fn text(&self) -> String {
        let mut text = format!("{} {}", self.watermark.as_micros(), self.closed.as_micros());
        if let Some((end, key)) = &self.partial {
            text.push_str(&format!(" {} ", end.as_micros()));
            text.extend(key.iter().map(|byte| format!("{byte:02x}")));
        }
        text
    }

    fn read(&mut self, text: &str) -> Option<()> {
        let mut words = text.split(' ');
        let mut time = || words.next()?.parse().ok().map(Timestamp::from_micros);
        (self.watermark, self.closed) = (time()?, time()?);
        if let Some(end) = time() {
            self.partial = Some((end, bytes_of(words.next()?)?));
        }
        Some(())
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = |at: usize| hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    (0..hex.len()).step_by(2).map(digits).collect()
}
