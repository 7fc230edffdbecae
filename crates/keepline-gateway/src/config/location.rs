//! Locations, and the settings that hold in a scope.

use std::sync::Arc;
use std::time::Duration;

use super::{
    AccessLog, AccessRule, AddedField, ClientSettings, ErrorLog, Expires, Level, LimitReq, Pattern,
    Program, ProxyPass, ProxySettings, RealIp, Resolver, Template,
};

/// A `location`.
#[derive(Debug, Clone, PartialEq)]
pub struct Location {
    /// Which paths are its own.
    pub matcher: Matcher,
    /// `internal`: only for redirects inside the gateway.
    pub is_internal: bool,
    /// What holds in it.
    pub scope: Arc<Scope>,
    /// Its directives of the rewrite phase.
    pub rewrite: Program,
    /// `limit_except`.
    pub limit_except: Option<LimitExcept>,
    /// Locations inside it, in the order of the file.
    pub locations: Vec<Arc<Self>>,
}

impl Location {
    /// One with this scope and nothing else.
    #[must_use]
    pub fn new(matcher: Matcher, scope: Scope) -> Self {
        Self {
            matcher,
            is_internal: false,
            scope: Arc::new(scope),
            rewrite: Program::default(),
            limit_except: None,
            locations: Vec::new(),
        }
    }
}

/// Which paths belong to a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Matcher {
    /// `= /path`.
    Exact(Box<str>),
    /// `/path`: those that begin so; a regular expression that matches goes first.
    Prefix(Box<str>),
    /// `^~ /path`: no regular expression is tried.
    PrefixOnly(Box<str>),
    /// `~ regex` or `~* regex`.
    Regex(Pattern),
    /// `@name`: only by redirects inside the gateway. With the `@`.
    Named(Box<str>),
}

/// `limit_except METHOD… { … }`: for all other methods, this scope holds.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitExcept {
    /// The methods that are not limited.
    pub methods: Methods,
    /// What holds for the others.
    pub scope: Arc<Scope>,
}

/// Names of methods; GET includes HEAD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Methods(pub Vec<Box<str>>);

/// What tells scopes apart: connections that `keepalive N local` keeps carry it. Each scope of a
/// configuration has its own; a reload numbers them as before if nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ScopeId(pub u64);

/// Everything that holds for a request once its place in the configuration is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// Its identity.
    pub id: ScopeId,
    /// Who answers.
    pub content: Content,
    /// How.
    pub settings: Settings,
    /// The client's side of it.
    pub client: ClientSettings,
    /// `proxy_*`, also where nothing is passed on.
    pub proxy: ProxySettings,
}

/// Who answers a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Content {
    /// Files below the root.
    #[default]
    Static,
    /// `proxy_pass`.
    Proxy(ProxyPass),
    /// `stub_status`.
    StubStatus,
}

