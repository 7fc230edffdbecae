//! How clients are served: keeping connections, reading requests, closing.

use std::path::PathBuf;
use std::time::Duration;

use super::Template;

/// The client side of a scope. Times are as nginx has them: between two reads or two writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// `keepalive_*`.
    pub keepalive: KeepAlive,
    /// `lingering_*`.
    pub lingering: Lingering,
    /// `reset_timedout_connection`: a request that timed out, or `return 444`, ends with a reset.
    /// Default off.
    pub resets_timed_out: bool,
    /// `client_body_timeout`. Default 60 s.
    pub body_timeout: Duration,
    /// `send_timeout`. Default 60 s.
    pub send_timeout: Duration,
    /// `client_max_body_size`; `None` is 0, no limit. Default 1 MiB.
    pub max_body_size: Option<u64>,
    /// `client_body_buffer_size`: what is held in memory of a buffered body. Default 16 KiB.
    pub body_buffer_size: usize,
    /// `client_body_in_file_only`. Default off.
    pub body_in_file: BodyInFile,
    /// `client_body_temp_path`.
    pub body_temp_path: PathBuf,
    /// `chunked_transfer_encoding`: an answer of unknown length to HTTP/1.1 may be chunked. Default on.
    pub chunks: bool,
    /// `tcp_nodelay`. Default on.
    pub no_delay: bool,
    /// `early_hints`. Default: 103 is not passed on.
    pub early_hints: EarlyHints,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            keepalive: KeepAlive::default(),
            lingering: Lingering::default(),
            resets_timed_out: false,
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            max_body_size: Some(1024 * 1024),
            body_buffer_size: 16 * 1024,
            body_in_file: BodyInFile::Off,
            body_temp_path: PathBuf::from("client_body_temp"),
            chunks: true,
            no_delay: true,
            early_hints: EarlyHints::default(),
        }
    }
}

/// `early_hints`: 103 is passed on if one of these is neither empty nor `0`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EarlyHints(pub Vec<Template>);

/// `keepalive_*` of the client side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAlive {
    /// `keepalive_timeout`: how long a connection may be idle; 0: none is kept. Default 75 s.
    pub timeout: Duration,
    /// Its second argument: what `Keep-Alive: timeout=` tells, in whole seconds. Default: not told.
    pub told: Option<Duration>,
    /// `keepalive_requests`: the request with this number is answered with close; 0 is as 1.
    /// Default 1000.
    pub requests: u64,
    /// `keepalive_time`: the age after which the next answer closes. Default one hour.
    pub time: Duration,
    /// `keepalive_min_timeout`: how long an idle connection is not closed by a graceful stop or for want of
    /// connections. Default 0.
    pub min_timeout: Duration,
    /// `keepalive_disable`. Default msie6.
    pub disable: Browsers,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(75),
            told: None,
            requests: 1000,
            time: Duration::from_secs(3600),
            min_timeout: Duration::ZERO,
            disable: Browsers {
                msie6: true,
                safari: false,
            },
        }
    }
}

/// Browsers whose connections are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Browsers {
    /// Old versions of Internet Explorer, after POST.
    pub msie6: bool,
    /// Safari on a Mac.
    pub safari: bool,
}

/// `lingering_close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LingeringClose {
    /// Closes at once.
    Off,
    /// Lingers if the client may still be sending.
    #[default]
    On,
    /// Always lingers.
    Always,
}

/// `lingering_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lingering {
    /// `lingering_close`. Default on.
    pub close: LingeringClose,
    /// `lingering_time`: in all. Default 30 s.
    pub time: Duration,
    /// `lingering_timeout`: without a byte. Default 5 s.
    pub timeout: Duration,
}

impl Default for Lingering {
    fn default() -> Self {
        Self {
            close: LingeringClose::On,
            time: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
        }
    }
}

/// `client_body_in_file_only`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyInFile {
    /// Only what does not fit into memory.
    #[default]
    Off,
    /// Always; the file stays.
    On,
    /// Always; the file is removed after the request.
    Clean,
}
