//! The TCP sockets that the kernel knows: the count that no counter of ours can get wrong.
//!
//! Read from `/proc/net/tcp` and `tcp6`, so Linux only, and only sockets of this network namespace.
//! On loopback a connection is two sockets: the server's has the server's port as its local port,
//! the client's as its remote port. After a close the side that closed first keeps a
//! [`State::TimeWait`] for a minute, which makes connections countable even when they are over.
//!
//! That minute has a price: a port that the kernel hands out may still have such sockets of an
//! earlier test. So count on the port of a [`Peer`](crate::peer::Peer) or a [`ReservedPort`], which
//! start from none.
//!
//! The table is not a snapshot: while sockets come and go a single reading may miss one. Hence
//! [`Sockets::until`], which looks again.

use std::net::{Ipv4Addr, SocketAddr};
use std::{fs, io};

use tokio::net::TcpSocket;

use crate::until;

/// The state of a TCP socket, as the kernel tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Both directions are open.
    Established,
    /// Connecting.
    SynSent,
    /// Half accepted.
    SynReceived,
    /// Closed here first; our FIN isn't acknowledged.
    FinWait1,
    /// Closed here first; our FIN is acknowledged, theirs hasn't come.
    FinWait2,
    /// Over; closed here first.
    TimeWait,
    /// Over, but the kernel hasn't forgotten it.
    Closed,
    /// The other side has closed, this one has not: what a leak looks like.
    CloseWait,
    /// Closed there first, then here; our FIN isn't acknowledged.
    LastAck,
    /// Waits for connections.
    Listening,
    /// Both sides closed at the same time.
    Closing,
}

impl State {
    /// From the kernel's number (`include/net/tcp_states.h`).
    fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            // 12 is the same for a socket that its program hasn't accepted yet.
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listening,
            11 => Self::Closing,
            _ => return None,
        })
    }
}

/// A question to the kernel: which sockets are meant.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Sockets {
    local_port: Option<u16>,
    remote_port: Option<u16>,
    state: Option<State>,
}

impl Sockets {
    /// Those whose own port is `port`: on a server's port, the server's ends.
    pub fn on_port(port: u16) -> Self {
        Self {
            local_port: Some(port),
            remote_port: None,
            state: None,
        }
    }

    /// Those connected to `port`: on a server's port, the clients' ends.
    pub fn to_port(port: u16) -> Self {
        Self {
            local_port: None,
            remote_port: Some(port),
            state: None,
        }
    }

    /// Of these, those in `state`. Without this, all but the listening ones are meant.
    pub fn in_state(self, state: State) -> Self {
        Self {
            state: Some(state),
            ..self
        }
    }

    /// How many there are now.
    ///
    /// # Panics
    ///
    /// If the kernel's tables can't be read.
    #[must_use]
    pub fn count(self) -> usize {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        tables
            .into_iter()
            .map(|table| self.count_in(&read_table(table)))
            .sum()
    }

    /// Waits until there are exactly `count`.
    ///
    /// # Panics
    ///
    /// If that isn't so within [`PATIENCE`](crate::PATIENCE).
    #[track_caller]
    pub fn until(self, count: usize) -> impl Future<Output = ()> {
        until(format!("{count} of {self:?}"), move || {
            (self.count() == count).then_some(())
        })
    }

    fn count_in(self, table: &str) -> usize {
        table
            .lines()
            .filter_map(Entry::parse)
            .filter(|entry| self.matches(*entry))
            .count()
    }

    fn matches(self, entry: Entry) -> bool {
        self.local_port.is_none_or(|port| port == entry.local_port)
            && self
                .remote_port
                .is_none_or(|port| port == entry.remote_port)
            && match self.state {
                Some(state) => state == entry.state,
                None => entry.state != State::Listening,
            }
    }
}

/// Waits until some process listens on `port`. Asks the kernel instead of dialling, so the server
/// sees no connection.
#[track_caller]
pub fn until_listening(port: u16) -> impl Future<Output = ()> {
    let listening = Sockets::on_port(port).in_state(State::Listening);
    until(format!("a server on port {port}"), move || {
        (listening.count() > 0).then_some(())
    })
}

