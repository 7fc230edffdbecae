//! The TCP sockets that there are: by netlink, or from `/proc/net/tcp` where that is refused.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use std::{fs, io};

use super::diag::{self, Message};
use super::netlink;

/// The state of a TCP socket, as the kernel numbers them (`include/net/tcp_states.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum State {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Closed,
    CloseWait,
    LastAck,
    Closing,
}

impl State {
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            11 => Self::Closing,
            _ => return None,
        })
    }

    /// As `ss` writes it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Established => "estab",
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-recv",
            Self::FinWait1 => "fin-wait-1",
            Self::FinWait2 => "fin-wait-2",
            Self::TimeWait => "time-wait",
            Self::Closed => "unconn",
            Self::CloseWait => "close-wait",
            Self::LastAck => "last-ack",
            Self::Closing => "closing",
        }
    }
}

/// A TCP socket that does not listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) state: State,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// 0 for one that no process has any more.
    pub(crate) inode: u64,
    /// Since data was last sent or received, where the kernel tells.
    pub(crate) idle: Option<Duration>,
    /// Segments sent again so far, where the kernel tells.
    pub(crate) retransmits: Option<u64>,
    /// It is a socket, and not what is remembered of one (in TIME-WAIT).
    pub(crate) is_whole: bool,
}

/// Where sockets are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// `sock_diag`.
    Netlink,
    /// `/proc/net/tcp`: without idle times and retransmits.
    Proc,
}

/// The sockets that have this port on one of their sides; all of them where it is `None`.
pub(crate) fn read(source: Source, port: Option<u16>) -> io::Result<Vec<Socket>> {
    match source {
        Source::Netlink => by_netlink(port),
        Source::Proc => by_proc(port),
    }
}

/// Netlink where the kernel answers it.
pub(crate) fn best_source() -> Source {
    match by_netlink(Some(1)) {
        Ok(_) => Source::Netlink,
        Err(_) => Source::Proc,
    }
}

fn by_netlink(port: Option<u16>) -> io::Result<Vec<Socket>> {
    let asked = match port {
        None => vec![(0, 0)],
        Some(port) => vec![(port, 0), (0, port)],
    };
    let mut sockets = Vec::new();
    for is_v6 in [false, true] {
        for (local, remote) in &asked {
            let request = diag::request(is_v6, *local, *remote);
            netlink::ask(&request, |message| {
                sockets.extend(Message::parse(message).map(|message| message.socket));
            })?;
        }
    }
    Ok(sockets)
}

fn by_proc(port: Option<u16>) -> io::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(table) {
            Ok(text) => sockets.extend(text.lines().filter_map(parse_line)),
            // A kernel without IPv6 has no tcp6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    // The table is no snapshot: while sockets come and go, it may show one twice.
    let mut seen = HashSet::new();
    sockets.retain(|socket| {
        port.is_none_or(|port| socket.local.port() == port || socket.remote.port() == port)
            && seen.insert((socket.local, socket.remote))
    });
    Ok(sockets)
}

/// `sl local rem st queues timer retransmits uid timeout inode …`, addresses in hexadecimal.
fn parse_line(line: &str) -> Option<Socket> {
    let columns: Vec<_> = line.split_ascii_whitespace().collect();
    let state = State::from_number(u8::from_str_radix(columns.get(3)?, 16).ok()?)?;
    Some(Socket {
        state,
        local: parse_address(columns.get(1)?)?,
        remote: parse_address(columns.get(2)?)?,
        inode: columns.get(9)?.parse().ok()?,
        idle: None,
        retransmits: None,
        is_whole: state != State::TimeWait,
    })
}

/// Words of an address are in the order of this machine.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = if address.len() == 8 {
        Ipv4Addr::from(word(0)?).into()
    } else {
        let mut octets = [0; 16];
        for (place, four) in octets.chunks_mut(4).enumerate() {
            four.copy_from_slice(&word(place)?);
        }
        IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The inodes of the sockets that a process has open.
pub(crate) fn inodes_of(process: u32) -> io::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    for file in fs::read_dir(format!("/proc/{process}/fd"))? {
        // One that was closed meanwhile is none.
        let Ok(link) = file.and_then(|file| fs::read_link(file.path())) else {
            continue;
        };
        let name = link.to_string_lossy();
        let inode = name
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    Ok(inodes)
}

/// The ports at which sockets of these inodes listen, from `/proc/net/tcp`.
pub(crate) fn listening_ports(inodes: &HashSet<u64>) -> io::Result<HashSet<u16>> {
    let mut ports = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = match fs::read_to_string(table) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in text.lines() {
            let columns: Vec<_> = line.split_ascii_whitespace().collect();
            let inode = columns.get(9).and_then(|inode| inode.parse().ok());
            let is_its = inode.is_some_and(|inode| inodes.contains(&inode));
            if is_its && columns.get(3) == Some(&"0A") {
                let address = columns.get(1).and_then(|address| parse_address(address));
                ports.extend(address.map(|address| address.port()));
            }
        }
    }
    Ok(ports)
}

/// From which ports to which connections are made that do not name one.
pub(crate) fn local_port_range() -> io::Result<(u16, u16)> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first <= last => Ok((first, last)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let line = "   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        let socket = parse_line(line).expect("it is one");
        if cfg!(target_endian = "little") {
            assert_eq!(socket.local, "127.0.0.1:50000".parse().unwrap());
        }
        assert_eq!((socket.remote.port(), socket.inode), (8080, 4711));
        assert_eq!(socket.state, State::Established);
        assert!(parse_line("  sl  local_address rem_address   st").is_none());
        let listening = line.replace(" 01 ", " 0A ");
        assert!(parse_line(&listening).is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn both_sources_see_the_same_sockets() {
        use std::net::{TcpListener, TcpStream};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected: Vec<_> = (0..3)
            .map(|_| {
                (
                    TcpStream::connect(address).unwrap(),
                    listener.accept().unwrap(),
                )
            })
            .collect();
        let own = inodes_of(std::process::id()).unwrap();
        let port = Some(address.port());
        for source in [Source::Proc, best_source()] {
            let patience = std::time::Instant::now() + Duration::from_secs(10);
            // The table of /proc may miss one while others come and go.
            let sockets = std::iter::repeat_with(|| read(source, port).unwrap())
                .find(|sockets| sockets.len() == 6 || std::time::Instant::now() > patience)
                .unwrap();
            let states: Vec<_> = sockets.iter().map(|socket| socket.state).collect();
            assert_eq!(states, [State::Established; 6], "{source:?}");
            assert!(sockets.iter().all(|socket| own.contains(&socket.inode)));
        }
        drop(connected);
    }
}
