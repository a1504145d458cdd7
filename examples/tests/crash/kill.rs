//! kill -9, at random moments and inside the writing of tables.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use headwater::prelude::Random;

use crate::seed::{seed, torture};
use crate::shop::{End, Shop, kill_after, stderr};

/// Whether a commit has been made that later ones follow: an output is there.
fn committed(place: &Path) -> bool {
    fs::metadata(place.join("alerts.jsonl")).is_ok_and(|metadata| metadata.len() > 0)
}

#[test]
fn killed_between_first_and_last_commit() {
    let seed = seed("killed_between_first_and_last_commit");
    let (records, kills_wanted) = if torture() { (20_000_000, 150) } else { (600_000, 12) };
    let mut random = Random::new(seed, 0);
    let shop = Shop::open(records, records / 40, seed);
    let clean = shop.path("clean");
    fs::create_dir(&clean).unwrap();
    let began = Instant::now();
    shop.finish(&clean, &mut random);
    let clean_run = began.elapsed();
    shop.check(&clean);

    let (mut kills, mut rounds) = (0, 0);
    // How long a process lives at most: shorter and shorter, until enough are killed before they end by themselves.
    let mut life = clean_run.as_millis() as u64 / 4 + 100;
    while kills < kills_wanted {
        let place = shop.path(&format!("killed-{rounds}"));
        fs::create_dir(&place).unwrap();
        let before = kills;
        loop {
            let child = shop.command(&place, &mut random).spawn().unwrap();
            if let End::Itself(output) = kill_after(child, Duration::from_millis(random.below(life) + 1)) {
                assert!(output.status.success(), "{}", stderr(&output));
                break;
            }
            kills += u64::from(committed(&place));
        }
        shop.check(&place);
        rounds += 1;
        if kills < before + 3 {
            life = life * 2 / 3 + 20;
        }
        fs::remove_dir_all(&place).unwrap();
        assert!(rounds < 200, "only {kills} kills between first and last commit");
    }
    println!(
        "{kills} kills between first and last commit, {rounds} times {} records: {} alerts each time, as in a clean \
         run and in an independent count",
        shop.records,
        shop.expected.len()
    );
}

#[test]
fn killed_inside_writes_of_tables_and_trims() {
    let seed = seed("killed_inside_writes_of_tables_and_trims");
    let mut random = Random::new(seed, 0);
    let records = if torture() { 2_000_000 } else { 1_000_000 };
    let shop = Shop::open(records, records / 12, seed);
    let points = headwater::state::CRASH_POINTS;
    assert!(points.len() >= 6, "{points:?}");
    for point in points {
        let place = shop.path(point);
        fs::create_dir(&place).unwrap();
        let mut hits = 0;
        for nth in [1, 2, 5] {
            let mut command = shop.command_with(&place, &mut random, "24MB", "5ms");
            let output = command.env("HEADWATER_CRASH", format!("{point}:{nth}")).output().unwrap();
            hits += u32::from(!output.status.success());
            assert!(output.status.success() || output.status.code().is_none(), "{point}: {}", stderr(&output));
        }
        assert!(hits > 0, "{point} was never reached");
        shop.finish(&place, &mut random);
        shop.check(&place);
        println!("{point}: {hits} crashes, the alerts are right");
    }
}
