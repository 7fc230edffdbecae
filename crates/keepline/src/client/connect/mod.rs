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

use self::race::Lost;
pub(crate) use self::socket::SocketSettings;
use super::Shared;
use super::event::Event;
use super::key::{Key, Route, Via};
use super::names::{self, Residence};
use crate::error::{Error, ErrorKind, Phase};
use crate::info::Timings;
use crate::net::{Resolved, Stream, literal};

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

/// Resolves, connects and starts TLS.
pub(super) async fn connect(shared: &Arc<Shared>, key: &Key) -> Result<Opened, Error> {
    let (settings, route) = (&shared.settings, key.route());
    let name = || -> Arc<str> { key.to_string().into() };
    let started = Instant::now();
    let deadline = after(started, settings.connect_timeout);
    let mut opened = open_socket(shared, key, deadline).await?;
    let connected = Instant::now();
    let resolving = opened.timings.dns.unwrap_or_default();
    opened.timings.connect = Some(connected - started - resolving);
    let peer = opened.stream.peer_addr();
    shared.events.tell(|| Event::Connected {
        origin: name(),
        peer,
    });
    if !route.origin.is_secure {
        return Ok(opened);
    }
    opened.stream = before(
        after(connected, settings.tls_timeout),
        Phase::Handshake,
        start_tls(shared, route, opened.stream),
    )
    .await?;
    shared.events.tell(|| Event::Secured { origin: name() });
    opened.timings.tls = Some(connected.elapsed());
    Ok(opened)
}

/// Opens the socket that the key leads to.
async fn open_socket(
    shared: &Arc<Shared>,
    key: &Key,
    deadline: Option<Instant>,
) -> Result<Opened, Error> {
    let Route { origin, via, .. } = key.route();
    let stream = match (via, &shared.settings.connector) {
        (Via::Host, Some(connector)) => {
            let connecting = async { connector.connect(origin).await.map_err(not_connected) };
            before(deadline, Phase::Connect, connecting).await?
        }
        (Via::Host, None) => return open_by_name(shared, key, deadline).await,
        (Via::Address(address), _) => {
            let local = local_address(shared, key);
            connect_any(shared, &[*address], local, deadline)
                .await?
                .into()
        }
        (Via::Unix(path), _) => {
            let connecting = async { connect_unix(path).await.map_err(not_connected) };
            before(deadline, Phase::Connect, connecting).await?
        }
    };
    Ok(Opened {
        stream,
        timings: Timings::default(),
        residence: None,
    })
}

fn local_address(shared: &Shared, key: &Key) -> Option<SocketAddr> {
    key.route().local.or(shared.settings.socket.local)
}

/// Resolves the host of the key's origin, and connects to one of its addresses.
async fn open_by_name(
    shared: &Arc<Shared>,
    key: &Key,
    deadline: Option<Instant>,
) -> Result<Opened, Error> {
    let origin = key.origin();
    let started = Instant::now();
    let resolved = before(deadline, Phase::Resolve, resolve(shared, &origin.host)).await?;
    let timings = Timings {
        dns: Some(started.elapsed()),
        ..Timings::default()
    };
    shared.events.tell(|| Event::Resolved {
        origin: key.to_string().into(),
        addresses: resolved.addresses.len(),
    });
    let names = shared.names.as_ref();
    let usage = names.map(|names| names.usage(&origin.host));
    let used = |address| {
        usage
            .as_ref()
            .and_then(|usage| usage.get(&address).copied())
    };
    let local = local_address(shared, key);
    let addresses = order::arrange(&resolved.addresses, origin.port, local, |address| {
        used(address).unwrap_or(0)
    });
    let tcp = connect_any(shared, &addresses, local, deadline).await?;
    let peer = tcp.peer_addr().map_err(not_connected)?;
    // A host that is an address does not move.
    let residence = match literal(&origin.host) {
        Some(_) => None,
        None => names::settle(shared, &origin.host, peer.ip(), &resolved, started),
    };
    Ok(Opened {
        stream: tcp.into(),
        timings,
        residence,
    })
}

async fn resolve(shared: &Shared, host: &str) -> Result<Resolved, Error> {
    let resolved = shared.settings.resolver.resolve(host).await;
    resolved.map_err(|error| Error::caused(ErrorKind::Resolve, format!("{host}: {error}")))
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

#[cfg(feature = "tls")]
async fn start_tls(shared: &Shared, route: &Route, stream: Stream) -> Result<Stream, Error> {
    use crate::tls::PeerName;
    let offer = offer(shared, route);
    let of_transport;
    let tls = match &route.tls.tls {
        Some(tls) => tls,
        None => {
            of_transport = shared.tls()?;
            &of_transport
        }
    };
    match &route.tls.name {
        Some(name) => tls.connect(name, stream, offer).await,
        None => {
            let name = PeerName::of_host(&route.origin.host)?;
            tls.connect(&name, stream, offer).await
        }
    }
}

/// What the origin is offered by ALPN.
#[cfg(all(feature = "tls", feature = "http2"))]
fn offer(shared: &Shared, route: &Route) -> crate::tls::Offer {
    use super::Versions;
    use crate::tls::Offer;
    match shared.settings.versions {
        _ if !route.http2 => Offer::Http1,
        Versions::Http1 => Offer::Http1,
        Versions::Auto => Offer::Both,
        Versions::Http2 => Offer::Http2,
    }
}

#[cfg(all(feature = "tls", not(feature = "http2")))]
const fn offer(_: &Shared, _: &Route) -> crate::tls::Offer {
    crate::tls::Offer::Http1
}

#[cfg(not(feature = "tls"))]
#[expect(
    clippy::unused_async,
    reason = "the other one is, with the feature `tls`"
)]
async fn start_tls(_: &Shared, _: &Route, _: Stream) -> Result<Stream, Error> {
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
    local: Option<SocketAddr>,
    deadline: Option<Instant>,
) -> Result<TcpStream, Error> {
    let settings = &shared.settings.socket;
    let connect = |address| socket::open(address, local, settings);
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
