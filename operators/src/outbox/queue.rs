//! Which item is next: by time, order, priority, and whether anybody answers on its lane. All in memory, rebuilt from the
//! stored items.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use headwater_state::Text;

use crate::Timestamp;

/// Nobody answered on a lane: it is tried again after this, and each time after twice as long.
const LANE_WAIT: Duration = Duration::from_secs(1);
const LANE_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long is waited after so many tries in a row.
fn wait_after(tries: u32) -> Duration {
    LANE_WAIT.saturating_mul(1 << tries.min(5)).min(LANE_WAIT_MAX)
}

/// Where an item stands.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub due: Timestamp,
    pub priority: u8,
    pub lane: Text,
    pub order: Option<Text>,
    /// How often in a row nobody answered to it.
    pub tries: u32,
}

impl Place {
    /// Where it stands among those for which nobody answers: who has asked most goes last, so that one that is never
    /// answered keeps no others waiting.
    fn parked(&self, seq: u64) -> (u32, Reverse<u8>, u64) {
        (self.tries, Reverse(self.priority), seq)
    }
}

/// Ready items: the highest priority first, among them the oldest.
type Ready = BTreeSet<(Reverse<u8>, u64)>;

/// A way on which nobody answers.
#[derive(Default)]
struct Down {
    until: Timestamp,
    tries: u32,
    /// The item that tries whether somebody does.
    probe: Option<u64>,
    parked: BTreeSet<(u32, Reverse<u8>, u64)>,
}

/// The items that wait, in memory: some hundred bytes for each.
#[derive(Default)]
pub(super) struct Queue {
    /// By number, so from the oldest.
    places: BTreeMap<u64, Place>,
    /// Items of one order key, the oldest first: only that one may go.
    orders: HashMap<Text, BTreeSet<u64>>,
    waiting: BTreeSet<(Timestamp, u64)>,
    ready: Ready,
    down: BTreeMap<Text, Down>,
}

impl Queue {
    /// Takes an item. One that `is_under_way` is not given out before it [waits](Self::wait).
    pub fn add(&mut self, seq: u64, place: Place, is_under_way: bool) {
        if let Some(order) = &place.order {
            self.orders.entry(order.clone()).or_default().insert(seq);
        }
        let due = place.due;
        self.places.insert(seq, place);
        if !is_under_way {
            self.wait(seq, due);
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The item that came first.
    pub fn oldest(&self) -> Option<u64> {
        self.places.first_key_value().map(|(&seq, _)| seq)
    }

    /// Lanes on which nobody answers.
    pub fn lanes_down(&self) -> usize {
        self.down.len()
    }

    /// The item is to be given out at `due`, if no other of its order key comes first.
    pub fn wait(&mut self, seq: u64, due: Timestamp) {
        let Some(place) = self.places.get_mut(&seq) else { return };
        place.due = due;
        if let Some(down) = self.down.get_mut(&place.lane) {
            down.probe = down.probe.filter(|probe| *probe != seq);
        }
        let is_first = place.order.as_ref().is_none_or(|order| self.orders[order].first() == Some(&seq));
        if is_first {
            self.waiting.insert((due, seq));
        }
    }

    /// The item is gone, and the next of its order key may go.
    pub fn remove(&mut self, seq: u64) {
        let Some(place) = self.places.remove(&seq) else { return };
        self.waiting.remove(&(place.due, seq));
        self.ready.remove(&(Reverse(place.priority), seq));
        if let Some(down) = self.down.get_mut(&place.lane) {
            down.parked.remove(&place.parked(seq));
            down.probe = down.probe.filter(|probe| *probe != seq);
        }
        let Some(order) = place.order else { return };
        let Some(same) = self.orders.get_mut(&order) else { return };
        same.remove(&seq);
        match same.first().copied() {
            Some(next) => {
                let due = self.places.get(&next).map_or(place.due, |next| next.due);
                self.waiting.insert((due, next));
            }
            None => {
                self.orders.remove(&order);
            }
        }
    }

    /// Gives out the next item that may go at `now`. It waits no more until it is told to.
    pub fn take(&mut self, now: Timestamp) -> Option<u64> {
        while let Some(&(due, seq)) = self.waiting.first().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, seq));
            self.ready.insert((Reverse(self.places[&seq].priority), seq));
        }
        for down in self.down.values_mut() {
            if down.until <= now
                && down.probe.is_none()
                && let Some((.., seq)) = down.parked.pop_first()
            {
                down.probe = Some(seq);
                return Some(seq);
            }
        }
        while let Some((_, seq)) = self.ready.pop_first() {
            let place = &self.places[&seq];
            match self.down.get_mut(&place.lane) {
                Some(down) => {
                    down.parked.insert(place.parked(seq));
                }
                None => return Some(seq),
            }
        }
        None
    }

    /// Puts back what was taken just now and did not go.
    pub fn put_back(&mut self, seq: u64) {
        let Some(place) = self.places.get(&seq) else { return };
        match self.down.get_mut(&place.lane) {
            Some(down) => {
                down.parked.insert(place.parked(seq));
                down.probe = down.probe.filter(|probe| *probe != seq);
            }
            None => {
                self.ready.insert((Reverse(place.priority), seq));
            }
        }
    }

    /// Nobody answered on the item's lane: its items wait until somebody does, and for `at_least`. Whether that is news.
    pub fn unreachable(&mut self, seq: u64, now: Timestamp, at_least: Duration) -> bool {
        let Some(place) = self.places.get_mut(&seq) else { return false };
        // Where others are answered and it is not, it waits by itself.
        place.due = now.plus(wait_after(place.tries).max(at_least));
        place.tries += 1;
        let is_news = !self.down.contains_key(&place.lane);
        let down = self.down.entry(place.lane.clone()).or_default();
        down.parked.insert(place.parked(seq));
        // Others that were under way tell nothing new.
        if is_news || down.probe == Some(seq) {
            let until = now.plus(wait_after(down.tries).max(at_least));
            *down = Down { until, tries: down.tries + 1, probe: None, ..std::mem::take(down) };
        }
        is_news
    }

    /// Somebody answered on the item's lane. Whether that is news.
    pub fn reached(&mut self, seq: u64, now: Timestamp) -> bool {
        let Some(place) = self.places.get_mut(&seq) else { return false };
        place.tries = 0;
        let Some(down) = self.down.remove(&place.lane) else { return false };
        for (_, priority, seq) in down.parked {
            let due = self.places[&seq].due;
            if due > now {
                self.waiting.insert((due, seq));
            } else {
                self.ready.insert((priority, seq));
            }
        }
        true
    }
}
