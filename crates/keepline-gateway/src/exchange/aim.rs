//! Where a request is passed to: the upstream, the path that it is asked for, and what makes a
//! connection the right one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use http::Uri;
use keepline::Error;
use keepline::client::Target;
use keepline::net::Resolve;
use keepline::tls::ClientTls;

use super::peer_tls::client_tls;
use super::wait::Waited;
use super::{Plan, Serving};
use crate::answer::Answer;
use crate::config::{
    Address, Content, Level, ProxyPass, ProxyTarget, Scheme, Scope, Template, Upstream, UpstreamId,
    UpstreamServer,
};
use crate::request::without_port;
use crate::upstream::names::Unresolved;
use crate::upstream::{Entry, Group};

/// Addresses of servers that move whose targets are remembered. Those of one name are few, but they change.
const MOST_MOVING: usize = 1000;

/// What connections for a scope depend on, as far as it is known beforehand.
#[derive(Debug)]
pub(crate) struct Targets {
    /// Those of the servers of a fixed upstream, in its order.
    fixed: Vec<Target>,
    /// Those of the servers of a fixed upstream that move, as they come up.
    moving: Mutex<HashMap<Address, Target>>,
    /// How TLS is spoken, where it may be.
    tls: Option<ClientTls>,
    /// The name of the server, where it depends on the request.
    name: Option<Template>,
    /// What sockets are bound to.
    bind: Bind,
    /// `proxy_socket_rcvbuf`, `proxy_socket_sndbuf`.
    buffers: (Option<usize>, Option<usize>),
    /// Set where connections belong to the scope alone.
    scope: u64,
}

/// `proxy_bind`.
#[derive(Debug, Clone)]
enum Bind {
    /// The system chooses.
    Free,
    To(SocketAddr),
    /// The request decides.
    By(Template),
}

/// An address, perhaps with a port.
fn local_address(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse().ok().map(|ip| SocketAddr::new(ip, 0));
    text.parse().ok().or_else(bare)
}

/// Where a request is passed to.
pub(super) struct Aim<'l> {
    pub(super) group: Chosen<'l>,
    pub(super) plan: &'l Plan,
    pub(super) path: AskedPath<'l>,
    scheme: Scheme,
    /// Host and perhaps port, of a `proxy_pass` with variables.
    authority: Option<Box<str>>,
}

/// An upstream of the configuration, or one that a variable has named.
pub(super) enum Chosen<'l> {
    Known(&'l Group),
    Named(Arc<Group>),
}

/// The path that an upstream is asked for.
pub(super) enum AskedPath<'l> {
    /// The request's, as it came or was rewritten.
    OfRequest,
    /// This stands for what the location matched.
    Replaces(&'l str),
    /// Exactly this.
    Whole(Vec<u8>),
}

impl Deref for Chosen<'_> {
    type Target = Group;

    fn deref(&self) -> &Group {
        match self {
            Self::Known(group) => group,
            Self::Named(group) => group,
        }
    }
}

impl<'l> Chosen<'l> {
    /// The address of a server, for the logs.
    pub(super) fn server_name(&self, index: usize) -> Cow<'l, str> {
        match self {
            Self::Known(group) => match group.server(index) {
                Some(Entry::Fixed(server)) => Cow::Borrowed(&server.name),
                Some(Entry::Moving(server)) => Cow::Owned(server.name.to_string()),
                None => Cow::Borrowed(""),
            },
            Self::Named(group) => {
                let server = group.server(index);
                Cow::Owned(server.map_or_else(String::new, |server| server.name.to_string()))
            }
        }
    }

    /// The name of the upstream, for the logs.
    pub(super) fn name(&self) -> Cow<'l, str> {
        match self {
            Self::Known(group) => Cow::Borrowed(&group.upstream.name),
            Self::Named(group) => Cow::Owned(group.upstream.name.to_string()),
        }
    }
}

impl Targets {
    pub(super) fn new(scope: &Scope, groups: &[Arc<Group>]) -> Result<Self, Error> {
        let mut targets = Self {
            fixed: Vec::new(),
            moving: Mutex::default(),
            tls: None,
            name: None,
            bind: match &scope.proxy.bind {
                None => Bind::Free,
                Some(template) => match template.as_literal().and_then(local_address) {
                    Some(address) => Bind::To(address),
                    None => Bind::By(template.clone()),
                },
            },
            buffers: (
                scope.proxy.socket_receive_buffer,
                scope.proxy.socket_send_buffer,
            ),
            // 0 is the tag of connections that anybody may use.
            scope: scope.id.0 + 1,
        };
        let Content::Proxy(ProxyPass { target }) = &scope.content else {
            return Ok(targets);
        };
        let tls = &scope.proxy.tls;
        match target {
            ProxyTarget::Variable(_) => {
                targets.tls = Some(client_tls(tls)?);
                targets.name.clone_from(&tls.name);
            }
            ProxyTarget::Fixed {
                scheme,
                upstream,
                host,
                ..
            } => {
                if *scheme == Scheme::Https {
                    targets.tls = Some(client_tls(tls)?);
                }
                // Also where it is always the same: servers that move, and sockets that are bound anew, have their
                // targets made later.
                targets.name.clone_from(&tls.name);
                let name = match &tls.name {
                    None => Some(without_port(host)),
                    Some(name) => name.as_literal(),
                };
                let local = match targets.bind {
                    Bind::Free => Some(None),
                    Bind::To(local) => Some(Some(local)),
                    Bind::By(_) => None,
                };
                if let (Some(name), Some(local)) = (name, local)
                    && let Some(group) = groups.get(upstream.0)
                {
                    let addresses = group.fixed_addresses();
                    let made = addresses.map(|to| targets.make(group, *scheme, (local, to), name));
                    targets.fixed = made.collect::<Result<_, _>>()?;
                }
            }
        }
        Ok(targets)
    }

