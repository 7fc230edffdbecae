//! The state of one request.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use keepline::OpenReason;
use keepline::proto::{BodyLength, Field, Fields, RequestHead, ResponseHead};
use tokio::time::Instant;

use super::captures::Captures;
use crate::config::{Content, Location, Matcher, ProxyPass, ProxyTarget, Scope, Server, SlotId};
use crate::exchange::Plan;
use crate::gateway::{Endpoint, Live};
use crate::route::{TargetParts, Text};

/// A request while it is served.
#[derive(Debug)]
pub(crate) struct Request<'l> {
    pub(crate) live: &'l Live,
    pub(crate) endpoint: &'l Endpoint,
    pub(crate) server: &'l Server,
    /// The location, unless none matches.
    pub(crate) location: Option<&'l Location>,
    /// What holds: the location's scope, or that of an `if` in it.
    pub(crate) scope: &'l Scope,
    /// What is known of the scope beforehand.
    pub(crate) plan: Option<&'l Plan>,
    pub(crate) subject: Subject,
    /// What `set` and named groups have given values.
    pub(crate) slots: Vec<Option<Box<[u8]>>>,
    /// The groups of the last regular expression that matched.
    pub(crate) captures: Captures,
    /// Who the client is, where real_ip says that it isn't the peer.
    pub(crate) real_address: Option<(IpAddr, u16)>,
    pub(crate) began: Instant,
    pub(crate) attempts: Attempts<'l>,
    pub(crate) sent: Sent,
    /// The head of the last upstream's answer, once it has one.
    pub(crate) answer: Option<ResponseHead>,
    pub(crate) trailers: Option<Fields>,
    /// `set $limit_rate`.
    pub(crate) limit_rate: Option<Box<[u8]>>,
    pub(crate) limit_req_status: Option<&'static str>,
    /// The content of the request, where it is held.
    pub(crate) body: Option<bytes::Bytes>,
    pub(crate) body_file: Option<std::path::PathBuf>,
    /// Bytes of the request, head and framed content.
    pub(crate) received: u64,
    /// It had arrived when the one before it ended.
    pub(crate) is_pipelined: bool,
    /// What came as a request line, where it was none.
    pub(crate) line: Option<Box<[u8]>>,
    /// The status of the answer, whatever its maker says: `error_page` has it so.
    pub(crate) overriding_status: Option<u16>,
    /// Host and port of a `proxy_pass` with variables.
    pub(crate) proxied: Option<(Box<str>, u16)>,
}

/// What the request is about, as rewrites leave it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts that are independent of each other"
)]
#[derive(Debug)]
pub(crate) struct Subject {
    /// `$uri`.
    pub(crate) path: Text,
    /// `$args`.
    pub(crate) args: Text,
    pub(crate) parts: TargetParts,
    /// The path and arguments are still those of the target.
    pub(crate) is_as_sent: bool,
    /// It was redirected inside the gateway.
    pub(crate) is_internal: bool,
    /// The location was chosen for this path: its prefix stands at the path's beginning.
    pub(crate) is_located: bool,
    /// The method that an `error_page` has turned it into.
    pub(crate) becomes_get: bool,
    /// The host that the request names.
    pub(crate) host: Host,
}

/// The host that a request names, in its target or in Host.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// In lower case and without port, where it did not come so.
    pub(crate) folded: Option<Box<[u8]>>,
    /// Its length without port.
    pub(crate) length: usize,
    /// The port that it names.
    pub(crate) port: Option<u16>,
}

impl Host {
    /// The host, in lower case and without port.
    pub(crate) fn bytes<'a>(&'a self, head: &'a RequestHead, parts: &TargetParts) -> &'a [u8] {
        match &self.folded {
            Some(folded) => folded,
            None => authority(head, parts)
                .get(..self.length)
                .unwrap_or_default(),
        }
    }
}

/// The authority of a request: that of its target, else the Host field.
pub(crate) fn authority<'a>(head: &'a RequestHead, parts: &TargetParts) -> &'a [u8] {
    match &parts.authority {
        Some(range) => head.target().get(range.clone()).unwrap_or_default(),
        None => head.fields().value("host").unwrap_or_default(),
    }
}

impl Subject {
    /// The path.
    pub(crate) fn path<'a>(&'a self, target: &'a [u8]) -> &'a [u8] {
        self.path.bytes(target)
    }

    /// The arguments.
    pub(crate) fn args<'a>(&'a self, target: &'a [u8]) -> &'a [u8] {
        self.args.bytes(target)
    }
}

/// The attempts of a request: most have one, which is held in place.
#[derive(Debug, Default)]
pub(crate) struct Attempts<'l> {
    last: Option<Attempt<'l>>,
    before: Vec<Attempt<'l>>,
}

impl<'l> Attempts<'l> {
    /// Begins a further one.
    pub(crate) fn begin(&mut self, server: Cow<'l, str>) -> &mut Attempt<'l> {
        self.before.extend(self.last.take());
        self.last.insert(Attempt {
            server,
            ..Attempt::default()
        })
    }

    /// The one that is in progress, or was last.
    pub(crate) fn last(&mut self) -> Option<&mut Attempt<'l>> {
        self.last.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Attempt<'l>> {
        self.before.iter().chain(&self.last)
    }
}

