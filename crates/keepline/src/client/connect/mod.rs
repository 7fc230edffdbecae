//! From a key to an open stream: resolving, connecting, TLS, each with its deadline and its time.
//!
//! Nothing here is pooled or counted. Dropping the future closes what it has opened.

mod order;
mod race;
mod socket;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

pub(super) use self::order::ATTEMPT_DELAY;
use self::race::Lost;
use self::socket::LocalEnd;
pub(crate) use self::socket::SocketSettings;
use super::Shared;
use super::event::Event;
use super::key::{Key, Origin, Route, Via};
use super::names::{self, Residence};
use super::progress::Dial;
use super::proxy::Proxy;
use crate::error::{Error, ErrorKind, Phase};
use crate::info::Timings;
use crate::net::plain::Protocol;
use crate::net::{Resolved, Stream, literal};
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, Offer, PeerName};

/// Where a connector has agreed on more than was asked for.
const NOT_OFFERED: &str = "the connector has agreed on h2, and this connection is to carry HTTP/1.1: offer http/1.1 alone";

/// Of so many addresses the error tells what became of them.
const TOLD_ADDRESSES: usize = 3;

/// An open stream, and what belongs to it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) timings: Timings,
    /// Where it lives, if the addresses of names are followed.
    pub(super) residence: Option<Residence>,
}

/// Resolves, connects, goes through a proxy and starts TLS; `dial` is told how far that is.
pub(super) async fn connect(shared: &Arc<Shared>, key: &Key, dial: &Dial) -> Result<Opened, Error> {
    let route = key.route();
    let name = || -> Arc<str> { key.to_string().into() };
    let opened = open_socket(shared, key, dial).await;
    let mut opened = opened.map_err(|error| match &route.via {
        Via::Forward(proxy) | Via::Tunnel(proxy) => error.at_proxy(proxy),
        Via::Host | Via::Address(_) | Via::Unix(_) => error,
    })?;
    let peer = opened.stream.peer_addr();
    shared.events.tell(|| Event::Connected {
        origin: name(),
        peer,
    });
    if let Via::Tunnel(proxy) = &route.via {
        let started = Instant::now();
        dial.is_in(Phase::Proxy);
        let tunnel = open_tunnel(shared, &route.origin, proxy, opened.stream).await;
        opened.stream = tunnel.map_err(|error| error.at_proxy(proxy))?;
        opened.timings.proxy = Some(started.elapsed());
    }
    if !route.origin.is_secure {
        return Ok(opened);
    }
    // What a connector gives for a proxy is TLS with that, not with the origin behind it.
    let leads_there = !matches!(route.via, Via::Tunnel(_));
    if let Some(protocol) = opened.stream.brought_tls().filter(|_| leads_there) {
        return match protocol {
            Protocol::Http2 if !route.http2 => Err(Error::caused(ErrorKind::Tls, NOT_OFFERED)),
            Protocol::Http1 | Protocol::Http2 => Ok(opened),
        };
    }
    dial.is_in(Phase::Handshake);
    let started = Instant::now();
    let secured = start_tls(shared, &route.origin, tls_of(shared, route), opened.stream).await;
    opened.stream = secured.map_err(|error| match &route.via {
        Via::Forward(proxy) => error.at_proxy(proxy),
        Via::Host | Via::Address(_) | Via::Unix(_) | Via::Tunnel(_) => error,
    })?;
    shared.events.tell(|| Event::Secured { origin: name() });
    opened.timings.tls = Some(started.elapsed());
    Ok(opened)
}

