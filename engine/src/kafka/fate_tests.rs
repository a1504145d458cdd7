//! What is told of a commit by what stands at the ends of shards.

use super::super::marker::{VERSION, digest};
use super::*;

const WRITER: &str = "j/a";
const COPIES: &str = "j//copies";

fn token(epoch: u64, attempt: &str) -> Token {
    Token { epoch, attempt: attempt.to_owned(), owner: WRITER.to_owned() }
}

fn block(number: u8) -> Vec<u8> {
    vec![BLOCK, 0, 0, 0, 0, number]
}

/// Of a commit in these shards.
fn marker(token: &Token, shards: &[u16], blocks: &[Vec<u8>]) -> Vec<u8> {
    let blocks: Vec<Block> =
        blocks.iter().map(|bytes| Block { shard: Shard(0), bytes: Arc::from(&bytes[1..]) }).collect();
    let marker = Marker {
        v: VERSION,
        job: "1".to_owned(),
        token: token.clone(),
        blocks: blocks.len() as u32,
        digest: digest(&blocks),
        shards: shards.to_vec(),
        log_bytes: 0,
        since: 1,
        record: None,
        outputs: None,
        earlier: None,
        manifest: None,
    };
    marker.write().unwrap()
}

/// A shard's end from offset 10 on, that has ended up to `stable`, and of which these places are committed.
fn tail(records: &[(&str, Vec<u8>)], stable: usize, seen: &[usize]) -> Tail {
    let stored = |(at, (key, value)): (usize, &(&str, Vec<u8>))| Stored {
        offset: 10 + at as i64,
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.clone()),
        ..Stored::default()
    };
    let records = records.iter().enumerate().map(stored).collect();
    Tail { stable: 10 + stable as i64, records, seen: seen.iter().map(|at| 10 + *at as i64).collect() }
}

/// What stands behind the last commit of a shard: records, how many have ended, and which are committed.
type End<'a> = (&'a [Vec<u8>], usize, &'a [usize]);

/// Of two shards, the last commit of which is the 6th.
fn fate(group_is_open: bool, ends: [End<'_>; 2]) -> Fate {
    let last = token(6, "last");
    let committed = vec![Some((last.clone(), 11)); 2];
    let shard = |(records, stable, seen): End<'_>| {
        let first = (WRITER, marker(&last, &[0, 1], &[]));
        let records: Vec<_> = [first].into_iter().chain(records.iter().map(|value| (WRITER, value.clone()))).collect();
        let seen: Vec<usize> = [0].into_iter().chain(seen.iter().map(|at| at + 1)).collect();
        tail(&records, stable + 1, &seen)
    };
    let shards = (0..).zip(ends.map(shard)).collect();
    Tails { committed: &committed, group_is_open, copies: COPIES, shards }.fate()
}

#[test]
fn a_commit_that_anybody_has_seen_is_done() {
    let next = token(7, "one");
    let both = marker(&next, &[0, 1], &[]);
    let whole = std::slice::from_ref(&both);
    for group_is_open in [false, true] {
        assert_eq!(fate(group_is_open, [(whole, 1, &[0]), (whole, 0, &[])]), Fate::Done(next.clone()));
        assert_eq!(fate(group_is_open, [(whole, 1, &[0]), (whole, 1, &[0])]), Fate::Done(next.clone()));
        // A part that was seen and one that is not there do not go together.
        let torn = fate(group_is_open, [(whole, 1, &[0]), (&[], 0, &[])]);
        assert!(matches!(torn, Fate::Unclear(_)), "{torn:?}");
    }
}

#[test]
fn a_commit_that_was_never_whole_or_is_aborted_anywhere_is_undone() {
    let next = token(7, "one");
    let both = marker(&next, &[0, 1], &[]);
    let whole = std::slice::from_ref(&both);
    for group_is_open in [false, true] {
        assert_eq!(fate(group_is_open, [(&[], 0, &[]), (&[], 0, &[])]), Fate::Undone);
        assert_eq!(fate(group_is_open, [(whole, 0, &[]), (&[], 0, &[])]), Fate::Undone, "no second part");
        assert_eq!(fate(group_is_open, [(whole, 1, &[]), (whole, 0, &[])]), Fate::Undone, "one part is aborted");
        let no_block = [marker(&next, &[0, 1], &[block(1)])];
        assert_eq!(fate(group_is_open, [(&no_block, 0, &[]), (whole, 0, &[])]), Fate::Undone, "a block is missing");
    }
}

#[test]
fn a_whole_commit_that_hangs_everywhere_may_become_either() {
    let next = token(7, "one");
    let both = marker(&next, &[0, 1], &[]);
    let whole = std::slice::from_ref(&both);
    assert_eq!(fate(true, [(whole, 0, &[]), (whole, 0, &[])]), Fate::Whole(next.clone()));
    // The group's offsets have ended without it.
    assert_eq!(fate(false, [(whole, 0, &[]), (whole, 0, &[])]), Fate::Undone);
    // A copy that nobody has committed says nothing.
    let is_copied = |group_is_open| {
        let committed = vec![Some((token(6, "last"), 10)); 2];
        let one = tail(&[(WRITER, both.clone())], 1, &[0]);
        let two = tail(&[(WRITER, both.clone()), (COPIES, both.clone())], 2, &[0]);
        let shards = BTreeMap::from([(0, one), (1, two)]);
        Tails { committed: &committed, group_is_open, copies: COPIES, shards }.fate()
    };
    assert_eq!(is_copied(true), Fate::Done(next.clone()));
    // An attempt before it was aborted.
    let zero = marker(&token(7, "zero"), &[0, 1], &[]);
    let after = [zero.clone(), both.clone()];
    assert_eq!(fate(true, [(&after, 1, &[]), (&after, 1, &[])]), Fate::Whole(next));
    // Or hangs as well.
    let two = fate(true, [(&after, 0, &[]), (&after, 0, &[])]);
    assert!(matches!(two, Fate::Unclear(_)), "{two:?}");
    assert_eq!(fate(false, [(&after, 0, &[]), (&after, 0, &[])]), Fate::Undone);
}

