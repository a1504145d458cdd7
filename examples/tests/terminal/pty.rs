//! A terminal for a process that is watched.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::process::{Running, Said};

/// A pseudo-terminal of 80 × 24: both ends.
pub struct Terminal {
    /// The end of whoever sits at it.
    user: OwnedFd,
    /// The end of the process.
    device: OwnedFd,
}

impl Terminal {
    pub fn open() -> Self {
        let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        fcntl_setfd(&user, FdFlags::CLOEXEC).unwrap();
        grantpt(&user).unwrap();
        unlockpt(&user).unwrap();
        let path = ptsname(&user, Vec::new()).unwrap();
        let device = open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&device, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        Self { user, device }
    }

    /// Starts a process with this terminal as its input and outputs. The command is dropped: it holds the terminal open.
    pub fn start(&self, mut command: Command) -> Running {
        let end = || Stdio::from(self.device.try_clone().unwrap());
        Running::start(command.stdin(end()).stdout(end()).stderr(end()))
    }

    /// What is written to it from now on.
    pub fn said(&self) -> Said {
        Said::by(File::from(self.user.try_clone().unwrap()))
    }

    pub fn press(&self, keys: &str) {
        File::from(self.user.try_clone().unwrap()).write_all(keys.as_bytes()).unwrap();
    }

    /// Whether keys go to the process as they are pressed.
    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.device).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Everything that can be set on it.
    pub fn modes(&self) -> String {
        format!("{:?}", tcgetattr(&self.device).unwrap())
    }

    /// Whether it takes no more, because nobody reads.
    pub fn is_full(&self) -> bool {
        let mut wanted = [PollFd::new(&self.device, PollFlags::OUT)];
        poll(&mut wanted, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 0
    }
}
