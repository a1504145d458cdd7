//! A full disk: the job stops and says so, and goes on when there is room.

use std::fs;
use std::path::Path;
use std::process::Command;

use headwater::prelude::Random;

use crate::shop::{Shop, seed, stderr, torture};

/// A command as root: by sudo, if it asks for nothing, where this is somebody else.
fn as_root(program: &str) -> Command {
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout.trim_ascii() == b"0" {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// A small file system, unmounted at the end.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    fn mount(at: &'a Path, megabytes: u64) -> Self {
        fs::create_dir(at).unwrap();
        let size = format!("size={megabytes}m,mode=0777");
        let mounted = as_root("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        assert!(mounted, "this test mounts a small tmpfs and must be root for it: run `sudo -v && make test`");
        Self(at)
    }

    fn grow(&self, megabytes: u64) {
        let size = format!("remount,size={megabytes}m");
        assert!(as_root("mount").args(["-o", &size]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        assert!(as_root("umount").arg("-l").arg(self.0).status().unwrap().success());
    }
}

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
