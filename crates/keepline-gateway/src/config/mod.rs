//! What a configuration means, as plain data: what nginx has after it has read, merged and checked
//! its nginx.conf.
//!
//! `conf` makes it from the language, the runtime carries it out. Neither knows the other: a test
//! builds it by hand from the defaults, which are those of nginx 1.31.
//!
//! What always holds, and who sees to it (`conf`, or the test):
//! - **Inheritance is done.** Each [`Scope`] has the settings that hold in it; nothing looks
//!   outwards at run time. Where nginx has a location, an `if` with directives in it, or a
//!   `limit_except`, there is a scope of its own, with an id of its own.
//! - **Names are resolved.** Upstreams, zones, log files, maps and variables are indices into the
//!   lists of [`Http`]; host names in `server` and `proxy_pass` are addresses. Values with
//!   variables are [`Template`]s.
//! - **What cannot work is refused before**: an unknown variable, two default servers for one address,
//!   a regular expression that does not compile.
//!
//! What it does not do: it opens no file, no socket and no certificate, and holds no place in a file
//! (errors at start name the path).

mod access;
mod client;
mod fields;
mod http;
mod limit;
mod location;
mod log;
mod pattern;
mod perl;
mod proxy;
mod resolver;
mod rewrite;
mod template;
mod tls;
mod upstream;
mod variable;

use std::path::PathBuf;
use std::time::Duration;

pub use access::{AccessRule, Network, RealIp, RealIpSource};
pub use client::{
    BodyInFile, Browsers, ClientSettings, EarlyHints, KeepAlive, Lingering, LingeringClose,
};
pub use fields::{AddedField, Expires};
pub use http::{Http, Listen, ListenAddress, Map, MapKey, MapRow, Server, ServerName};
pub use limit::{Delay, LimitReq, LimitReqZone};
pub use location::{
    Content, ErrorPage, ErrorResponse, ErrorTarget, LimitExcept, Location, Matcher, Methods, Scope,
    ScopeId, Settings, TryCandidate, TryFiles, TryLast, Types,
};
pub use log::{AccessLog, ErrorLog, Escape, Level, LogFile, LogFormat, LogTarget};
pub use pattern::{Pattern, PatternError};
pub use proxy::{
    Cause, Causes, CookieFlags, CookieRewrite, HttpVersion, ProxyPass, ProxySettings, ProxyTarget,
    ProxyTls, Redirect, Scheme, TemplateRule,
};
pub use resolver::Resolver;
pub use rewrite::{Condition, FileTest, Flag, Op, Program, Return, SetTarget};
pub use template::{Piece, Template, TemplateError};
pub use tls::{Certificate, ServerTls, TlsVersion, VerifyClient};
pub use upstream::{Address, Balance, Keepalive, MovingName, Upstream, UpstreamServer};
pub use variable::{MapId, SlotId, Variable};

/// The index of an upstream in [`Http::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub usize);

/// The index of a zone in [`Http::limit_req_zones`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneId(pub usize);

/// The index of a file in [`Http::log_files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogFileId(pub usize);

/// A whole configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The outermost level.
    pub main: Main,
    /// `events`.
    pub events: Events,
    /// `http`; `None` if there is no such block, and so nothing to serve.
    pub http: Option<Http>,
}

/// Directives of the outermost level.
#[derive(Debug, Clone, PartialEq)]
pub struct Main {
    /// `daemon`: run in the background. Default on.
    pub daemon: bool,
    /// `pid`: where the process id is written once all sockets listen.
    pub pid: PathBuf,
    /// `error_log` of this level. Default: `logs/error.log`, level error, below the prefix.
    pub error_log: Vec<ErrorLog>,
    /// `worker_processes`: how many threads serve. `None` is `auto`: one a core. Default 1.
    pub workers: Option<usize>,
    /// `worker_shutdown_timeout`: what is still open so long after a graceful stop began is closed.
    /// Default: no limit.
    pub shutdown_timeout: Option<Duration>,
    /// `worker_rlimit_nofile`: the limit of open files. Default: the hard limit of the system.
    pub open_files: Option<u64>,
    /// `user`, with its group. Default: nobody, and only if the process is root's.
    pub user: Option<(Box<str>, Option<Box<str>>)>,
}

impl Default for Main {
    fn default() -> Self {
        Self {
            daemon: true,
            pid: PathBuf::from("logs/nginx.pid"),
            error_log: Vec::new(),
            workers: Some(1),
            shutdown_timeout: None,
            open_files: None,
            user: None,
        }
    }
}

/// `events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// `worker_connections`: connections of a worker, to clients and upstreams, idle ones
    /// included. Times the workers it holds for the process. Default 512.
    pub worker_connections: usize,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            worker_connections: 512,
        }
    }
}
