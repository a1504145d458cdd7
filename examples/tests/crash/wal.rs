//! The newest write-ahead file cut at random bytes: what a disk that lies about its cache leaves behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater::prelude::Random;

use crate::seed::{seed, torture};
use crate::shop::{End, Shop, kill_after, stderr};

fn newest_log(database: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(database).ok()?.map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max()
}

/// Cuts the newest file of the log. Whether there was one.
fn cut(database: &Path, random: &mut Random) -> bool {
    let Some(log) = newest_log(database) else { return false };
    let length = log.metadata().unwrap().len();
    File::options().write(true).open(&log).unwrap().set_len(random.below(length + 1)).unwrap();
    true
}

#[test]
fn a_cut_log_gives_the_right_alerts_or_a_plain_error() {
    let seed = seed("a_cut_log_gives_the_right_alerts_or_a_plain_error");
    let mut random = Random::new(seed, 0);
    let (records, cuts_wanted) = if torture() { (2_000_000, 60) } else { (300_000, 10) };
    let shop = Shop::open(records, records / 50, seed);
    let (mut cuts, mut refused, mut rounds) = (0, 0, 0);
    while cuts < cuts_wanted {
        rounds += 1;
        let place = shop.path(&format!("cut-{rounds}"));
        fs::create_dir(&place).unwrap();
        let ended = loop {
            let child = shop.command(&place, &mut random).spawn().unwrap();
            match kill_after(child, Duration::from_millis(random.below(250) + 20)) {
                End::Itself(output) => break output,
                End::Killed => cuts += u32::from(cut(&place.join("state/db"), &mut random)),
            }
        };
        if ended.status.success() {
            shop.check(&place);
        } else {
            refused += 1;
            let said = stderr(&ended);
            assert_eq!(ended.status.code(), Some(1), "{said}");
            assert!(said.contains("--fresh") || said.contains("restore"), "no remedy: {said}");
        }
        fs::remove_dir_all(&place).unwrap();
    }
    println!("{cuts} cuts in {rounds} runs: {refused} refused with a plain error, all others right");
}
