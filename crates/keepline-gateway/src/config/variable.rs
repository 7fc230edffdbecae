//! The variables of nginx.conf, by what they stand for.
//!
//! Invariant: every variant can be evaluated at any time of a request; what is not known yet (a status
//! before the answer) is undefined, as in nginx.

/// The index of a variable that `set` or a named capture gives its value, in
/// [`Http::slots`](super::Http::slots).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub usize);

/// The index of a map in [`Http::maps`](super::Http::maps).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapId(pub usize);

macro_rules! variables {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// A variable.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Variable {
            $($(#[doc = $doc])* #[doc = concat!("`$", $name, "`")] $variant,)*
            /// `$arg_NAME`: an argument of the query. The name is compared ignoring case.
            Arg(Box<str>),
            /// `$cookie_NAME`.
            Cookie(Box<str>),
            /// `$http_NAME`: a field of the request. The name is in lower case, with `_` for `-`.
            Http(Box<str>),
            /// `$sent_http_NAME`: a field of the response to the client.
            SentHttp(Box<str>),
            /// `$sent_trailer_NAME`: a trailer field of the response to the client.
            SentTrailer(Box<str>),
            /// `$upstream_http_NAME`: a field of the last upstream response.
            UpstreamHttp(Box<str>),
            /// `$upstream_trailer_NAME`: a trailer field of the last upstream response.
            UpstreamTrailer(Box<str>),
            /// `$upstream_cookie_NAME`: a cookie that the last upstream response sets.
            UpstreamCookie(Box<str>),
            /// `$1` to `$9`: a group of the regular expression that matched last.
            Capture(u8),
            /// One that `set` or a named group of a regular expression gives its value.
            Slot(SlotId),
            /// One that a `map` defines.
            Map(MapId),
        }

        /// The variables that have one name, for messages that suggest one.
        const NAMED: &[(&str, Variable)] = &[$(($name, Variable::$variant),)*];
    };
}

variables! {
    Args = "args",
    BinaryRemoteAddr = "binary_remote_addr",
    /// Bytes of content sent.
    BodyBytesSent = "body_bytes_sent",
    /// All bytes sent of this response.
    BytesSent = "bytes_sent",
    Connection = "connection",
    ConnectionRequests = "connection_requests",
    ConnectionTime = "connection_time",
    ConnectionsActive = "connections_active",
    ConnectionsReading = "connections_reading",
    ConnectionsWaiting = "connections_waiting",
    ConnectionsWriting = "connections_writing",
    ContentLength = "content_length",
    ContentType = "content_type",
    DocumentRoot = "document_root",
    /// The same as `$uri`.
    DocumentUri = "document_uri",
    /// The host of the request target, else of the Host field, else the server's name.
    Host = "host",
    Hostname = "hostname",
    Https = "https",
    IsArgs = "is_args",
    /// `:` if `$request_port` is not empty.
    IsRequestPort = "is_request_port",
    LimitRate = "limit_rate",
    LimitReqStatus = "limit_req_status",
    Msec = "msec",
    NginxVersion = "nginx_version",
    Pid = "pid",
    /// `p` if the request was pipelined, `.` otherwise.
    Pipe = "pipe",
    ProxyAddXForwardedFor = "proxy_add_x_forwarded_for",
    ProxyHost = "proxy_host",
    ProxyPort = "proxy_port",
    /// The same as `$args`.
    QueryString = "query_string",
    RealipRemoteAddr = "realip_remote_addr",
    RealipRemotePort = "realip_remote_port",
    RealpathRoot = "realpath_root",
    RemoteAddr = "remote_addr",
    RemotePort = "remote_port",
    RemoteUser = "remote_user",
    /// The request line.
    Request = "request",
    RequestBody = "request_body",
    RequestBodyFile = "request_body_file",
    RequestCompletion = "request_completion",
    RequestFilename = "request_filename",
    RequestId = "request_id",
    RequestLength = "request_length",
    RequestMethod = "request_method",
    /// The port that the request names, in its target or Host.
    RequestPort = "request_port",
    RequestTime = "request_time",
    /// The request target as it came.
    RequestUri = "request_uri",
    Scheme = "scheme",
    ServerAddr = "server_addr",
    ServerName = "server_name",
    ServerPort = "server_port",
    ServerProtocol = "server_protocol",
    SslCipher = "ssl_cipher",
    SslProtocol = "ssl_protocol",
    SslServerName = "ssl_server_name",
    /// `r` if an earlier session was resumed, else `.`.
    SslSessionReused = "ssl_session_reused",
    Status = "status",
    TimeIso8601 = "time_iso8601",
    TimeLocal = "time_local",
    UpstreamAddr = "upstream_addr",
    UpstreamBytesReceived = "upstream_bytes_received",
    UpstreamBytesSent = "upstream_bytes_sent",
    UpstreamConnectTime = "upstream_connect_time",
    /// Ours: the number of the upstream connection. nginx has no such thing.
    UpstreamConnection = "upstream_connection",
    UpstreamHeaderTime = "upstream_header_time",
    /// Ours: why the upstream connection was opened, or `reused`.
    UpstreamOpened = "upstream_opened",
    UpstreamResponseLength = "upstream_response_length",
    UpstreamResponseTime = "upstream_response_time",
    UpstreamStatus = "upstream_status",
    /// The path, decoded and normalized, as rewrites left it.
    Uri = "uri",
}