    /// What a connection to a server depends on whose address may be another one tomorrow.
    fn made_before(
        &self,
        address: &Address,
        make: impl FnOnce() -> Result<Target, Error>,
    ) -> Result<Target, Error> {
        let mut known = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = known.get(address) {
            return Ok(target.clone());
        }
        if known.len() >= MOST_MOVING {
            known.clear();
        }
        let target = make()?;
        known.insert(address.clone(), target.clone());
        Ok(target)
    }

    /// What a connection to a server depends on.
    fn make(
        &self,
        group: &Group,
        scheme: Scheme,
        (local, address): (Option<SocketAddr>, &Address),
        name: &str,
    ) -> Result<Target, Error> {
        // Address, scheme and TLS identity make connections interchangeable; the host's name does not.
        let uri = match scheme {
            Scheme::Http => Uri::from_static("http://upstream"),
            Scheme::Https => Uri::from_static("https://upstream"),
        };
        let keepalive = group.upstream.keepalive.as_ref();
        let is_local = keepalive.is_some_and(|keepalive| keepalive.is_local);
        let tag = if is_local { self.scope } else { 0 };
        let builder = match address {
            Address::Inet(address) => Target::builder(&uri).address(*address),
            Address::Unix(path) => Target::builder(&uri).unix(path),
        };
        let (receive, send) = self.buffers;
        let mut builder = builder.tag(tag).socket_buffers(receive, send);
        if let Some(local) = local {
            builder = builder.local_address(local);
        }
        if let (Scheme::Https, Some(tls)) = (scheme, &self.tls) {
            builder = builder.tls(tls.clone()).server_name(name);
        }
        builder.build()
    }
}