/// Opens the socket that the key leads to, to the origin or to a proxy.
async fn open_socket(shared: &Arc<Shared>, key: &Key, dial: &Dial) -> Result<Opened, Error> {
    let Route { origin, via, .. } = key.route();
    let started = Instant::now();
    let deadline = after(started, shared.settings.dial.connect_timeout);
    let of_proxy;
    let hop = match via {
        Via::Tunnel(proxy) => {
            of_proxy = proxy.origin();
            &of_proxy
        }
        Via::Host | Via::Address(_) | Via::Unix(_) | Via::Forward(_) => origin,
    };
    dial.is_in(Phase::Connect);
    let stream = match (via, &shared.settings.dial.connector) {
        (Via::Address(address), _) => {
            let end = local_end(shared, key);
            connect_any(shared, &[*address], end, deadline)
                .await?
                .into()
        }
        (Via::Unix(path), _) => {
            let connecting = async { connect_unix(path).await.map_err(not_connected) };
            before(deadline, Phase::Connect, connecting).await?
        }
        (Via::Host | Via::Forward(_) | Via::Tunnel(_), Some(connector)) => {
            let connecting = async { connector.connect(hop).await.map_err(not_connected) };
            before(deadline, Phase::Connect, connecting).await?
        }
        (Via::Host | Via::Forward(_) | Via::Tunnel(_), None) => {
            return open_by_name(shared, key, (hop, dial), deadline).await;
        }
    };
    Ok(Opened {
        stream,
        timings: Timings {
            connect: Some(started.elapsed()),
            ..Timings::default()
        },
        residence: None,
    })
}

fn local_end(shared: &Shared, key: &Key) -> LocalEnd {
    let route = key.route();
    LocalEnd {
        address: route.local.or(shared.settings.dial.socket.local),
        buffers: route.buffers,
    }
}

/// Resolves the host of a hop, and connects to one of its addresses.
async fn open_by_name(
    shared: &Arc<Shared>,
    key: &Key,
    (hop, dial): (&Origin, &Dial),
    deadline: Option<Instant>,
) -> Result<Opened, Error> {
    dial.is_in(Phase::Resolve);
    let started = Instant::now();
    let resolved = before(deadline, Phase::Resolve, resolve(shared, &hop.host)).await?;
    dial.is_in(Phase::Connect);
    let resolved_at = Instant::now();
    shared.events.tell(|| Event::Resolved {
        origin: key.to_string().into(),
        addresses: resolved.addresses.len(),
    });
    let names = shared.names.as_ref();
    let usage = names.map(|names| names.usage(&hop.host));
    let used = |address| {
        usage
            .as_ref()
            .and_then(|usage| usage.get(&address).copied())
    };
    let end = local_end(shared, key);
    let addresses = order::arrange(&resolved.addresses, hop.port, end.address, |address| {
        used(address).unwrap_or(0)
    });
    let tcp = connect_any(shared, &addresses, end, deadline).await?;
    let peer = tcp.peer_addr().map_err(not_connected)?;
    // A host that is an address does not move.
    let residence = match literal(&hop.host) {
        Some(_) => None,
        None => names::settle(shared, &hop.host, peer.ip(), &resolved, started),
    };
    Ok(Opened {
        stream: tcp.into(),
        timings: Timings {
            dns: Some(resolved_at - started),
            connect: Some(resolved_at.elapsed()),
            ..Timings::default()
        },
        residence,
    })
}

async fn resolve(shared: &Shared, host: &str) -> Result<Resolved, Error> {
    let resolved = shared.settings.dial.resolver.resolve(host).await;
    resolved.map_err(|error| Error::caused(ErrorKind::Resolve, format!("{host}: {error}")))
}

/// Has a proxy, to which the stream leads, open a tunnel to the origin.
async fn open_tunnel(
    shared: &Shared,
    origin: &Origin,
    proxy: &Proxy,
    stream: Stream,
) -> Result<Stream, Error> {
    let settings = &shared.settings;
    let hop = proxy.origin();
    let stream = if hop.is_secure && stream.brought_tls().is_none() {
        #[cfg(feature = "tls")]
        let tls = TlsChoice {
            tls: proxy.own_tls(),
            name: None,
            offer: Offer::Http1,
        };
        #[cfg(not(feature = "tls"))]
        let tls = TlsChoice;
        start_tls(shared, &hop, tls, stream).await?
    } else {
        stream
    };
    let deadline = after(Instant::now(), settings.dial.tunnel_timeout);
    let tunnel = proxy.open_tunnel(stream, origin, &settings.dial.resolver, &settings.proto);
    before(deadline, Phase::Proxy, tunnel).await
}

/// Connects to a Unix socket; the error names it.
pub(super) async fn connect_unix(path: &Path) -> io::Result<Stream> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(stream.into()),
        Err(error) => {
            let named = format!("unix:{}: {error}", path.display());
            Err(io::Error::new(error.kind(), named))
        }
    }
}

/// A timeout too long to tell is none.
fn after(start: Instant, timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| start.checked_add(timeout))
}

