//! How many dead letters nothing was done about, and since when.

use headwater_operators::Timestamp;
use serde::{Deserialize, Serialize};

/// So many groups of letters are told apart by their time.
const GROUPS_MAX: usize = 64;

/// The letters that were neither redriven nor dropped, by the commit that wrote them, the oldest first. Where there would
/// be too many groups, the two that are nearest to each other become one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OpenLetters(Vec<Group>);

/// Letters of one commit, or of some that were near to each other; times in microseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    first: i64,
    last: i64,
    number: u64,
}

impl OpenLetters {
    /// So many were written by a commit at `now`.
    pub fn written(&mut self, number: u64, now: i64) {
        if number == 0 {
            return;
        }
        match self.0.last_mut() {
            Some(group) if group.last >= now => group.number += number,
            _ => self.0.push(Group { first: now, last: now, number }),
        }
        let pairs = 0..self.0.len().saturating_sub(1);
        let gap = |&at: &usize| self.0[at + 1].last - self.0[at].first;
        if let Some(at) = pairs.min_by_key(gap).filter(|_| self.0.len() > GROUPS_MAX) {
            let next = self.0.remove(at + 1);
            self.0[at].last = next.last;
            self.0[at].number += next.number;
        }
    }

    /// Something was done about one that was written at `written`.
    pub fn settled(&mut self, written: i64) {
        // Its commit came no earlier.
        let later = self.0.partition_point(|group| group.last < written);
        let at = later.min(self.0.len().saturating_sub(1));
        if let Some(group) = self.0.get_mut(at) {
            group.number -= 1;
            if group.number == 0 {
                self.0.remove(at);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|group| group.number).sum()
    }

    /// Since when the oldest waits: of a group of several commits, since the first of them.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.0.first().map(|group| Timestamp::from_micros(group.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(groups: &[(i64, u64)]) -> OpenLetters {
        let mut open = OpenLetters::default();
        groups.iter().for_each(|(at, number)| open.written(*number, *at));
        open
    }

    #[test]
    fn the_oldest_is_the_oldest_that_is_left() {
        let mut open = open(&[(10, 2), (20, 0), (30, 1), (40, 3)]);
        assert_eq!((open.len(), open.oldest()), (6, Some(Timestamp::from_micros(10))));
        open.settled(28);
        open.settled(9);
        assert_eq!((open.len(), open.oldest()), (4, Some(Timestamp::from_micros(10))));
        open.settled(10);
        assert_eq!((open.len(), open.oldest()), (3, Some(Timestamp::from_micros(40))));
        (0..4).for_each(|_| open.settled(41));
        assert_eq!((open.len(), open.oldest()), (0, None));
    }

    #[test]
    fn what_is_kept_is_bounded_and_no_age_is_too_small() {
        let mut open = open(&(0..1000).map(|at| (at * at, 1)).collect::<Vec<_>>());
        assert_eq!((open.len(), open.0.len()), (1000, GROUPS_MAX));
        for at in 0..999_i64 {
            open.settled(at * at);
            let (first, last, truth) = (open.0[0].first, open.0[0].last, (at + 1) * (at + 1));
            assert!(first <= truth && truth <= last, "{truth}, and {first} to {last}");
        }
        assert_eq!(open.len(), 1);
    }
}