impl<'l> Serving<'_, '_, 'l> {
    /// Where `proxy_pass` leads.
    pub(super) async fn aim(&mut self, pass: &'l ProxyPass) -> Result<Aim<'l>, Answer> {
        let Some(plan) = self.request.plan else {
            return Err(Answer::Status(500));
        };
        let aim = match &pass.target {
            ProxyTarget::Fixed {
                upstream,
                uri,
                scheme,
                ..
            } => {
                let group = self.request.live.group(*upstream);
                let uri = uri.as_deref();
                Aim {
                    group: Chosen::Known(group.ok_or(Answer::Status(500))?),
                    plan,
                    path: uri.map_or(AskedPath::OfRequest, AskedPath::Replaces),
                    scheme: *scheme,
                    authority: None,
                }
            }
            ProxyTarget::Variable(url) => self.aim_at(plan, url).await?,
        };
        // Whoever comes before the first answer for a server that moves waits for it.
        if let Some(answers) = aim.group.first_answers() {
            let limit = self.request.scope.proxy.connect_timeout;
            if let Waited::ClientGone = self.wait_for(answers, limit).await {
                return Err(Answer::ClientGone);
            }
        }
        Ok(aim)
    }

    /// Where a URL leads that was made of variables.
    async fn aim_at(&mut self, plan: &'l Plan, url: &Template) -> Result<Aim<'l>, Answer> {
        let url = self.view().value(url);
        let Some(url) = Url::parse(&url) else {
            self.complain(
                Level::Error,
                None,
                format_args!("invalid URL in proxy_pass: \"{}\"", url.escape_ascii()),
            );
            return Err(Answer::Status(500));
        };
        let default = if url.scheme == Scheme::Https { 443 } else { 80 };
        let port = url.port.unwrap_or(default);
        self.request.proxied = Some((url.authority.into(), port));
        let live = self.request.live;
        let group = match live.upstream_named(url.authority) {
            Some(UpstreamId(known)) => Chosen::Known(&live.groups[known]),
            None => Chosen::Named(self.named(plan, url.host, port).await?),
        };
        Ok(Aim {
            group,
            plan,
            path: match url.path {
                b"" => AskedPath::OfRequest,
                path => AskedPath::Whole(path.to_vec()),
            },
            scheme: url.scheme,
            authority: Some(url.authority.into()),
        })
    }

    /// An upstream that no block describes: its connections are not kept, as in nginx.
    async fn named(&mut self, plan: &Plan, host: &str, port: u16) -> Result<Arc<Group>, Answer> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let mut ips = match bare.parse() {
            Ok(ip) => vec![ip],
            Err(_) => self.resolve(plan, host).await?,
        };
        // Name servers change the order with each answer, and that makes no other upstream.
        ips.sort_unstable();
        let addresses = ips.into_iter().map(|ip| SocketAddr::new(ip, port));
        let addresses = addresses.map(Address::Inet).collect();
        let named = (host.into(), addresses);
        let group = self.request.live.unlisted(named, |(name, addresses)| {
            let server = |address: &Address| UpstreamServer {
                // As in nginx, where each request begins anew with all of them.
                max_fails: 0,
                ..UpstreamServer::new(address.clone())
            };
            let mut upstream = Upstream::new(&**name, addresses.iter().map(server).collect());
            upstream.is_implicit = true;
            Group::new(&Arc::new(upstream))
        });
        group.map_err(|_| Answer::Status(500))
    }

    /// Asks the `resolver` for a name, together with the client and within `resolver_timeout`.
    async fn resolve(&mut self, plan: &Plan, host: &str) -> Result<Vec<IpAddr>, Answer> {
        let Some(resolver) = &plan.resolver else {
            let message = format_args!("no resolver defined to resolve {host}");
            self.complain(Level::Error, None, message);
            return Err(Answer::Status(502));
        };
        let limit = self.request.scope.settings.resolver_timeout;
        let resolving = resolver.resolve(&host.to_ascii_lowercase());
        let why = match self.wait_for(resolving, limit).await {
            Waited::For(Ok(resolved)) if !resolved.addresses.is_empty() => {
                return Ok(resolved.addresses);
            }
            Waited::For(Ok(_)) => Unresolved::NotFound,
            Waited::For(Err(error)) => Unresolved::from(&error),
            Waited::Expired => Unresolved::TimedOut,
            Waited::ClientGone => return Err(Answer::ClientGone),
        };
        let message = format_args!("{host} could not be resolved ({why})");
        self.complain(Level::Error, None, message);
        Err(Answer::Status(502))
    }

    /// The local address that the request says. As in nginx, what is none leaves it to the system.
    fn bound(&self, template: &Template) -> Option<SocketAddr> {
        let value = self.view().value(template);
        let address = std::str::from_utf8(&value).ok().and_then(local_address);
        if address.is_none() && !value.is_empty() {
            let message = format_args!("invalid local address \"{}\"", value.escape_ascii());
            self.complain(Level::Error, Some("connecting to upstream"), message);
        }
        address
    }

    /// What a connection to a server of the upstream depends on.
    pub(super) fn target(&self, aim: &Aim<'l>, index: usize) -> Result<Cow<'l, Target>, Error> {
        let targets = &aim.plan.targets;
        if aim.authority.is_none()
            && let Some(target) = targets.fixed.get(index)
        {
            return Ok(Cow::Borrowed(target));
        }
        let host = match (&aim.authority, self.request.proxied()) {
            (Some(authority), _) => authority,
            (None, proxied) => proxied.map_or("", |(host, _)| host),
        };
        let name = match &targets.name {
            Some(name) => {
                let name = self.view().value(name);
                Cow::Owned(String::from_utf8_lossy(&name).into_owned())
            }
            None => Cow::Borrowed(without_port(host)),
        };
        // A seat has a server, and a server that has left keeps its place while somebody sits there.
        let Some(server) = aim.group.server(index) else {
            return Err(super::pass::gone());
        };
        let local = match &targets.bind {
            Bind::Free => None,
            Bind::To(local) => Some(*local),
            Bind::By(template) => self.bound(template),
        };
        let make = || targets.make(&aim.group, aim.scheme, (local, &server.address), &name);
        // The same for each request: the upstream is known, the name, and where it comes from.
        let is_bound_anew = matches!(targets.bind, Bind::By(_));
        let has_one_name = |name: &Template| name.as_literal().is_some();
        let is_same = aim.authority.is_none()
            && targets.name.as_ref().is_none_or(has_one_name)
            && !is_bound_anew;
        let made = match is_same {
            true => targets.made_before(&server.address, make)?,
            false => make()?,
        };
        Ok(Cow::Owned(made))
    }
}

/// A URL as `proxy_pass` has it.
struct Url<'u> {
    scheme: Scheme,
    authority: &'u str,
    host: &'u str,
    port: Option<u16>,
    path: &'u [u8],
}

impl<'u> Url<'u> {
    fn parse(url: &'u [u8]) -> Option<Self> {
        let (scheme, rest) = match url {
            [b'h', b't', b't', b'p', b':', b'/', b'/', rest @ ..] => (Scheme::Http, rest),
            [b'h', b't', b't', b'p', b's', b':', b'/', b'/', rest @ ..] => (Scheme::Https, rest),
            _ => return None,
        };
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        let authority = std::str::from_utf8(authority).ok()?;
        let host = without_port(authority);
        let port = match authority.get(host.len()..)?.strip_prefix(':') {
            None => None,
            Some(port) => Some(port.parse().ok()?),
        };
        let is_named = !host.is_empty();
        is_named.then_some(Self {
            scheme,
            authority,
            host,
            port,
            path,
        })
    }
}
