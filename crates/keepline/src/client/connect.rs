//! From a key to an open stream: resolving, connecting, TLS, each with its deadline and its time.
//!
//! Nothing here is pooled or counted. Dropping the future closes what it has opened.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::event::Event;
use super::key::{Key, Origin, Route, Via};
use crate::error::{Error, ErrorKind, Phase};
use crate::info::Timings;
use crate::net::Stream;

/// An address gets at least this share of the connect timeout, however many follow (Go).
const LEAST_SHARE: Duration = Duration::from_secs(2);
/// TCP keep-alive probes start after this much silence (Go's DefaultTransport).
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);
const TCP_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Resolves, connects and starts TLS.
pub(super) async fn connect(shared: &Shared, key: &Key) -> Result<(Stream, Timings), Error> {
    let (settings, route) = (&shared.settings, key.route());
    let name = || -> Arc<str> { key.to_string().into() };
    let mut timings = Timings::default();
    let started = Instant::now();
    let deadline = after(started, settings.connect_timeout);
    let stream = open_socket(shared, key, deadline, &mut timings).await?;
    let connected = Instant::now();
    timings.connect = Some(connected - started - timings.dns.unwrap_or_default());
    let peer = stream.peer_addr();
    shared.events.tell(|| Event::Connected {
        origin: name(),
        peer,
    });
    if !route.origin.is_secure {
        return Ok((stream, timings));
    }
    let stream = before(
        after(connected, settings.tls_timeout),
        Phase::Handshake,
        start_tls(shared, route, stream),
    )
    .await?;
    shared.events.tell(|| Event::Secured { origin: name() });
    timings.tls = Some(connected.elapsed());
    Ok((stream, timings))
}

/// Opens the socket that the key leads to.
async fn open_socket(
    shared: &Shared,
    key: &Key,
    deadline: Option<Instant>,
    timings: &mut Timings,
) -> Result<Stream, Error> {
    let Route {
        origin, via, local, ..
    } = key.route();
    match (via, &shared.settings.connector) {
        (Via::Host, Some(connector)) => {
            let connecting = async { connector.connect(origin).await.map_err(not_connected) };
            before(deadline, Phase::Connect, connecting).await
        }
        (Via::Host, None) => {
            let started = Instant::now();
            let addresses = before(deadline, Phase::Connect, resolve(origin)).await?;
            timings.dns = Some(started.elapsed());
            shared.events.tell(|| Event::Resolved {
                origin: key.to_string().into(),
                addresses: addresses.len(),
            });
            Ok(connect_any(&addresses, *local, deadline).await?.into())
        }
        (Via::Address(address), _) => Ok(connect_any(&[*address], *local, deadline).await?.into()),
        (Via::Unix(path), _) => {
            let connecting = async { connect_unix(path).await.map_err(not_connected) };
            before(deadline, Phase::Connect, connecting).await
        }
    }
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
    let of_transport;
    let tls = match &route.tls.tls {
        Some(tls) => tls,
        None => {
            of_transport = shared.tls()?;
            &of_transport
        }
    };
    match &route.tls.name {
        Some(name) => tls.connect(name, stream).await,
        None => {
            let name = PeerName::of_host(&route.origin.host)?;
            tls.connect(&name, stream).await
        }
    }
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

async fn resolve(origin: &Origin) -> Result<Vec<SocketAddr>, Error> {
    let bare = origin
        .host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(&origin.host);
    let failed = |error: io::Error| Error::caused(ErrorKind::Resolve, format!("{host}: {error}"));
    let addresses: Vec<_> = tokio::net::lookup_host((host, origin.port))
        .await
        .map_err(failed)?
        .collect();
    if addresses.is_empty() {
        return Err(Error::caused(
            ErrorKind::Resolve,
            format!("{host} has no address"),
        ));
    }
    Ok(addresses)
}

/// Connects to the first address that answers; each gets its share of the time that is left.
async fn connect_any(
    addresses: &[SocketAddr],
    local: Option<SocketAddr>,
    deadline: Option<Instant>,
) -> Result<TcpStream, Error> {
    let is_reachable =
        |address: &SocketAddr| local.is_none_or(|local| local.is_ipv4() == address.is_ipv4());
    let addresses: Vec<_> = addresses.iter().copied().filter(is_reachable).collect();
    let mut failure = Error::caused(
        ErrorKind::Connect,
        "no address is of the family of the local address",
    );
    for (tried, address) in addresses.iter().enumerate() {
        let share = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            let addresses_left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            (left / addresses_left).max(LEAST_SHARE).min(left)
        });
        let connecting = connect_tcp(*address, local);
        let outcome = match share {
            None => connecting.await,
            Some(share) => match timeout(share, connecting).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    failure = Error::caused(
                        ErrorKind::Timeout(Phase::Connect),
                        format!("{address} did not answer"),
                    );
                    continue;
                }
            },
        };
        match outcome {
            Ok(tcp) => return Ok(tcp),
            Err(error) => {
                // Still the system's error, so that whoever asks for its kind learns of a refusal.
                let named = io::Error::new(error.kind(), format!("{address}: {error}"));
                failure = Error::caused(ErrorKind::Connect, named);
            }
        }
    }
    Err(failure)
}

async fn connect_tcp(address: SocketAddr, local: Option<SocketAddr>) -> io::Result<TcpStream> {
    let tcp = match local {
        None => TcpStream::connect(address).await?,
        Some(local) => {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            socket.bind(local)?;
            socket.connect(address).await?
        }
    };
    configure(&tcp)?;
    Ok(tcp)
}

fn configure(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(TCP_KEEP_ALIVE)
        .with_interval(TCP_KEEP_ALIVE_INTERVAL);
    SockRef::from(tcp).set_tcp_keepalive(&keep_alive)
}