fn not_connected(error: io::Error) -> Error {
    Error::caused(ErrorKind::Connect, error)
}

/// How TLS is spoken, where that differs from what the Transport does.
#[cfg(feature = "tls")]
struct TlsChoice<'a> {
    tls: Option<&'a ClientTls>,
    name: Option<&'a PeerName>,
    offer: Offer,
}

#[cfg(feature = "tls")]
fn tls_of<'a>(shared: &Shared, route: &'a Route) -> TlsChoice<'a> {
    TlsChoice {
        offer: offer(shared, route),
        tls: route.tls.tls.as_ref(),
        name: route.tls.name.as_ref(),
    }
}

/// Starts TLS with `origin`, in its time.
#[cfg(feature = "tls")]
async fn start_tls(
    shared: &Shared,
    origin: &Origin,
    choice: TlsChoice<'_>,
    stream: Stream,
) -> Result<Stream, Error> {
    let deadline = after(Instant::now(), shared.settings.dial.tls_timeout);
    let (of_transport, of_host);
    let tls = match choice.tls {
        Some(tls) => tls,
        None => {
            of_transport = shared.tls()?;
            &of_transport
        }
    };
    let name = match choice.name {
        Some(name) => name,
        None => {
            of_host = PeerName::of_host(&origin.host)?;
            &of_host
        }
    };
    before(
        deadline,
        Phase::Handshake,
        tls.connect(name, stream, choice.offer),
    )
    .await
}

#[cfg(not(feature = "tls"))]
struct TlsChoice;

#[cfg(not(feature = "tls"))]
const fn tls_of(_: &Shared, _: &Route) -> TlsChoice {
    TlsChoice
}

/// What the origin is offered by ALPN.
#[cfg(all(feature = "tls", feature = "http2"))]
fn offer(shared: &Shared, route: &Route) -> Offer {
    use super::Versions;
    match shared.settings.versions {
        _ if !route.http2 => Offer::Http1,
        Versions::Http1 => Offer::Http1,
        Versions::Auto => Offer::Both,
        Versions::Http2 => Offer::Http2,
    }
}

#[cfg(all(feature = "tls", not(feature = "http2")))]
const fn offer(_: &Shared, _: &Route) -> Offer {
    Offer::Http1
}

#[cfg(not(feature = "tls"))]
#[expect(
    clippy::unused_async,
    reason = "the other one is, with the feature `tls`"
)]
async fn start_tls(_: &Shared, _: &Origin, _: TlsChoice, _: Stream) -> Result<Stream, Error> {
    Err(Error::caused(
        ErrorKind::InvalidRequest,
        "https needs the feature `tls`",
    ))
}

async fn before<T>(
    deadline: Option<Instant>,
    phase: Phase,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match deadline {
        None => work.await,
        Some(deadline) => timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_| Err(Error::timeout(phase))),
    }
}

/// Connects to the first address that answers; each gets its share of the time that is left.
async fn connect_any(
    shared: &Shared,
    addresses: &[SocketAddr],
    end: LocalEnd,
    deadline: Option<Instant>,
) -> Result<TcpStream, Error> {
    let settings = &shared.settings.dial.socket;
    let connect = |address| socket::open(address, end, settings);
    let outcome = race::race(addresses, deadline, connect).await;
    outcome.map_err(|lost| not_connected_to(&lost))
}

/// The error of a dial that no address answered: of the first one's kind, so that whoever asks for
/// the system's learns of a refusal.
fn not_connected_to(lost: &[Lost]) -> Error {
    let Some(first) = lost.first() else {
        return Error::caused(
            ErrorKind::Connect,
            "no address is of the family of the local address",
        );
    };
    let told = lost
        .iter()
        .take(TOLD_ADDRESSES)
        .map(|lost| match &lost.error {
            Some(error) => format!("{}: {error}", lost.address),
            None => format!("{}: no answer", lost.address),
        });
    let mut text = told.collect::<Vec<_>>().join("; ");
    if lost.len() > TOLD_ADDRESSES {
        text.push_str(&format!("; and {} more", lost.len() - TOLD_ADDRESSES));
    }
    // Those that do not answer are the last to be lost.
    match &first.error {
        Some(error) => not_connected(io::Error::new(error.kind(), text)),
        None => Error::caused(ErrorKind::Timeout(Phase::Connect), text),
    }
}