/// The families: what stands in front of the name, and what it makes.
type Family = (&'static str, fn(Box<str>) -> Variable);

/// A longer prefix stands before its beginning.
const FAMILIES: &[Family] = &[
    ("sent_http_", Variable::SentHttp),
    ("sent_trailer_", Variable::SentTrailer),
    ("upstream_http_", Variable::UpstreamHttp),
    ("upstream_trailer_", Variable::UpstreamTrailer),
    ("upstream_cookie_", Variable::UpstreamCookie),
    ("http_", Variable::Http),
    ("cookie_", Variable::Cookie),
    ("arg_", Variable::Arg),
];

impl Variable {
    /// The variable that has this name in every configuration, without the `$`. Names of nginx
    /// are compared ignoring case, for it folds them all.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        if let [digit @ b'1'..=b'9'] = name.as_bytes() {
            return Some(Self::Capture(digit - b'0'));
        }
        let name = name.to_ascii_lowercase();
        if let Some((_, variable)) = NAMED.iter().find(|(known, _)| *known == name) {
            return Some(variable.clone());
        }
        FAMILIES.iter().find_map(|(prefix, make)| {
            let rest = name.strip_prefix(prefix)?;
            (!rest.is_empty()).then(|| make(rest.into()))
        })
    }

    /// The names that [`built_in`](Self::built_in) knows, but for the families.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }

    /// What the names of families begin with.
    pub fn family_prefixes() -> impl Iterator<Item = &'static str> {
        FAMILIES.iter().map(|(prefix, _)| *prefix)
    }

    /// `set` may give it a value although nginx defines it.
    #[must_use]
    pub const fn is_changeable(&self) -> bool {
        matches!(self, Self::Args | Self::LimitRate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_families() {
        for (name, expected) in [
            ("uri", Some(Variable::Uri)),
            ("REQUEST_URI", Some(Variable::RequestUri)),
            ("http_x_token", Some(Variable::Http("x_token".into()))),
            ("sent_http_etag", Some(Variable::SentHttp("etag".into()))),
            ("upstream_http_x", Some(Variable::UpstreamHttp("x".into()))),
            ("arg_page", Some(Variable::Arg("page".into()))),
            ("1", Some(Variable::Capture(1))),
            ("0", None),
            ("http_", None),
            ("nonsense", None),
        ] {
            assert_eq!(Variable::built_in(name), expected, "{name}");
        }
    }

    #[test]
    fn each_name_is_there_once() {
        let mut names: Vec<_> = Variable::names().collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Variable::names().count());
    }
}