/// One try of an upstream server, as the log tells it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempt<'l> {
    /// The server's address, or the name of the upstream where none could be chosen.
    pub(crate) server: Cow<'l, str>,
    pub(crate) status: u16,
    pub(crate) connected: Option<Duration>,
    pub(crate) answered: Option<Duration>,
    pub(crate) took: Option<Duration>,
    pub(crate) content: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Number of the connection, and why it was opened if that was for this attempt.
    pub(crate) connection: Option<(u64, Option<OpenReason>)>,
}

/// Name and value of a field.
pub(crate) type SentField = (Box<[u8]>, Box<[u8]>);

/// What the client has been sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The status, once one is decided.
    pub(crate) status: u16,
    /// Bytes of content.
    pub(crate) content: u64,
    /// All bytes, heads and framing included.
    pub(crate) total: u64,
    /// All of it was handed over.
    pub(crate) is_complete: bool,
    /// The client's connection is kept after it.
    pub(crate) is_kept: bool,
    /// The fields, where a log asks for them.
    pub(crate) fields: Vec<SentField>,
}

impl Sent {
    /// Notes the fields of the head that is being sent, where a log asks for them.
    pub(crate) fn record<'f>(
        &mut self,
        plan: Option<&Plan>,
        fields: impl IntoIterator<Item = Field<'f>>,
        length: BodyLength,
    ) {
        if !plan.is_some_and(|plan| plan.records_fields) {
            return;
        }
        let owned = |name: &[u8], value: &[u8]| (Box::from(name), Box::from(value));
        self.fields.clear();
        let fields = fields.into_iter();
        self.fields
            .extend(fields.map(|field| owned(field.name(), field.value())));
        self.fields.extend(match length {
            BodyLength::Known(length) => {
                Some(owned(b"content-length", length.to_string().as_bytes()))
            }
            BodyLength::Unknown => Some(owned(b"transfer-encoding", b"chunked")),
            BodyLength::UntilClose => None,
        });
    }
}

impl<'l> Request<'l> {
    /// A request as it came.
    pub(crate) fn new(
        live: &'l Live,
        endpoint: &'l Endpoint,
        server: &'l Server,
        parts: TargetParts,
        host: Host,
    ) -> Self {
        Self {
            live,
            endpoint,
            server,
            location: None,
            scope: &server.scope,
            plan: live.plan(&server.scope),
            subject: Subject {
                path: parts.path.clone(),
                args: Text::Target(parts.args.clone()),
                parts,
                is_as_sent: true,
                is_internal: false,
                is_located: false,
                becomes_get: false,
                host,
            },
            slots: Vec::new(),
            captures: Captures::default(),
            real_address: None,
            began: Instant::now(),
            attempts: Attempts::default(),
            sent: Sent::default(),
            answer: None,
            trailers: None,
            limit_rate: None,
            limit_req_status: None,
            body: None,
            body_file: None,
            received: 0,
            is_pipelined: false,
            line: None,
            overriding_status: None,
            proxied: None,
        }
    }

    /// The value of a slot.
    pub(crate) fn slot(&self, slot: SlotId) -> Option<&[u8]> {
        self.slots.get(slot.0)?.as_deref()
    }

    /// Gives a slot its value.
    pub(crate) fn set_slot(&mut self, slot: SlotId, value: &[u8]) {
        if self.slots.len() <= slot.0 {
            self.slots.resize(slot.0 + 1, None);
        }
        self.slots[slot.0] = Some(value.into());
    }

    /// Host and port of the upstream, as `proxy_pass` has them.
    pub(crate) fn proxied(&self) -> Option<(&str, u16)> {
        match &self.scope.content {
            Content::Proxy(ProxyPass {
                target: ProxyTarget::Fixed { host, port, .. },
            }) => Some((host, *port)),
            Content::Proxy(_) | Content::Static | Content::StubStatus => {
                let (host, port) = self.proxied.as_ref()?;
                Some((host, *port))
            }
        }
    }

    /// How much of the path the location's prefix is.
    pub(crate) fn matched_length(&self) -> usize {
        match self.location.map(|location| &location.matcher) {
            Some(Matcher::Exact(text) | Matcher::Prefix(text) | Matcher::PrefixOnly(text)) => {
                text.len()
            }
            Some(Matcher::Regex(_) | Matcher::Named(_)) | None => 0,
        }
    }

    /// Enters a location.
    pub(crate) fn enter(&mut self, location: Option<&'l Location>) {
        self.location = location;
        self.enter_scope(location.map_or(&*self.server.scope, |location| &*location.scope));
        self.subject.is_located = true;
    }

    /// Has the settings of a scope hold.
    pub(crate) fn enter_scope(&mut self, scope: &'l Scope) {
        self.scope = scope;
        self.plan = self.live.plan(scope);
    }
}

/// Formats an address without its port, as nginx does: IPv6 without brackets.
pub(crate) fn ip_of(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}
