//! Small disks.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

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
pub struct Disk {
    pub at: PathBuf,
}

impl Disk {
    pub fn mount(at: &Path, megabytes: u64) -> Self {
        fs::create_dir(at).unwrap();
        let size = format!("size={megabytes}m,mode=0777");
        let mounted = as_root("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        assert!(mounted, "this test mounts a small tmpfs and must be root for it: run `sudo -v && make test`");
        Self { at: at.to_owned() }
    }

    pub fn grow(&self, megabytes: u64) {
        let size = format!("remount,size={megabytes}m");
        assert!(as_root("mount").args(["-o", &size]).arg(&self.at).status().unwrap().success());
    }

    /// Takes all the room that is left, again and again if it must.
    pub fn fill(&self) {
        let mut ballast = OpenOptions::new().create(true).append(true).open(self.ballast()).unwrap();
        for size in [1 << 16, 1] {
            let zeros = vec![0; size];
            while ballast.write_all(&zeros).is_ok() {}
        }
    }

    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        assert!(as_root("umount").arg("-l").arg(&self.at).status().unwrap().success());
    }
}
