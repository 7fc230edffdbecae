//! Listening sockets: how they are bound, shared between workers, and accepted from.
//!
//! Invariant: a port that another process serves is "address in use", also when SO_REUSEPORT is
//! asked for. The kernel would let both have it and split the connections between them, which is
//! how an old instance that nobody remembers takes half of the traffic.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::task::{Context, Poll, ready};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::{PeerAddr, Stream};

/// How a TCP port is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindOptions {
    /// Connections that the kernel completes before they are accepted. Default 4096, as Go takes
    /// it from the kernel's `somaxconn` (nginx 511).
    pub backlog: i32,
    /// Answers leave at once instead of waiting for more to be sent (TCP_NODELAY on each accepted
    /// connection). Default true, as in Go and nginx.
    pub nodelay: bool,
    /// An IPv6 socket refuses IPv4 (IPV6_V6ONLY). Default false, as in Go.
    pub only_v6: bool,
    /// The receive buffer of accepted connections in bytes (SO_RCVBUF). Default: the system's, which grows.
    pub receive_buffer: Option<usize>,
    /// Their send buffer in bytes (SO_SNDBUF). Default: the system's, which grows.
    pub send_buffer: Option<usize>,
    /// The kernel asks clients that are silent for two hours whether they are still there (SO_KEEPALIVE, with the
    /// system's times). Default: the system's default, which is no.
    pub keep_alive: Option<bool>,
}

impl Default for BindOptions {
    fn default() -> Self {
        Self {
            backlog: 4096,
            nodelay: true,
            only_v6: false,
            receive_buffer: None,
            send_buffer: None,
            keep_alive: None,
        }
    }
}

/// A listening socket, TCP or Unix.
///
/// It belongs to no runtime until [`Server::serve`](crate::server::Server::serve) takes it, so it
/// can be bound in one thread and served in another.
pub struct Listener {
    kind: Kind,
    nodelay: bool,
    is_announced: bool,
}