/// A port of 127.0.0.1 for a server that must be told its port, and one that refuses connections
/// until then.
///
/// As long as this lives the kernel gives the port to nobody who asks for any, but lets a server
/// have it that asks for this one with `SO_REUSEADDR`, as all servers do.
#[derive(Debug)]
pub struct ReservedPort {
    // Bound, with SO_REUSEADDR as well, but never listening: that is what reserves and refuses.
    _socket: TcpSocket,
    addr: SocketAddr,
}

impl ReservedPort {
    /// Reserves a free port that no connection remembers.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn new() -> io::Result<Self> {
        unused(|| {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            let addr = socket.local_addr()?;
            Ok((
                addr.port(),
                Self {
                    _socket: socket,
                    addr,
                },
            ))
        })
    }

    /// The address with the port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addr.port()
    }
}

/// Binds until the kernel hands out a port that no socket is on or connected to.
pub(crate) fn unused<T>(mut bind: impl FnMut() -> io::Result<(u16, T)>) -> io::Result<T> {
    const ATTEMPTS: usize = 100;
    for _ in 0..ATTEMPTS {
        let (port, bound) = bind()?;
        if Sockets::on_port(port).count() + Sockets::to_port(port).count() == 0 {
            return Ok(bound);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// The columns of a table that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    local_port: u16,
    remote_port: u16,
    state: State,
}

impl Entry {
    /// `sl local_address rem_address st …`, all in hexadecimal; nothing for the table's title.
    fn parse(line: &str) -> Option<Self> {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let port = |address: &str| u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok();
        let local_port = port(columns.next()?)?;
        let remote_port = port(columns.next()?)?;
        let state = State::from_number(u8::from_str_radix(columns.next()?, 16).ok()?)?;
        Some(Self {
            local_port,
            remote_port,
            state,
        })
    }
}

fn read_table(path: &str) -> String {
    match fs::read_to_string(path) {
        Ok(table) => table,
        // A kernel without IPv6 has no tcp6.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {
            String::new()
        }
        Err(error) => panic!("can't read {path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:00001770 00000000     0        0 0 3
   4: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:C352 08 0:0 0
";

    #[test]
    fn sockets_are_told_apart_by_port_side_and_state() {
        let port = 0x1F90;
        assert_eq!(Sockets::on_port(port).count_in(TABLE), 2);
        assert_eq!(
            Sockets::on_port(port)
                .in_state(State::Listening)
                .count_in(TABLE),
            1
        );
        assert_eq!(
            Sockets::on_port(port)
                .in_state(State::CloseWait)
                .count_in(TABLE),
            1
        );
        assert_eq!(Sockets::to_port(port).count_in(TABLE), 2);
        assert_eq!(
            Sockets::to_port(port)
                .in_state(State::TimeWait)
                .count_in(TABLE),
            1
        );
        assert_eq!(Sockets::to_port(1).count_in(TABLE), 0);
    }

    #[tokio::test]
    async fn a_real_connection_is_followed_from_its_start_to_its_end() {
        let (addr, listener) = unused(|| {
            let listener = TcpListener::bind("[::1]:0")?;
            let addr = listener.local_addr()?;
            Ok((addr.port(), (addr, listener)))
        })
        .expect("a port is free");
        until_listening(addr.port()).await;
        let client = TcpStream::connect(addr).expect("the listener queues it");
        let (server, _) = listener.accept().expect("a connection is queued");
        let clients = Sockets::to_port(addr.port());
        clients.in_state(State::Established).until(1).await;
        drop(client);
        Sockets::on_port(addr.port())
            .in_state(State::CloseWait)
            .until(1)
            .await;
        drop(server);
        clients.in_state(State::TimeWait).until(1).await;
        assert_eq!(clients.in_state(State::Established).count(), 0);
    }

    #[test]
    fn a_reserved_port_refuses_until_a_server_asks_for_it() {
        let reserved = ReservedPort::new().expect("a port is free");
        let error = TcpStream::connect(reserved.addr()).expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let _server = TcpListener::bind(reserved.addr()).expect("it is reserved for a server");
        TcpStream::connect(reserved.addr()).expect("the server's queue has room");
    }
}
