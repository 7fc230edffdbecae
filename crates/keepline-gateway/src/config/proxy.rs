//! `proxy_*`: how requests are passed on, and answers passed back.

use std::path::PathBuf;
use std::time::Duration;

use super::{Pattern, Template, TlsVersion, UpstreamId};

/// `proxy_pass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyPass {
    /// Whom it is passed to.
    pub target: ProxyTarget,
}

/// Whom a request is passed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyTarget {
    /// Known from the configuration.
    Fixed {
        /// http or https.
        scheme: Scheme,
        /// The servers; a block, or an implicit one.
        upstream: UpstreamId,
        /// `$proxy_host`: host, and the port if it was written and is not the scheme's.
        host: Box<str>,
        /// `$proxy_port`.
        port: u16,
        /// The path that stands for what the location matched; `None`: the request's target as it
        /// came. Held as written, with arguments if it has any.
        uri: Option<Box<str>>,
    },
    /// With variables: the whole URL. If it names an upstream block, that block's pool is used.
    Variable(Template),
}

/// The scheme of a `proxy_pass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS.
    Https,
}

/// `proxy_http_version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/1.0: no Host unless set, nothing chunked.
    V10,
    /// HTTP/1.1.
    #[default]
    V11,
}

/// `proxy_*` of a scope.
#[expect(
    clippy::struct_excessive_bools,
    reason = "directives that are on or off, independent of each other"
)]
#[derive(Debug, Clone, PartialEq)]
pub struct ProxySettings {
    /// `proxy_http_version`. Default 1.1.
    pub http_version: HttpVersion,
    /// `proxy_method`.
    pub method: Option<Template>,
    /// `proxy_set_header` in the order of the file. An empty value leaves the field out. What is not
    /// set here has nginx's defaults (Host is `$proxy_host`, Connection is not sent).
    pub set_headers: Vec<(Box<str>, Template)>,
    /// `proxy_set_body`.
    pub set_body: Option<Template>,
    /// `proxy_pass_request_headers`. Default on.
    pub pass_request_headers: bool,
    /// `proxy_pass_request_body`. Default on.
    pub pass_request_body: bool,
    /// `proxy_hide_header`, in lower case, beyond nginx's own.
    pub hide_headers: Vec<Box<str>>,
    /// `proxy_pass_header`, in lower case: not hidden.
    pub pass_headers: Vec<Box<str>>,
    /// `proxy_ignore_headers`, in lower case: `x-accel-buffering` and so on are not obeyed.
    pub ignore_headers: Vec<Box<str>>,
    /// `proxy_pass_trailers`. Default off.
    pub pass_trailers: bool,
    /// `proxy_ignore_client_abort`. Default off.
    pub ignore_client_abort: bool,
    /// `proxy_request_buffering`. Default on.
    pub request_buffering: bool,
    /// `proxy_buffering`. Default on.
    pub buffering: bool,
    /// `proxy_buffer_size`: the head of a response must fit. Default 4 KiB.
    pub buffer_size: usize,
    /// `proxy_buffers`: their number, and the size of each. Default 8 of 4 KiB.
    pub buffers: (usize, usize),
    /// `proxy_busy_buffers_size`. Default twice `buffer_size`.
    pub busy_buffers_size: usize,
    /// `proxy_max_temp_file_size`: what of a response goes to a file; 0 is none. Default 1 GiB.
    pub max_temp_file_size: u64,
    /// `proxy_temp_file_write_size`. Default twice `buffer_size`.
    pub temp_file_write_size: usize,
    /// `proxy_temp_path`.
    pub temp_path: PathBuf,
    /// `proxy_limit_rate`: bytes a second that are read; 0 is no limit. Default 0.
    pub limit_rate: Template,
    /// `proxy_connect_timeout`. Default 60 s.
    pub connect_timeout: Duration,
    /// `proxy_send_timeout`: between two writes. Default 60 s.
    pub send_timeout: Duration,
    /// `proxy_read_timeout`: between two reads. Default 60 s.
    pub read_timeout: Duration,
    /// `proxy_next_upstream`. Default error and timeout.
    pub next_upstream: Causes,
    /// `proxy_next_upstream_tries`; `None` is 0, no limit.
    pub next_upstream_tries: Option<u32>,
    /// `proxy_next_upstream_timeout`; `None` is 0, no limit.
    pub next_upstream_timeout: Option<Duration>,
    /// `proxy_intercept_errors`. Default off.
    pub intercept_errors: bool,
    /// `proxy_redirect` in order. `default` is resolved by whoever makes this.
    pub redirects: Vec<Redirect>,
    /// `proxy_cookie_domain`.
    pub cookie_domains: Vec<CookieRewrite>,
    /// `proxy_cookie_path`.
    pub cookie_paths: Vec<CookieRewrite>,
    /// `proxy_cookie_flags`.
    pub cookie_flags: Vec<CookieFlags>,
    /// `proxy_bind`: the local address. An empty value is none.
    pub bind: Option<Template>,
    /// `proxy_socket_keepalive`. Default off.
    pub socket_keepalive: bool,
    /// `proxy_socket_rcvbuf`; `None` is 0, the system's.
    pub socket_receive_buffer: Option<usize>,
    /// `proxy_socket_sndbuf`.
    pub socket_send_buffer: Option<usize>,
    /// `proxy_ssl_*`.
    pub tls: ProxyTls,
}

