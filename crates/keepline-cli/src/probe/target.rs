//! The server that is measured, and how much it may be bothered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{StatusCode, Uri};
use keepline::tls::ClientTls;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::pki_types::ServerName;

use super::wire::{PATIENCE, Wire};
use crate::failure::Failure;

/// A server, and what may still be done to it.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    /// What the Host field says.
    host: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) tls: Option<Tls>,
    connections_left: AtomicU64,
    connections: AtomicU64,
    /// Of all handshakes so far, in microseconds.
    shortest_handshake: AtomicU64,
    /// The status of the first answer, with which the later ones are compared.
    usual: OnceLock<StatusCode>,
    /// What it began to answer instead.
    turned: OnceLock<StatusCode>,
}

/// How TLS is spoken to it.
pub(crate) struct Tls {
    pub(crate) name: ServerName<'static>,
    pub(crate) http1: ClientTls,
    /// The same, which also offers h2.
    pub(crate) with_h2: ClientTls,
}

/// What a handshake came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shaken {
    pub(crate) resumed: bool,
    pub(crate) is_h2: bool,
}

/// There is no connection.
#[derive(Debug)]
pub(crate) enum NotOpen {
    /// As many as may be have been opened.
    Allowance,
    /// The server, or the way to it, did not let us.
    Refused(std::io::Error),
}

impl Target {
    /// Resolves the host of `uri`, until `end` at the latest.
    pub(crate) async fn new(
        uri: &Uri,
        tls: Option<Tls>,
        connections: u64,
        end: Instant,
    ) -> Result<Self, Failure> {
        let authority = uri.authority().map(http::uri::Authority::as_str);
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let default = if tls.is_some() { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let addr = timeout_at(end.into(), reachable(bare, port)).await;
        let addr = addr.map_err(|_| {
            Failure::new(format!("no address of '{bare}' could be reached in time"))
                .help("--budget gives it longer")
        })??;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            addr,
            host: authority.unwrap_or_default().to_owned(),
            path: path.to_owned(),
            tls,
            connections_left: AtomicU64::new(connections),
            connections: AtomicU64::new(0),
            shortest_handshake: AtomicU64::new(u64::MAX),
            usual: OnceLock::new(),
            turned: OnceLock::new(),
        })
    }

    /// Takes note of the status with which the URL was answered.
    pub(crate) fn note(&self, status: StatusCode) {
        let usual = *self.usual.get_or_init(|| status);
        if status != usual && (status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error())
        {
            self.turned.get_or_init(|| status);
        }
    }

    /// Whether an answer with this status says nothing about its request, but that there were too
    /// many of them.
    pub(crate) fn is_too_many(&self, status: StatusCode) -> bool {
        status == StatusCode::TOO_MANY_REQUESTS && status != self.usual()
    }

    /// The status with which the URL was answered first.
    pub(crate) fn usual(&self) -> StatusCode {
        self.usual.get().copied().unwrap_or_default()
    }

    /// What it began to answer instead: 429, or a server's error.
    pub(crate) fn turned(&self) -> Option<StatusCode> {
        self.turned.get().copied()
    }

    /// The same, with another allowance.
    pub(crate) fn limited(self, connections: u64) -> Self {
        Self {
            connections_left: AtomicU64::new(connections),
            ..self
        }
    }

    /// A request with this method and target, and `more` field lines, each with its CRLF.
    pub(crate) fn request(&self, method: &str, path: &str, more: &str) -> Vec<u8> {
        self.request_of(method, path, "HTTP/1.1", more)
    }

    /// As [`request`](Self::request), of a version.
    pub(crate) fn request_of(
        &self,
        method: &str,
        path: &str,
        version: &str,
        more: &str,
    ) -> Vec<u8> {
        format!(
            "{method} {path} {version}\r\nHost: {}\r\nUser-Agent: keepline-probe/{}\r\nAccept: */*\r\n{more}\r\n",
            self.host,
            env!("CARGO_PKG_VERSION"),
        )
        .into_bytes()
    }

    /// Opens a connection.
    pub(crate) async fn open(self: &Arc<Self>) -> Result<Wire, NotOpen> {
        let stream = self.connect().await?;
        let stream: Box<dyn super::wire::Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(self.shake(stream, tls, &tls.http1).await?.1),
        };
        Ok(Wire::new(Arc::clone(self), stream))
    }

    /// Makes a handshake that offers h2 too, asks once over HTTP/1.1 if that is what is spoken,
    /// so that the server can hand out a session, and answers what was agreed on.
    pub(crate) async fn handshake(
        self: &Arc<Self>,
        tls: &Tls,
        offers_h2: bool,
    ) -> Result<Shaken, NotOpen> {
        let config = if offers_h2 { &tls.with_h2 } else { &tls.http1 };
        let stream = self.connect().await?;
        let (shaken, stream) = self.shake(stream, tls, config).await?;
        if !shaken.is_h2 {
            let _ = Wire::new(Arc::clone(self), Box::new(stream)).get().await;
        }
        Ok(shaken)
    }

    async fn shake(
        &self,
        stream: TcpStream,
        tls: &Tls,
        config: &ClientTls,
    ) -> Result<(Shaken, tokio_rustls::client::TlsStream<TcpStream>), NotOpen> {
        let connector = TlsConnector::from(config.config());
        let stream = timeout(PATIENCE, connector.connect(tls.name.clone(), stream))
            .await
            .map_err(|_| NotOpen::Refused(std::io::ErrorKind::TimedOut.into()))?
            .map_err(NotOpen::Refused)?;
        let (_, session) = stream.get_ref();
        let shaken = Shaken {
            resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
            is_h2: session.alpn_protocol() == Some(b"h2"),
        };
        Ok((shaken, stream))
    }

    async fn connect(&self) -> Result<TcpStream, NotOpen> {
        let take = |left: u64| left.checked_sub(1);
        self.connections_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .map_err(|_| NotOpen::Allowance)?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let stream = timeout(PATIENCE, TcpStream::connect(self.addr))
            .await
            .map_err(|_| NotOpen::Refused(std::io::ErrorKind::TimedOut.into()))?
            .map_err(NotOpen::Refused)?;
        let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shortest_handshake.fetch_min(took, Ordering::Relaxed);
        stream.set_nodelay(true).map_err(NotOpen::Refused)?;
        Ok(stream)
    }

    /// Connections opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Time of a round trip: the shortest of all handshakes of TCP so far, since what makes one
    /// longer is the machine and not the way.
    pub(crate) fn round_trip(&self) -> Duration {
        Duration::from_micros(self.shortest_handshake.load(Ordering::Relaxed))
    }
}

/// The first address of the host that takes a connection: of a name with several, `localhost` among
/// them, a server may serve only one. If none does, the first; why will be told.
async fn reachable(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = found.into_iter().flatten().collect();
    let Some(first) = addresses.first() else {
        return Err(
            Failure::new(format!("no address is known for '{host}'")).help(format!(
                "'getent hosts {host}' asks this machine's resolver"
            )),
        );
    };
    if addresses.len() > 1 {
        for address in &addresses {
            let connected = timeout(PATIENCE, TcpStream::connect(address)).await;
            if connected.is_ok_and(|connected| connected.is_ok()) {
                return Ok(*address);
            }
        }
    }
    Ok(*first)
}