/// Settings of a scope that belong neither to the client's nor to the upstream side.
#[expect(
    clippy::struct_excessive_bools,
    reason = "directives that are on or off, independent of each other"
)]
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `root`. Default `html`, below the prefix.
    pub root: Template,
    /// `alias`: stands for what the location's matcher matched. Goes before `root`.
    pub alias: Option<Template>,
    /// `index`. Default index.html.
    pub index: Vec<Template>,
    /// `autoindex`. Default off.
    pub autoindex: bool,
    /// `types`.
    pub types: Arc<Types>,
    /// `default_type`. Default text/plain.
    pub default_type: Box<str>,
    /// `try_files`.
    pub try_files: Option<TryFiles>,
    /// `etag`: static files have one. Default on.
    pub etag: bool,
    /// `error_page`.
    pub error_pages: Vec<ErrorPage>,
    /// `recursive_error_pages`. Default off.
    pub recursive_error_pages: bool,
    /// `add_header`.
    pub add_headers: Vec<AddedField>,
    /// `add_trailer`.
    pub add_trailers: Vec<AddedField>,
    /// `expires`.
    pub expires: Expires,
    /// `allow`, `deny`.
    pub access: Vec<AccessRule>,
    /// `set_real_ip_from` and so on.
    pub real_ip: RealIp,
    /// `limit_req`.
    pub limit_req: Vec<LimitReq>,
    /// `limit_req_status`. Default 503.
    pub limit_req_status: u16,
    /// `limit_req_log_level`: that of refusals; delays are one level lower. Default error.
    pub limit_req_log_level: Level,
    /// `limit_req_dry_run`. Default off.
    pub limit_req_dry_run: bool,
    /// `limit_rate`: bytes a second to the client; 0 or empty is no limit.
    pub limit_rate: Template,
    /// `limit_rate_after`: so many bytes go at full speed. Default 0.
    pub limit_rate_after: Template,
    /// `access_log`; empty is `off`.
    pub access_logs: Vec<AccessLog>,
    /// `error_log`, inherited down to here.
    pub error_logs: Vec<ErrorLog>,
    /// `log_not_found`: a missing file is an error in the log. Default on.
    pub log_not_found: bool,
    /// `absolute_redirect`. Default on.
    pub absolute_redirect: bool,
    /// `port_in_redirect`. Default on.
    pub port_in_redirect: bool,
    /// `server_name_in_redirect`. Default off.
    pub server_name_in_redirect: bool,
    /// `server_tokens`: Server tells the version. Default on.
    pub server_tokens: bool,
    /// `resolver`: asked for the names in a `proxy_pass` with variables, as they come up.
    pub resolver: Option<Resolver>,
    /// `resolver_timeout`. Default 30 s.
    pub resolver_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            root: Template::literal("html"),
            alias: None,
            index: vec![Template::literal("index.html")],
            autoindex: false,
            types: Arc::default(),
            default_type: "text/plain".into(),
            try_files: None,
            etag: true,
            error_pages: Vec::new(),
            recursive_error_pages: false,
            add_headers: Vec::new(),
            add_trailers: Vec::new(),
            expires: Expires::Off,
            access: Vec::new(),
            real_ip: RealIp::default(),
            limit_req: Vec::new(),
            limit_req_status: 503,
            limit_req_log_level: Level::Error,
            limit_req_dry_run: false,
            limit_rate: Template::default(),
            limit_rate_after: Template::default(),
            access_logs: Vec::new(),
            error_logs: Vec::new(),
            log_not_found: true,
            absolute_redirect: true,
            port_in_redirect: true,
            server_name_in_redirect: false,
            server_tokens: true,
            resolver: None,
            resolver_timeout: Duration::from_secs(30),
        }
    }
}

/// `types`: the media type of an extension (in lower case, without the dot). The default is nginx's:
/// html, gif and jpg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Types(pub std::collections::HashMap<Box<str>, Box<str>>);

impl Default for Types {
    fn default() -> Self {
        let types = [
            ("html", "text/html"),
            ("gif", "image/gif"),
            ("jpg", "image/jpeg"),
        ];
        Self(types.map(|(ext, kind)| (ext.into(), kind.into())).into())
    }
}

/// `error_page`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPage {
    /// For these statuses.
    pub codes: Vec<u16>,
    /// The status of the answer.
    pub response: ErrorResponse,
    /// Where the answer comes from.
    pub target: ErrorTarget,
}

/// The status of an answer by `error_page`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorResponse {
    /// The error's.
    Keep,
    /// `=CODE`.
    Status(u16),
    /// `=`: whatever the target answers.
    FromTarget,
}

/// Where an error page comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorTarget {
    /// A path, with arguments if it has `?`.
    Uri(Template),
    /// A URL that the client is sent to: 302 unless the response says another redirect.
    Redirect(Template),
    /// `@name`.
    Named(Box<str>),
}

/// `try_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryFiles {
    /// Tried in order.
    pub candidates: Vec<TryCandidate>,
    /// When none exists.
    pub last: TryLast,
}

/// A path of `try_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TryCandidate {
    /// Below root or alias. Without the slash at its end.
    pub path: Template,
    /// It ended with a slash: a directory is looked for, not a file.
    pub is_directory: bool,
}

/// The last argument of `try_files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TryLast {
    /// `=CODE`.
    Status(u16),
    /// `@name`.
    Named(Box<str>),
    /// A path.
    Uri(Template),
}
