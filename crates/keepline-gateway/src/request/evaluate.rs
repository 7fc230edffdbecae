//! What a variable says for a request: a pure function of what is known so far.
//!
//! A variable appends its value and answers whether it has one; a template appends all of its
//! parts, undefined ones as nothing. Nothing is allocated but what the caller's buffer needs.

use std::io::Write;
use std::time::SystemTime;

use keepline::proto::RequestHead;
use keepline::server::{Exchange, RequestInfo};

use super::append::{
    append_display, append_number, append_peer, append_port, append_some, append_time,
};
use super::captures::Captures;
use super::lookup::first;
use super::state::{Attempt, Request};
use super::time::{Civil, append_msec, append_seconds};
use crate::config::{MapId, Pattern, Piece, ServerName, Template, Variable};

/// A request as its variables see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) head: &'a RequestHead,
    pub(crate) info: &'a RequestInfo,
    pub(crate) exchange: &'a Exchange<'a>,
}

/// How deep maps may refer to each other: one that refers to itself is undefined there.
const MAP_DEPTH: u8 = 16;

impl View<'_> {
    /// Appends what `template` is for this request.
    pub(crate) fn append(&self, template: &Template, out: &mut Vec<u8>) {
        self.append_within(template, MAP_DEPTH, out);
    }

    /// What `template` is for this request.
    pub(crate) fn value(&self, template: &Template) -> Vec<u8> {
        let mut value = Vec::new();
        self.append(template, &mut value);
        value
    }

    /// Neither empty nor `0`.
    pub(crate) fn is_true(&self, template: &Template) -> bool {
        !matches!(&*self.value(template), b"" | b"0")
    }

    /// Appends the value of a variable; false if it has none.
    pub(crate) fn variable(&self, variable: &Variable, out: &mut Vec<u8>) -> bool {
        self.variable_within(variable, MAP_DEPTH, out)
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    fn variable_within(&self, variable: &Variable, depth: u8, out: &mut Vec<u8>) -> bool {
        let request = self.request;
        let target = self.head.target();
        match variable {
            Variable::Args | Variable::QueryString => {
                let args = request.subject.args(target);
                out.extend_from_slice(args);
                return !args.is_empty();
            }
            Variable::Arg(name) => return append_some(self.argument(name), out),
            Variable::BinaryRemoteAddr => match self.remote() {
                Some((std::net::IpAddr::V4(ip), _)) => out.extend_from_slice(&ip.octets()),
                Some((std::net::IpAddr::V6(ip), _)) => out.extend_from_slice(&ip.octets()),
                None => out.extend_from_slice(b"unix:"),
            },
            Variable::BodyBytesSent => append_number(request.sent.content, out),
            Variable::BytesSent => append_number(request.sent.total, out),
            Variable::Capture(group) => {
                return append_some(request.captures.group(usize::from(*group)), out);
            }
            Variable::Connection => append_number(self.info.connection(), out),
            Variable::ConnectionRequests => append_number(self.info.number(), out),
            Variable::ConnectionTime => append_seconds(self.info.age(), out),
            Variable::ConnectionsActive => append_number(request.live.clients().active, out),
            Variable::ConnectionsReading => append_number(request.live.clients().reading, out),
            Variable::ConnectionsWaiting => append_number(request.live.clients().waiting, out),
            Variable::ConnectionsWriting => append_number(request.live.clients().writing, out),
            Variable::ContentLength => return append_some(self.field("content_length"), out),
            Variable::ContentType => return append_some(self.field("content_type"), out),
            Variable::Cookie(name) => return append_some(self.cookie(name), out),
            Variable::DocumentRoot | Variable::RealpathRoot => {
                self.append(&request.scope.settings.root, out);
            }
            Variable::Uri | Variable::DocumentUri => {
                out.extend_from_slice(request.subject.path(target));
            }
            Variable::Host => match request
                .subject
                .host
                .bytes(self.head, &request.subject.parts)
            {
                b"" => out.extend_from_slice(server_name(request).as_bytes()),
                host => out.extend_from_slice(host),
            },
            Variable::Hostname => out.extend_from_slice(request.live.hostname().as_bytes()),
            Variable::Http(name) => return self.joined(name, out),
            Variable::Https => {
                if !self.info.is_tls() {
                    return false;
                }
                out.extend_from_slice(b"on");
            }
            Variable::IsArgs => {
                if !request.subject.args(target).is_empty() {
                    out.push(b'?');
                }
            }
            Variable::IsRequestPort => {
                if request.subject.host.port.is_some() {
                    out.push(b':');
                }
            }
            Variable::LimitRate => match &request.limit_rate {
                Some(rate) => out.extend_from_slice(rate),
                None => out.push(b'0'),
            },
            Variable::LimitReqStatus => {
                return append_some(request.limit_req_status.map(str::as_bytes), out);
            }
            Variable::Map(map) => return self.map(*map, depth, out),
            Variable::Msec => append_msec(SystemTime::now(), out),
            Variable::NginxVersion => out.extend_from_slice(crate::NGINX_VERSION.as_bytes()),
            Variable::Pid => append_number(u64::from(std::process::id()), out),
            Variable::Pipe => out.push(if request.is_pipelined { b'p' } else { b'.' }),
            Variable::ProxyAddXForwardedFor => {
                if self.joined("x_forwarded_for", out) {
                    out.extend_from_slice(b", ");
                }
                return self.variable_within(&Variable::RemoteAddr, depth, out);
            }
            Variable::ProxyHost => {
                return append_some(request.proxied().map(|(host, _)| host.as_bytes()), out);
            }
            Variable::ProxyPort => match request.proxied() {
                Some((_, port)) => append_number(u64::from(port), out),
                None => return false,
            },
            Variable::RealipRemoteAddr => return append_peer(self.info.peer(), out),
            Variable::RealipRemotePort => return append_port(self.info.peer(), out),
            Variable::RemoteAddr => match request.real_address {
                Some((ip, _)) => append_display(&ip, out),
                None => return append_peer(self.info.peer(), out),
            },
            Variable::RemotePort => match request.real_address {
                Some((_, port)) => append_number(u64::from(port), out),
                None => return append_port(self.info.peer(), out),
            },
            Variable::RemoteUser => return append_some(self.remote_user().as_deref(), out),
            Variable::Request if request.line.is_some() => {
                return append_some(request.line.as_deref(), out);
            }
            Variable::Request => {
                out.extend_from_slice(self.head.method().as_str().as_bytes());
                out.push(b' ');
                out.extend_from_slice(target);
                out.push(b' ');
                out.extend_from_slice(self.protocol());
            }
            Variable::RequestBody => return append_some(request.body.as_deref(), out),
            Variable::RequestBodyFile => match &request.body_file {
                Some(path) => append_display(&path.display(), out),
                None => return false,
            },
            Variable::RequestCompletion => {
                if request.sent.is_complete {
                    out.extend_from_slice(b"OK");
                }
            }
            Variable::RequestFilename => self.append_filename(out),
            Variable::RequestId => {
                let id = (u128::from(self.info.connection()) << 64)
                    | u128::from(self.info.number() ^ request.live.id_seed());
                let _ = write!(out, "{id:032x}");
            }
            Variable::RequestLength => {
                append_number(request.received.max(self.head.wire_len() as u64), out);
            }
            Variable::RequestMethod => {
                out.extend_from_slice(self.head.method().as_str().as_bytes());
            }
            Variable::RequestPort => match request.subject.host.port {
                Some(port) => append_number(u64::from(port), out),
                None => return false,
            },
            Variable::RequestTime => append_seconds(request.began.elapsed(), out),
            Variable::RequestUri => {
                let origin = request.subject.parts.origin.clone();
                out.extend_from_slice(target.get(origin).unwrap_or_default());
            }
            Variable::Scheme => {
                out.extend_from_slice(if self.info.is_tls() {
                    b"https"
                } else {
                    b"http"
                });
            }
            Variable::SentHttp(name) => return self.sent(name, out),
            Variable::ServerAddr => self.append_server_addr(out),
            Variable::ServerName => out.extend_from_slice(server_name(request).as_bytes()),
            Variable::ServerPort => append_number(u64::from(request.endpoint.port()), out),
            Variable::ServerProtocol => out.extend_from_slice(self.protocol()),
            Variable::Slot(slot) => return append_some(request.slot(*slot), out),
            Variable::SentTrailer(_) => return false,
            Variable::SslCipher
            | Variable::SslProtocol
            | Variable::SslServerName
            | Variable::SslSessionReused => return self.append_tls(variable, out),
            Variable::Status => {
                let _ = write!(out, "{:03}", request.sent.status);
            }
            Variable::TimeIso8601 => Civil::of(SystemTime::now()).append_iso8601(out),
            Variable::TimeLocal => Civil::of(SystemTime::now()).append_local(out),
            Variable::UpstreamAddr => {
                return each(request, out, |attempt, out| {
                    out.extend_from_slice(attempt.server.as_bytes());
                });
            }
            Variable::UpstreamBytesReceived => {
                return each(request, out, |attempt, out| {
                    append_number(attempt.received, out);
                });
            }
            Variable::UpstreamBytesSent => {
                return each(request, out, |attempt, out| {
                    append_number(attempt.sent, out);
                });
            }
            Variable::UpstreamConnectTime => {
                return each(request, out, |attempt, out| {
                    append_time(attempt.connected, out);
                });
            }
            Variable::UpstreamConnection => {
                return each(request, out, |attempt, out| match attempt.connection {
                    Some((number, _)) => append_number(number, out),
                    None => out.push(b'-'),
                });
            }
            Variable::UpstreamHeaderTime => {
                return each(request, out, |attempt, out| {
                    append_time(attempt.answered, out);
                });
            }
            Variable::UpstreamOpened => {
                return each(request, out, |attempt, out| match attempt.connection {
                    Some((_, Some(reason))) => append_display(&reason, out),
                    Some((_, None)) => out.extend_from_slice(b"reused"),
                    None => out.push(b'-'),
                });
            }
            Variable::UpstreamResponseLength => {
                return each(request, out, |attempt, out| {
                    append_number(attempt.content, out);
                });
            }
            Variable::UpstreamResponseTime => {
                return each(request, out, |attempt, out| append_time(attempt.took, out));
            }
            Variable::UpstreamStatus => {
                return each(request, out, |attempt, out| match attempt.status {
                    0 => out.push(b'-'),
                    status => append_number(u64::from(status), out),
                });
            }
            Variable::UpstreamHttp(name) => {
                let head = request.answer.as_ref();
                return append_some(head.and_then(|head| first(head.fields(), name)), out);
            }
            Variable::UpstreamTrailer(name) => {
                let trailers = request.trailers.as_ref();
                return append_some(trailers.and_then(|fields| first(fields, name)), out);
            }
            Variable::UpstreamCookie(name) => return append_some(self.upstream_cookie(name), out),
        }
        true
    }

    fn protocol(&self) -> &'static [u8] {
        if self.head.version() == http::Version::HTTP_10 {
            b"HTTP/1.0"
        } else {
            b"HTTP/1.1"
        }
    }

    /// Root or alias with the path below it.
    pub(crate) fn append_filename(&self, out: &mut Vec<u8>) {
        let settings = &self.request.scope.settings;
        let path = self.request.subject.path(self.head.target());
        if let Some(alias) = &settings.alias {
            self.append(alias, out);
            let matched = self.request.matched_length();
            out.extend_from_slice(path.get(matched..).unwrap_or_default());
        } else {
            self.append(&settings.root, out);
            out.extend_from_slice(path);
        }
    }

    fn map(&self, map: MapId, depth: u8, out: &mut Vec<u8>) -> bool {
        let (Some((map, rows)), Some(depth)) = (self.request.live.map(map), depth.checked_sub(1))
        else {
            return false;
        };
        let mut source = Vec::new();
        self.append_within(&map.source, depth, &mut source);
        let Some((number, pattern)) = rows.find(&source) else {
            self.append_within(&map.default, depth, out);
            return true;
        };
        let value = &map.rows[number].value;
        let captured = pattern.and_then(|pattern| Some((pattern, Captures::of(pattern, &source)?)));
        if let Some((pattern, captures)) = captured {
            self.append_with_within(value, pattern, &captures, depth, out);
        } else {
            self.append_within(value, depth, out);
        }
        true
    }

    /// Appends a value with the groups of an expression that has matched something else than the request.
    pub(crate) fn append_with(
        &self,
        template: &Template,
        pattern: &Pattern,
        captures: &Captures,
        out: &mut Vec<u8>,
    ) {
        self.append_with_within(template, pattern, captures, MAP_DEPTH, out);
    }

    fn append_with_within(
        &self,
        template: &Template,
        pattern: &Pattern,
        captures: &Captures,
        depth: u8,
        out: &mut Vec<u8>,
    ) {
        for piece in template.pieces() {
            let group = match piece {
                Piece::Variable(Variable::Capture(number)) => Some(usize::from(*number)),
                Piece::Variable(Variable::Slot(slot)) => {
                    let name = self.request.live.http.slots.get(slot.0);
                    let mut named = pattern.names();
                    let same = |own: &str| name.is_some_and(|name| own.eq_ignore_ascii_case(name));
                    named.find(|(_, own)| same(own)).map(|(number, _)| number)
                }
                Piece::Variable(_) | Piece::Literal(_) => None,
            };
            match (group, piece) {
                (Some(group), _) => {
                    out.extend_from_slice(captures.group(group).unwrap_or_default());
                }
                (None, Piece::Literal(text)) => out.extend_from_slice(text.as_bytes()),
                (None, Piece::Variable(variable)) => {
                    self.variable_within(variable, depth, out);
                }
            }
        }
    }

    fn append_within(&self, template: &Template, depth: u8, out: &mut Vec<u8>) {
        for piece in template.pieces() {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => {
                    self.variable_within(variable, depth, out);
                }
            }
        }
    }
}

/// The first name of the server.
fn server_name<'a>(request: &Request<'a>) -> &'a str {
    match request.server.names.first() {
        Some(
            ServerName::Exact(text)
            | ServerName::Subdomains(text)
            | ServerName::WithSubdomains(text)
            | ServerName::Prefix(text),
        ) => text,
        Some(ServerName::Regex(pattern)) => pattern.source(),
        None => "",
    }
}

/// A value for each attempt, with `, ` between them.
fn each(
    request: &Request<'_>,
    out: &mut Vec<u8>,
    mut append: impl FnMut(&Attempt<'_>, &mut Vec<u8>),
) -> bool {
    let mut is_first = true;
    for attempt in request.attempts.iter() {
        if !std::mem::take(&mut is_first) {
            out.extend_from_slice(b", ");
        }
        append(attempt, out);
    }
    !is_first
}
