//! Groups of servers that requests are passed to.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Resolver, Template};

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    /// As `$upstream_addr` and the error log print it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An `upstream` block, or what a `proxy_pass` to an address stands for.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name, or `host` or `host:port` as `proxy_pass` has it.
    pub name: Box<str>,
    /// It has no block: nothing is pooled, as in nginx.
    pub is_implicit: bool,
    /// How a server is chosen.
    pub balance: Balance,
    /// The servers in the order of the file; at least one.
    pub servers: Vec<UpstreamServer>,
    /// `keepalive`; `None` is `keepalive 0`. Meaningless for implicit ones.
    pub keepalive: Option<Keepalive>,
    /// `resolver`, its own or that of `http`: asked for the servers that say `resolve`.
    pub resolver: Option<Resolver>,
    /// `resolver_timeout`. Default 30 s.
    pub resolver_timeout: Duration,
}

impl Upstream {
    /// A block of this name with these servers and the defaults.
    pub fn new(name: impl Into<Box<str>>, servers: Vec<UpstreamServer>) -> Self {
        Self {
            name: name.into(),
            is_implicit: false,
            balance: Balance::RoundRobin,
            servers,
            keepalive: Some(Keepalive::default()),
            resolver: None,
            resolver_timeout: Duration::from_secs(30),
        }
    }

    /// The addresses of some of its servers are resolved while it is used.
    #[must_use]
    pub fn is_moving(&self) -> bool {
        self.servers.iter().any(|server| server.moves.is_some())
    }
}

/// `server` in an `upstream`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamServer {
    /// As it was written.
    pub name: Box<str>,
    /// All addresses of its name; each counts as a server of its own. None where the name is resolved while
    /// it is used.
    pub addresses: Vec<Address>,
    /// `resolve`: its name is resolved while it is used.
    pub moves: Option<MovingName>,
    /// `weight=`, at least 1. Default 1.
    pub weight: u32,
    /// `max_conns=`: connections that are busy at once. Default: no limit.
    pub max_conns: Option<u32>,
    /// `max_fails=`: so many failures within `fail_timeout` and it is left out; 0 never. Default 1.
    pub max_fails: u32,
    /// `fail_timeout=`: how long failures count, and how long it is left out. Default 10 s.
    pub fail_timeout: Duration,
    /// `backup`: only when the others are not available.
    pub is_backup: bool,
    /// `down`: never.
    pub is_down: bool,
}

impl UpstreamServer {
    /// One with one address and the defaults.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            name: address.to_string().into(),
            addresses: vec![address],
            moves: None,
            weight: 1,
            max_conns: None,
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            is_backup: false,
            is_down: false,
        }
    }
}

/// A name whose addresses are asked for again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovingName {
    /// The name, in lower case.
    pub host: Box<str>,
    /// The port at each of its addresses.
    pub port: u16,
}

/// How a server is chosen for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// In turn, smoothly by weight.
    RoundRobin,
    /// `least_conn`: the one with the fewest busy connections for its weight.
    LeastConn,
    /// `ip_hash`: by the client's network.
    IpHash,
    /// `hash KEY [consistent]`.
    Hash {
        /// What is hashed.
        key: Template,
        /// By a ring (ketama), so that few keys move when a server comes or goes.
        is_consistent: bool,
    },
    /// `random`: any, by weight.
    Random,
    /// `random two`: of two at random the one with fewer busy connections.
    RandomTwo,
}

/// `keepalive` and the directives of an upstream that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle connections that are kept, for the whole process. Default 32.
    pub connections: usize,
    /// `local`: a connection is used again only for the scope that opened it. Default true.
    pub is_local: bool,
    /// `keepalive_requests`: uses of a connection. Default 1000.
    pub requests: u64,
    /// `keepalive_time`: its age, looked at when it is given back. Default one hour.
    pub time: Duration,
    /// `keepalive_timeout`: how long it may be idle. Default 60 s.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            connections: 32,
            is_local: true,
            requests: 1000,
            time: Duration::from_secs(3600),
            timeout: Duration::from_secs(60),
        }
    }
}
