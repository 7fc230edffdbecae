//! `http`, its virtual servers, and the addresses they listen on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{
    LimitReqZone, Location, LogFile, Pattern, Program, Scope, ServerTls, Template, Upstream,
};

/// The `http` block.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Http {
    /// The virtual servers in the order of the file.
    pub servers: Vec<Arc<Server>>,
    /// The upstreams, those without a block among them.
    pub upstreams: Vec<Arc<Upstream>>,
    /// `limit_req_zone`.
    pub limit_req_zones: Vec<LimitReqZone>,
    /// `map`.
    pub maps: Vec<Map>,
    /// The files of all access logs, each path once.
    pub log_files: Vec<LogFile>,
    /// The names of the variables that `set` and named groups make.
    pub slots: Vec<Box<str>>,
}

/// A virtual server.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// `server_name`s in the order of the file; the first is `$server_name`. Default: one that is empty.
    pub names: Vec<ServerName>,
    /// `listen`. Default: port 80 of all addresses, or 8000 without root's rights.
    pub listen: Vec<Listen>,
    /// What holds outside every location. Its content is nginx's for a request that no location
    /// matches: static files.
    pub scope: Arc<Scope>,
    /// Directives of the rewrite phase outside locations.
    pub rewrite: Program,
    /// The locations in the order of the file, without named ones.
    pub locations: Vec<Arc<Location>>,
    /// The named ones (`@name`, with the `@`).
    pub named_locations: Vec<(Box<str>, Arc<Location>)>,
    /// `client_header_timeout`: for the whole head, and for the first byte of a connection. Default 60 s.
    pub header_timeout: Duration,
    /// `client_header_buffer_size`. Default 1 KiB.
    pub header_buffer: usize,
    /// `large_client_header_buffers`: their number, and the size of each. A line must fit one. Default 4
    /// of 8 KiB.
    pub large_header_buffers: (usize, usize),
    /// `max_headers`: field lines of a request. Default 1000.
    pub max_fields: usize,
    /// `ignore_invalid_headers`: fields with odd names are dropped rather than passed on. Default on.
    pub ignores_invalid_fields: bool,
    /// `underscores_in_headers`: a name may have `_`. Default off.
    pub underscores_in_fields: bool,
    /// `merge_slashes`: `//` in a path is `/`. Default on.
    pub merges_slashes: bool,
    /// `ssl_*`; used where a `listen` says ssl.
    pub tls: Option<ServerTls>,
}

impl Server {
    /// One that listens here, with the defaults and no location.
    #[must_use]
    pub fn new(listen: Vec<Listen>) -> Self {
        Self {
            names: vec![ServerName::Exact("".into())],
            listen,
            scope: Arc::default(),
            rewrite: Program::default(),
            locations: Vec::new(),
            named_locations: Vec::new(),
            header_timeout: Duration::from_secs(60),
            header_buffer: 1024,
            large_header_buffers: (4, 8 * 1024),
            max_fields: 1000,
            ignores_invalid_fields: true,
            underscores_in_fields: false,
            merges_slashes: true,
            tls: None,
        }
    }
}

/// A name of a virtual server, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// `www.example.com`, or empty: requests without a host.
    Exact(Box<str>),
    /// `.example.com`: `example.com` itself and everything below it. Held without the first dot.
    WithSubdomains(Box<str>),
    /// `*.example.com`: everything below it. Held without `*.`.
    Subdomains(Box<str>),
    /// `www.example.*`. Held without `.*`.
    Prefix(Box<str>),
    /// `~regex`.
    Regex(Pattern),
}

/// An address that sockets listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddress {
    /// An IP address and a port.
    Inet(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// `listen`. Of a range of ports, there is one for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: ListenAddress,
    /// `default_server`: has the requests that no name fits. Without one, the first server of the address.
    pub is_default: bool,
    /// `ssl`.
    pub is_tls: bool,
    /// `backlog=`. Default 511.
    pub backlog: Option<u32>,
    /// `rcvbuf=`: the socket's receive buffer in bytes. Default: the system's.
    pub receive_buffer: Option<usize>,
    /// `sndbuf=`. Default: the system's.
    pub send_buffer: Option<usize>,
    /// `ipv6only=`. Default on.
    pub ipv6_only: bool,
    /// `so_keepalive=`; `None` is the system's default.
    pub tcp_keep_alive: Option<bool>,
}

impl Listen {
    /// A plain one with the defaults.
    #[must_use]
    pub const fn new(address: ListenAddress) -> Self {
        Self {
            address,
            is_default: false,
            is_tls: false,
            backlog: None,
            receive_buffer: None,
            send_buffer: None,
            ipv6_only: true,
            tcp_keep_alive: None,
        }
    }
}

/// `map`: a variable whose value another value chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map {
    /// The name of the variable that it defines, without `$`.
    pub name: Box<str>,
    /// The value that is looked up.
    pub source: Template,
    /// `hostnames`: keys may be masks of host names.
    pub is_hostnames: bool,
    /// `volatile`: its value is not kept for the request.
    pub is_volatile: bool,
    /// The value when no key fits. Default empty.
    pub default: Template,
    /// Its rows in the order of the file.
    pub rows: Vec<MapRow>,
}

/// A row of a [`Map`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapRow {
    /// What the source is compared with.
    pub key: MapKey,
    /// The value.
    pub value: Template,
}

/// The key of a [`MapRow`]. Exact ones come first, then masks (the longest first), then regular
/// expressions in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapKey {
    /// This text, in lower case, compared ignoring case.
    Exact(Box<str>),
    /// With `hostnames`: a mask, in the forms of [`ServerName`] (never a regular expression).
    Host(ServerName),
    /// `~regex` or `~*regex`.
    Regex(Pattern),
}