enum Kind {
    /// Not registered with a runtime yet.
    Unregistered(Socket),
    UnregisteredUnix(StdUnixListener),
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens on a TCP address; port 0 lets the kernel choose.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::AddrInUse`] if anybody else listens there.
pub fn bind(address: SocketAddr, options: BindOptions) -> io::Result<Listener> {
    Listener::new(bound(address, options, false)?, options)
}

/// Listens `count` times on one TCP address with SO_REUSEPORT, for as many workers; the kernel
/// spreads the connections over them.
///
/// # Errors
/// As [`bind`]: also here another process on the port is "address in use".
pub fn bind_workers(
    address: SocketAddr,
    options: BindOptions,
    count: usize,
) -> io::Result<Vec<Listener>> {
    probe(address, options)?;
    bind_beside(address, options, count)
}

/// Fails if anybody listens on a TCP address, or on one that overlaps with it, whatever their options. Port 0 is
/// always free.
///
/// # Errors
/// As [`bind`].
pub fn probe(address: SocketAddr, options: BindOptions) -> io::Result<()> {
    if address.port() != 0 {
        // Without SO_REUSEPORT.
        drop(bound(address, options, false)?);
    }
    Ok(())
}

/// [`bind_workers`] without looking whether somebody listens there already: for further sockets of a process
/// that does, at this address or at one that overlaps with it. Who has not asked [`probe`] before may get
/// every other connection of an old instance.
///
/// # Errors
/// As [`bind`], but for sockets that have SO_REUSEPORT and the same owner.
pub fn bind_beside(
    address: SocketAddr,
    options: BindOptions,
    count: usize,
) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(count);
    let mut address = address;
    for _ in 0..count {
        let socket = bound(address, options, true)?;
        address = socket.local_addr()?.as_socket().unwrap_or(address);
        listeners.push(Listener::new(socket, options)?);
    }
    Ok(listeners)
}

fn bound(address: SocketAddr, options: BindOptions, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // Ports of connections that are still in TIME_WAIT do not keep a server from starting anew.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(options.only_v6)?;
    }
    // Accepted sockets inherit these; the size of the receive buffer has to be known before a connection is.
    if let Some(size) = options.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = options.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    if let Some(asks) = options.keep_alive {
        socket.set_keepalive(asks)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

impl Listener {
    fn new(socket: Socket, options: BindOptions) -> io::Result<Self> {
        socket.listen(options.backlog)?;
        Ok(Self::over(socket, options))
    }

    /// A socket that listens already, and does not block.
    pub(super) const fn over(socket: Socket, options: BindOptions) -> Self {
        Self {
            kind: Kind::Unregistered(socket),
            nodelay: options.nodelay,
            is_announced: false,
        }
    }

    /// Each connection begins with a header of the PROXY protocol (version 1 or 2), in which a
    /// balancer says whose connection it passes on; before TLS. Default: none does.
    ///
    /// That client is the peer then: of requests, of limits and in logs. A connection that
    /// begins otherwise is closed, within the head timeout, and so is one whose client has too many;
    /// one that the balancer opened for itself (LOCAL, UNKNOWN) keeps the balancer's address. A
    /// header may say anything: let only balancers reach such a listener.
    #[must_use]
    pub const fn proxy_protocol(mut self, is_required: bool) -> Self {
        self.is_announced = is_required;
        self
    }

    /// Connections begin with a header of the PROXY protocol.
    pub(crate) const fn is_announced(&self) -> bool {
        self.is_announced
    }

    /// Where it listens; `None` for a Unix socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Unregistered(socket) => socket.local_addr().ok()?.as_socket(),
            Kind::Tcp(tcp) => tcp.local_addr().ok(),
            Kind::UnregisteredUnix(_) | Kind::Unix(_) => None,
        }
    }

    /// Another handle on the same socket, with the same queue of connections: as long as one is there, none
    /// of them is lost. For a further worker where a socket cannot be bound again ([`bind_workers`] has
    /// a queue for each).
    ///
    /// # Errors
    /// Those of the system; also if the socket is being served already.
    pub fn try_clone(&self) -> io::Result<Self> {
        let kind = match &self.kind {
            Kind::Unregistered(socket) => Kind::Unregistered(socket.try_clone()?),
            Kind::UnregisteredUnix(unix) => Kind::UnregisteredUnix(unix.try_clone()?),
            Kind::Tcp(_) | Kind::Unix(_) => {
                return Err(io::Error::other("the listener belongs to a runtime"));
            }
        };
        let Self {
            nodelay,
            is_announced,
            ..
        } = *self;
        Ok(Self {
            kind,
            nodelay,
            is_announced,
        })
    }

    /// Registers the socket with the runtime that this is called in.
    pub(crate) fn register(mut self) -> io::Result<Self> {
        self.kind = match self.kind {
            Kind::Unregistered(socket) => Kind::Tcp(TcpListener::from_std(socket.into())?),
            Kind::UnregisteredUnix(unix) => {
                unix.set_nonblocking(true)?;
                Kind::Unix(UnixListener::from_std(unix)?)
            }
            registered @ (Kind::Tcp(_) | Kind::Unix(_)) => registered,
        };
        Ok(self)
    }

    /// The next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, PeerAddr)>> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (tcp, peer) = ready!(listener.poll_accept(cx))?;
                if self.nodelay {
                    // It fails only for a connection that is gone, which shows when it is read.
                    let _ = tcp.set_nodelay(true);
                }
                Poll::Ready(Ok((tcp.into(), PeerAddr::Tcp(peer))))
            }
            Kind::Unix(listener) => {
                let (unix, _) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(Ok((unix.into(), PeerAddr::Unix)))
            }
            Kind::Unregistered(_) | Kind::UnregisteredUnix(_) => {
                Poll::Ready(Err(io::Error::other("the listener is not registered")))
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self {
            kind: Kind::Tcp(tcp),
            nodelay: true,
            is_announced: false,
        }
    }
}

impl From<UnixListener> for Listener {
    fn from(unix: UnixListener) -> Self {
        Self {
            kind: Kind::Unix(unix),
            nodelay: false,
            is_announced: false,
        }
    }
}

impl From<std::net::TcpListener> for Listener {
    fn from(tcp: std::net::TcpListener) -> Self {
        let socket = Socket::from(tcp);
        // A blocking listener would stop the whole runtime; `register` could not tell.
        let _ = socket.set_nonblocking(true);
        Self {
            kind: Kind::Unregistered(socket),
            nodelay: true,
            is_announced: false,
        }
    }
}

impl From<StdUnixListener> for Listener {
    fn from(unix: StdUnixListener) -> Self {
        Self {
            kind: Kind::UnregisteredUnix(unix),
            nodelay: false,
            is_announced: false,
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.local_addr()).finish()
    }
}

/// Raises the soft limit of open files to the hard one and answers with it: each connection is
/// a file, and the usual soft limit of 1024 is for programs that use `select`.
///
/// A library must not do this behind its program's back; the `keepline` binary calls it first
/// thing (Go's runtime does the same).
///
/// # Errors
/// Those of the system.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn workers_share_a_port() {
        let listeners = bind_workers(ANY_PORT, BindOptions::default(), 3).unwrap();
        let addresses: Vec<_> = listeners.iter().map(Listener::local_addr).collect();
        assert!(addresses[0].is_some_and(|address| address.port() != 0));
        assert!(addresses.iter().all(|address| *address == addresses[0]));
    }

    #[test]
    fn sockets_have_the_buffers_that_were_asked_for() {
        let options = BindOptions {
            receive_buffer: Some(64 * 1024),
            send_buffer: Some(32 * 1024),
            keep_alive: Some(true),
            ..BindOptions::default()
        };
        let socket = bound(ANY_PORT, options, false).unwrap();
        // Linux doubles them for its own books.
        assert!(socket.recv_buffer_size().unwrap() >= 64 * 1024);
        assert!((32 * 1024..128 * 1024).contains(&socket.send_buffer_size().unwrap()));
        assert!(socket.keepalive().unwrap());
    }

    #[test]
    fn a_served_port_is_in_use_whoever_serves_it() {
        let options = BindOptions::default();
        let shared = bind_workers(ANY_PORT, options, 1).unwrap();
        let alone = bind(ANY_PORT, options).unwrap();
        for taken in [&shared[0], &alone] {
            let address = taken.local_addr().unwrap();
            for outcome in [
                bind(address, options).map(drop),
                bind_workers(address, options, 2).map(drop),
            ] {
                assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::AddrInUse);
            }
        }
    }

    #[test]
    fn beside_itself_a_process_may_listen_once_more_and_at_overlapping_addresses() {
        let options = BindOptions::default();
        let first = bind_workers(ANY_PORT, options, 1).unwrap();
        let address = first[0].local_addr().unwrap();
        assert!(probe(address, options).is_err());
        assert_eq!(bind_beside(address, options, 2).unwrap().len(), 2);
        let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        assert!(probe(everywhere, options).is_err());
        bind_beside(everywhere, options, 1).unwrap();
    }

    #[test]
    fn a_socket_lives_as_long_as_one_of_its_handles() {
        let listener = bind(ANY_PORT, BindOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let other = listener.try_clone().unwrap();
        drop(listener);
        std::net::TcpStream::connect(address).unwrap();
        drop(other);
        assert!(std::net::TcpStream::connect(address).is_err());
    }

    #[test]
    fn the_limit_of_open_files_is_the_hard_one() {
        let raised = raise_open_files_limit().unwrap();
        assert_eq!(
            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            raised
        );
    }
}
