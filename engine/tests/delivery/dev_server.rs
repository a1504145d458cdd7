//! What the servers that scripts of `dev/` run have in common: a place and ports of their own, and an end with the test,
//! however that ends.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where a server keeps its data, and what ends it.
pub struct DevServer {
    /// The script's name.
    name: &'static str,
    pub port: u16,
    pub data: PathBuf,
    /// Ends the server when its standard input closes: when this is dropped, or when the process has ended in any way.
    reaper: Child,
}

impl DevServer {
    /// One that `dev/NAME` runs and that is not there yet. It has so many ports in a row.
    pub fn stopped(name: &'static str, ports: u16) -> Self {
        let data = tempfile::Builder::new().prefix(&format!("headwater-{name}-")).tempdir().unwrap().keep();
        let kill = format!("read -r _; '{}' kill --data '{1}'; rm -rf '{1}'", script(name).display(), data.display());
        let mut reaper = Command::new("sh");
        reaper.args(["-c", &kill]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { name, port: free_ports(ports), data, reaper: reaper.process_group(0).spawn().unwrap() }
    }

    /// Runs a command of the script on it, and returns what that says.
    #[track_caller]
    pub fn dev(&self, command: &str, flags: &[&str]) -> String {
        let mut dev = Command::new(script(self.name));
        dev.args([command, "--port", &self.port.to_string(), "--data"]).arg(&self.data).args(flags);
        let output = dev.output().unwrap();
        let (name, said) = (self.name, String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "dev/{name} {command} failed: {said}\nThese tests need its server: `dev/setup test` installs what it takes."
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for DevServer {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        self.reaper.wait().unwrap();
    }
}

/// So many in a row below those that the system hands out to outgoing connections, one of which could take one meanwhile.
fn free_ports(count: u16) -> u16 {
    static PORTS: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id() * 48;
    let next = || (10_000 + (first + PORTS.fetch_add(u32::from(count), Ordering::Relaxed)) % 10_000) as u16;
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    std::iter::repeat_with(next).find(|port| (*port..port + count).all(is_free)).unwrap()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("dev").join(name)
}