impl Default for ProxySettings {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            http_version: HttpVersion::V11,
            method: None,
            set_headers: Vec::new(),
            set_body: None,
            pass_request_headers: true,
            pass_request_body: true,
            hide_headers: Vec::new(),
            pass_headers: Vec::new(),
            ignore_headers: Vec::new(),
            pass_trailers: false,
            ignore_client_abort: false,
            request_buffering: true,
            buffering: true,
            buffer_size: 4096,
            buffers: (8, 4096),
            busy_buffers_size: 2 * 4096,
            max_temp_file_size: 1 << 30,
            temp_file_write_size: 2 * 4096,
            temp_path: PathBuf::from("proxy_temp"),
            limit_rate: Template::default(),
            connect_timeout: minute,
            send_timeout: minute,
            read_timeout: minute,
            next_upstream: Causes::default(),
            next_upstream_tries: None,
            next_upstream_timeout: None,
            intercept_errors: false,
            redirects: Vec::new(),
            cookie_domains: Vec::new(),
            cookie_paths: Vec::new(),
            cookie_flags: Vec::new(),
            bind: None,
            socket_keepalive: false,
            socket_receive_buffer: None,
            socket_send_buffer: None,
            tls: ProxyTls::default(),
        }
    }
}

/// Why a request may go to the next server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// `error`: no connection, or it broke before the head of the answer.
    Error,
    /// `timeout`: connecting, sending or reading took too long.
    Timeout,
    /// `invalid_header`: an empty or invalid answer.
    InvalidHeader,
    /// `http_403`.
    Http403,
    /// `http_404`.
    Http404,
    /// `http_429`.
    Http429,
    /// `http_500`.
    Http500,
    /// `http_502`.
    Http502,
    /// `http_503`.
    Http503,
    /// `http_504`.
    Http504,
    /// `non_idempotent`: also POST, LOCK and PATCH after they were sent. No cause by itself.
    NonIdempotent,
}

/// A set of [`Cause`]s. The default is nginx's: error and timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Causes(u16);

impl Causes {
    /// `off`.
    pub const NONE: Self = Self(0);

    /// With this one too.
    #[must_use]
    pub const fn with(self, cause: Cause) -> Self {
        Self(self.0 | 1 << cause as u16)
    }

    /// It is among them.
    #[must_use]
    pub const fn has(self, cause: Cause) -> bool {
        self.0 & (1 << cause as u16) != 0
    }
}

impl Default for Causes {
    fn default() -> Self {
        Self::NONE.with(Cause::Error).with(Cause::Timeout)
    }
}

/// What a text of the upstream has to be to be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateRule {
    /// Begins with this (`proxy_redirect`, `proxy_cookie_path`), or is it ignoring case and a first dot
    /// (`proxy_cookie_domain`).
    Text(Template),
    /// `~` or `~*`.
    Regex(Pattern),
}

/// `proxy_redirect`: what becomes of Location and Refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// What it begins with.
    pub from: TemplateRule,
    /// What stands there instead.
    pub to: Template,
}

/// `proxy_cookie_domain`, `proxy_cookie_path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieRewrite {
    /// The attribute's value.
    pub from: TemplateRule,
    /// What stands there instead.
    pub to: Template,
}

/// `proxy_cookie_flags`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieFlags {
    /// The cookie's name; `None` is `~` with an empty expression: all.
    pub cookie: TemplateRule,
    /// `secure`, `nosecure`.
    pub secure: Option<bool>,
    /// `httponly`, `nohttponly`.
    pub http_only: Option<bool>,
    /// `samesite=strict|lax|none`, or `nosamesite` (an empty text).
    pub same_site: Option<Box<str>>,
}

/// `proxy_ssl_*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyTls {
    /// `proxy_ssl_verify`. Default off.
    pub verify: bool,
    /// `proxy_ssl_trusted_certificate`.
    pub trusted: Option<PathBuf>,
    /// `proxy_ssl_name`. Default `$proxy_host` without the port.
    pub name: Option<Template>,
    /// `proxy_ssl_server_name`: SNI is sent. Default off.
    pub server_name: bool,
    /// `proxy_ssl_session_reuse`. Default on.
    pub session_reuse: bool,
    /// `proxy_ssl_certificate` and its key.
    pub certificate: Option<super::Certificate>,
    /// `proxy_ssl_protocols`. Default TLSv1.2 and TLSv1.3.
    pub versions: Vec<TlsVersion>,
}

impl Default for ProxyTls {
    fn default() -> Self {
        Self {
            verify: false,
            trusted: None,
            name: None,
            server_name: false,
            session_reuse: true,
            certificate: None,
            versions: vec![TlsVersion::V12, TlsVersion::V13],
        }
    }
}
