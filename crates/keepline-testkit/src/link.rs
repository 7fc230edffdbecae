//! A link between two networks of the kernel's that can fall silent: packets are lost, and nobody is
//! told.
//!
//! Loopback loses nothing, and a process that stops reading still has a kernel that acknowledges.
//! What TCP does about a peer that has vanished is seen only where packets really go nowhere. Both
//! ends are network namespaces of their own with the same addresses everywhere, so that no test
//! meets another one or the machine's network. It needs Linux, `ip` and the rights of root; who has
//! them not is told that the test is skipped.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use std::{env, process, thread};

use std::os::fd::AsFd;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{PATIENCE, peers};

/// The address of [`Link::there`].
const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The address of [`Link::here`].
const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// An address on the link that nobody has: what is sent to it is dropped by whoever receives it.
const NOBODY: &str = "02:00:00:00:00:01";

/// Two network namespaces and the only link between them. Dropping it removes all three.
#[derive(Debug)]
pub struct Link {
    ip: PathBuf,
    here: String,
    there: String,
}

impl Link {
    /// Makes one, or prints why the running test is skipped: there is no `ip`, or no right to do so.
    ///
    /// # Panics
    ///
    /// If this machine could, something went wrong, and `KEEPLINE_REQUIRE_PEERS=1`.
    #[must_use]
    #[track_caller]
    pub fn require() -> Option<Self> {
        let caller = Location::caller();
        let ip = peers::require("ip")?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("keepline-{}-{number}-{end}", process::id());
        let link = Self {
            ip,
            here: name("here"),
            there: name("there"),
        };
        match link.set_up() {
            Ok(()) => Some(link),
            Err(error) => {
                let may_not = ["not permitted", "ermission denied"];
                let may_not = may_not.iter().any(|words| error.contains(words));
                peers::skip(caller, &format!("network namespaces ({error})"), !may_not);
                None
            }
        }
    }

    fn set_up(&self) -> Result<(), String> {
        let Self { ip, here, there } = self;
        run(ip, &format!("netns add {here}"))?;
        run(ip, &format!("netns add {there}"))?;
        run(
            ip,
            &format!("-n {here} link add v0 type veth peer name v0 netns {there}"),
        )?;
        for (end, address) in [(here, HERE), (there, THERE)] {
            run(ip, &format!("-n {end} address add {address}/30 dev v0"))?;
            run(ip, &format!("-n {end} link set lo up"))?;
            run(ip, &format!("-n {end} link set v0 up"))?;
        }
        // The kernel notices a carrier by and by, and loses what is sent before.
        let started = Instant::now();
        while ![here, there].into_iter().all(|end| self.is_up(end)) {
            if started.elapsed() > PATIENCE {
                return Err("the link does not come up".to_owned());
            }
            thread::yield_now();
        }
        Ok(())
    }

    fn is_up(&self, end: &str) -> bool {
        run(&self.ip, &format!("-n {end} -o link show dev v0"))
            .is_ok_and(|told| told.contains("state UP"))
    }

    /// From now on whatever is sent over the link goes to nobody, in both directions. The link stays
    /// up: neither end is told of anything.
    ///
    /// # Panics
    ///
    /// If that cannot be set.
    pub fn fall_silent(&self) {
        for (end, neighbour) in [(&self.here, THERE), (&self.there, HERE)] {
            let told = format!(
                "-n {end} neighbour replace {neighbour} lladdr {NOBODY} dev v0 nud permanent"
            );
            run(&self.ip, &told).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// A socket that listens at the far end, on a port of the kernel's choice.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn listen_there(&self) -> TcpListener {
        let bind = || TcpListener::bind(SocketAddr::new(IpAddr::V4(THERE), 0));
        within_namespace(&self.there, bind)
            .unwrap_or_else(|error| panic!("nothing can listen at {THERE}: {error}"))
    }

    /// Runs `work` on a thread of its own whose sockets, and those of the threads that it starts, are
    /// at the near end. What it panics with, this panics with.
    ///
    /// # Panics
    ///
    /// If the thread cannot be moved there.
    pub fn run_here<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within_namespace(&self.here, work)
    }

    /// A command that runs `program` at the near end.
    #[must_use]
    pub fn command_here(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.here]);
        command.arg(program.as_ref());
        command
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for end in [&self.here, &self.there] {
            // It may not be there: not everybody has the right to make it.
            let _ = run(&self.ip, &format!("netns delete {end}"));
        }
    }
}

/// Runs `ip` with these words.
fn run(ip: &Path, words: &str) -> Result<String, String> {
    let output = Command::new(ip)
        .args(words.split(' '))
        .output()
        .map_err(|error| format!("{}: {error}", ip.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("ip {words}: {}", said.trim())),
    }
}

/// Where `ip netns` keeps its namespaces.
fn directory() -> PathBuf {
    env::var_os("IP_NETNS_DIR").map_or_else(|| "/run/netns".into(), PathBuf::from)
}

fn within_namespace<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    let path = directory().join(name);
    // It keeps its name, by which a test that is skipped within it is told.
    let test = thread::current().name().unwrap_or("linked").to_owned();
    thread::scope(|scope| {
        let moved = thread::Builder::new().name(test).spawn_scoped(scope, || {
            let namespace = File::open(&path)
                .unwrap_or_else(|error| panic!("can't open {}: {error}", path.display()));
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap_or_else(|error| panic!("can't move into {}: {error}", path.display()));
            work()
        });
        let moved = moved.expect("a thread can be started").join();
        moved.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    /// What is sent before arrives; what is sent after does not, and no error tells of it.
    #[test]
    fn a_link_carries_bytes_until_it_falls_silent() {
        let Some(link) = Link::require() else { return };
        let listener = link.listen_there();
        let there = listener.local_addr().expect("it is bound");
        let mut near = link.run_here(|| TcpStream::connect(there).expect("it listens"));
        let (mut far, _) = listener.accept().expect("somebody has connected");
        near.write_all(b"before").expect("it is connected");
        let mut bytes = [0; 6];
        far.read_exact(&mut bytes).expect("it was sent");
        assert_eq!(&bytes, b"before");
        link.fall_silent();
        near.write_all(b"after").expect("the kernel takes it");
        far.set_read_timeout(Some(Duration::from_millis(300)))
            .expect("it can be set");
        let nothing = far.read(&mut bytes).expect_err("nothing arrives");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn two_links_have_the_same_addresses_and_do_not_meet() {
        let (Some(one), Some(other)) = (Link::require(), Link::require()) else {
            return;
        };
        let listener = one.listen_there();
        let there = listener.local_addr().expect("it is bound");
        assert!(one.run_here(|| TcpStream::connect(there)).is_ok());
        assert!(other.run_here(|| TcpStream::connect(there)).is_err());
    }
}
