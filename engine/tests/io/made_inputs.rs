//! Generators, memory and channels.

use std::time::Duration;

use headwater::Kind;
use headwater::source::{Generator, Poll, Random, Records, Source, channel};

use super::{Folder, poll, rest};

fn make(n: u64, random: &mut Random) -> (u64, u64) {
    (n, random.any())
}

#[test]
fn a_generator_makes_the_same_records_from_every_position() {
    let generator = Generator::new(1, make).count(50);
    let all = rest(generator.open("0", None).unwrap().as_mut()).unwrap();
    assert_eq!(all.len(), 50);
    for stop in 0..=50 {
        let mut partition = generator.open("0", None).unwrap();
        let (before, _) = poll(partition.as_mut(), stop).unwrap();
        assert_eq!(before, all[..stop]);
        let mut reopened = generator.open("0", Some(&partition.position())).unwrap();
        assert_eq!(rest(reopened.as_mut()).unwrap(), all[stop..]);
    }
    let other = rest(Generator::new(2, make).count(50).open("0", None).unwrap().as_mut()).unwrap();
    assert!(all.iter().zip(&other).all(|(one, two)| one.1 != two.1));
}

#[test]
fn partitions_divide_a_generators_records() {
    let whole = rest(Generator::new(1, make).count(50).open("0", None).unwrap().as_mut()).unwrap();
    for count in [1, 3, 50, 60] {
        let generator = Generator::new(1, make).count(50).partitions(count);
        let names = Source::partitions(&generator).unwrap();
        assert_eq!(names.len() as u64, count);
        let open = |name: &String| rest(generator.open(name, None).unwrap().as_mut()).unwrap();
        let mut together: Vec<_> = names.iter().flat_map(open).collect();
        together.sort_unstable();
        assert_eq!(together, whole);
    }
}

#[test]
fn a_generator_with_another_seed_is_not_the_one_that_was_read() {
    let mut read = Generator::new(1, make).open("0", None).unwrap();
    poll(read.as_mut(), 10).unwrap();
    let position = read.position();
    let expected = "generator has seed 2 and 1 partitions, and what was read came from seed 1 and 1 partitions: set \
                    them as they were, or start over with --fresh";
    Folder::new().assert_config(Generator::new(2, make).open("0", Some(&position)), expected);
    assert!(Generator::new(1, make).partitions(2).open("0", Some(&position)).is_err());
}

#[test]
fn a_rate_makes_the_job_wait() {
    let generator = Generator::new(1, make).rate(0.001);
    let mut partition = generator.open("0", None).unwrap();
    assert_eq!(poll(partition.as_mut(), 10).unwrap(), (vec![], Poll::Wait(Duration::from_secs(1))));
    assert_eq!(generator.describe(), "generator with seed 1, 0.001 records/s");

    let mut fast = Generator::new(1, make).rate(1e9).count(100).open("0", None).unwrap();
    let mut records = Vec::new();
    while records.len() < 100 {
        records.extend(poll(fast.as_mut(), 1000).unwrap().0);
    }
    assert_eq!(poll(fast.as_mut(), 1000).unwrap(), (vec![], Poll::End));
}

#[test]
fn memory_is_read_from_every_position() {
    let source = Records::partitions(vec![vec![1, 2, 3], vec![], vec![4]]);
    assert_eq!(source.partitions().unwrap(), ["0", "1", "2"]);
    assert_eq!(source.describe(), "4 records in memory");
    assert_eq!(rest(source.open("0", Some("1")).unwrap().as_mut()).unwrap(), [2, 3]);
    assert_eq!(rest(source.open("1", None).unwrap().as_mut()).unwrap(), [0; 0]);
    let expected = "input in memory has 3 records, and 4 were read: give all of them, or start over with --fresh";
    Folder::new().assert_config(source.open("0", Some("4")), expected);
    assert_eq!(source.open("0", Some("x")).err().unwrap().kind(), Kind::Config);
}

#[test]
fn a_channel_is_quiet_then_full_then_at_its_end_and_can_be_read_again() {
    let (feed, source) = channel();
    let mut partition = source.open("0", None).unwrap();
    assert_eq!(poll(partition.as_mut(), 2).unwrap(), (vec![], Poll::Quiet));
    feed.send(1..=3);
    assert_eq!(poll(partition.as_mut(), 2).unwrap(), (vec![1, 2], Poll::Records));
    let position = partition.position();
    feed.send([4]);
    feed.close();
    assert_eq!(rest(partition.as_mut()).unwrap(), [3, 4]);
    assert_eq!(rest(source.open("0", Some(&position)).unwrap().as_mut()).unwrap(), [3, 4]);
    let expected = "channel was sent 4 records, and 5 were read: send them again first, or start over with --fresh";
    Folder::new().assert_config(source.open("0", Some("5")), expected);
}