/// What is to be done about a shard with these records, where a commit is to stay of which the group knows a marker that
/// ends at a place.
fn part_known(records: &[(&str, Vec<u8>)], stable: usize, behind: usize) -> Part {
    let one = token(7, "one");
    let committed = vec![None, None, None, Some((one.clone(), 10 + behind as i64))];
    let shards = BTreeMap::from([(3, tail(records, stable, &[]))]);
    Tails { committed: &committed, group_is_open: false, copies: COPIES, shards }.part(3, &one)
}

/// The same where the last record is the marker.
fn part(records: &[(&str, Vec<u8>)], stable: usize) -> Part {
    part_known(records, stable, records.len())
}

#[test]
fn a_whole_part_of_a_commit_is_copied_once() {
    let (blocks, one) = ([block(1), block(2)], token(7, "one"));
    let whole = [(WRITER, block(1)), (WRITER, block(2)), (WRITER, marker(&one, &[3], &blocks))];
    let Part::Open(records) = part(&whole, 0) else { panic!("{:?}", part(&whole, 0)) };
    assert_eq!(records, whole.clone().map(|(_, value)| value));
    // It was aborted, with another transaction, though the group knows it.
    assert!(matches!(part(&whole, 3), Part::Lost(records) if records.len() == 3));
    // An attempt that was aborted hangs before it.
    let before = [&[(WRITER, block(3)), (WRITER, marker(&token(7, "zero"), &[3], &[block(3)]))][..], &whole].concat();
    assert!(matches!(part(&before, 0), Part::Open(records) if records.len() == 3));
    let copy = whole.clone().map(|(_, value)| (COPIES, value));
    let copied = [whole.clone(), copy].concat();
    assert!(matches!(part(&copied, 0), Part::Copied));
    // Somebody has aborted a copy that hung.
    assert!(matches!(part(&copied, 6), Part::Lost(records) if records.len() == 3));
    // One that the group does not know is not committed.
    assert!(matches!(part_known(&copied, 0, 3), Part::Open(records) if records.len() == 3));
}

#[test]
fn a_part_is_lost_where_the_group_knows_it_and_nobody_sees_it() {
    let (one, two) = (token(7, "one"), token(8, "two"));
    let committed = vec![Some((one.clone(), 11))];
    let markers = [(WRITER, marker(&one, &[0], &[])), (WRITER, marker(&two, &[0], &[]))];
    let told = |stable, seen: &[usize]| {
        let shards = BTreeMap::from([(0, tail(&markers, stable, seen))]);
        let tails = Tails { committed: &committed, group_is_open: false, copies: COPIES, shards };
        (tails.is_lost(0, 11), tails.part(0, &one))
    };
    assert!(matches!(told(2, &[]), (true, Part::Lost(records)) if records.len() == 1));
    assert!(matches!(told(2, &[0]), (false, Part::Ended)));
    assert!(matches!(told(0, &[]), (false, Part::Open(_))));
}

#[test]
fn what_is_seen_of_a_commit_is_committed_though_other_parts_were_aborted() {
    let next = token(7, "one");
    let both = marker(&next, &[0, 1], &[]);
    let (whole, aborted) = (std::slice::from_ref(&both), &[][..]);
    assert_eq!(fate(false, [(whole, 1, &[0]), (whole, 1, aborted)]), Fate::Done(next));
    assert_eq!(fate(false, [(whole, 1, aborted), (whole, 1, aborted)]), Fate::Undone);
}

#[test]
fn a_part_that_is_not_clear_is_left_alone() {
    let (one, blocks) = (token(7, "one"), [block(1)]);
    let (block, whole) = (block(1), marker(&one, &[3], &blocks));
    let is_unclear = |records: &[(&str, Vec<u8>)]| matches!(part(records, 0), Part::Unclear);
    assert!(is_unclear(&[]));
    assert!(is_unclear(&[(WRITER, block.clone())]), "no marker");
    assert!(is_unclear(&[(WRITER, block.clone()), (WRITER, marker(&token(7, "two"), &[3], &blocks))]), "another one");
    assert!(is_unclear(&[(WRITER, whole.clone())]), "no block");
    assert!(is_unclear(&[("j/b", block.clone()), (WRITER, whole.clone())]), "another writer's");
    assert!(is_unclear(&[(WRITER, block.clone()), ("j/b", whole.clone())]), "another writer's");
    let earlier = (WRITER, marker(&token(6, "one"), &[3], &[]));
    assert!(is_unclear(&[earlier, (WRITER, block), (WRITER, whole)]), "the commit before it hangs, too");
}
