//! A full disk: the job stops and says so, and goes on when there is room.

use headwater::prelude::Random;

use crate::mount::Disk;
use crate::seed::{seed, torture};
use crate::shop::{Shop, stderr};

#[test]
fn a_full_disk_stops_the_job_without_loss() {
    let seed = seed("a_full_disk_stops_the_job_without_loss");
    let mut random = Random::new(seed, 0);
    let (records, rounds) = if torture() { (2_000_000, 10) } else { (400_000, 2) };
    let shop = Shop::open(records, records / 12, seed);
    let mut full = 0;
    for round in 0..rounds {
        let place = shop.path(&format!("disk-{round}"));
        // Outputs alone are most of a megabyte: the first round is full for certain.
        let mut megabytes = if round == 0 { 1 } else { 1 + random.below(3) };
        let disk = Disk::mount(&place, megabytes);
        loop {
            let output = shop.command(&place, &mut random).output().unwrap();
            if output.status.success() {
                break;
            }
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("disk full") || said.contains("disk is full"), "{said}");
            full += 1;
            println!("round {round}, {megabytes} MB: {}", said.trim());
            megabytes += megabytes / 2 + 1;
            disk.grow(megabytes);
            assert!(megabytes < 4_000, "it never has enough: {said}");
        }
        shop.check(&place);
    }
    assert!(full > 0, "the disk was never full");
    println!("{full} full disks in {rounds} runs, the alerts are right");
}
