//! Opens connections: resolving, connecting, TLS, each with its deadline and its time.
//!
//! A dial for a waiting request runs in a task of its own, so that one who loses the race still
//! feeds the pool. It is bounded by its deadlines, by the number of dials a key may have, and by
//! the pool's shutdown.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keepline_proto::Connection;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::key::{Key, Origin};
use super::lease::Pooled;
use crate::OpenReason;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind, Phase};
use crate::info::Timings;
use crate::net::Stream;
use crate::pool::{KeySlot, WaiterId, Watch};

/// An address gets at least this share of the connect timeout, however many follow (Go).
const LEAST_SHARE: Duration = Duration::from_secs(2);
/// TCP keep-alive probes start after this much silence (Go's DefaultTransport).
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);
const TCP_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Starts a dial for the waiters of `slot`. It goes on dialling while the pool says so.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    key: Key,
    slot: KeySlot,
    starter: WaiterId,
    reason: OpenReason,
) {
    let mut dial = QueuedDial {
        shared,
        slot,
        starter: Some(starter),
        is_counted: true,
    };
    tokio::spawn(async move {
        let mut next = Some(reason);
        while let Some(reason) = next {
            let outcome = open(&dial.shared, &key, reason).await;
            next = dial.ended(reason, outcome);
        }
    });
}

/// A dial that the pool counts. Dropped in progress, it counts as failed.
struct QueuedDial {
    shared: Arc<Shared>,
    slot: KeySlot,
    starter: Option<WaiterId>,
    is_counted: bool,
}

impl QueuedDial {
    /// Tells the pool. Returns why another dial has to start, which the pool has counted.
    fn ended(
        &mut self,
        reason: OpenReason,
        outcome: Result<Box<Pooled>, Error>,
    ) -> Option<OpenReason> {
        let pool = &self.shared.pool;
        let next = match outcome {
            Ok(connection) => pool.dialled(self.slot, reason, connection),
            Err(error) => pool.dial_failed(self.slot, self.starter, error),
        };
        self.starter = None;
        self.is_counted = next.is_some();
        next
    }
}

impl Drop for QueuedDial {
    fn drop(&mut self) {
        if self.is_counted {
            let error = Error::caused(ErrorKind::Connect, "the runtime of the dial was shut down");
            // Whoever still waits learns it; a further dial has no runtime to run on.
            if self
                .shared
                .pool
                .dial_failed(self.slot, self.starter, error)
                .is_some()
            {
                self.starter = None;
                self.shared.pool.own_dial_failed(self.slot);
            }
        }
    }
}

/// Dials for the caller alone, beside the queue.
pub(crate) async fn own(shared: &Arc<Shared>, key: &Key) -> Result<(KeySlot, Box<Pooled>), Error> {
    struct OwnDial<'a>(Option<(&'a Shared, KeySlot)>);

    impl Drop for OwnDial<'_> {
        fn drop(&mut self) {
            if let Some((shared, slot)) = self.0 {
                shared.pool.own_dial_failed(slot);
            }
        }
    }

    let (slot, reason) = shared.pool.start_own_dial(key)?;
    let mut dial = OwnDial(Some((shared, slot)));
    let connection = open(shared, key, reason).await?;
    dial.0 = None;
    shared.pool.own_dial_opened(slot, reason, &connection);
    Ok((slot, connection))
}

/// Opens a connection. Ends early when the pool is shut down.
async fn open(shared: &Arc<Shared>, key: &Key, reason: OpenReason) -> Result<Box<Pooled>, Error> {
    let (stream, timings) = tokio::select! {
        opened = connect(shared, key.origin()) => opened?,
        () = shared.pool.stopping() => return Err(Error::new(ErrorKind::Shutdown)),
    };
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    let peer = stream.peer_addr();
    tracing::debug!(connection = id, key = ?key, %peer, %reason, "connection opened");
    Ok(Box::new(Pooled {
        driver: Driver::new(
            stream,
            Connection::client(Arc::clone(&shared.settings.proto)),
        ),
        id,
        opened_at: Instant::now(),
        open_reason: reason,
        peer,
        dial: timings,
        exchanges: 0,
        watch: Watch::new(id, shared.pool.reaper_here()),
    }))
}

/// Resolves, connects and starts TLS.
async fn connect(shared: &Shared, origin: &Origin) -> Result<(Stream, Timings), Error> {
    let settings = &shared.settings;
    let mut timings = Timings::default();
    let deadline = settings
        .connect_timeout
        .map(|timeout| Instant::now() + timeout);
    let started = Instant::now();
    let addresses = before(deadline, Phase::Connect, resolve(origin)).await?;
    let resolved = Instant::now();
    timings.dns = Some(resolved - started);
    let tcp = connect_any(&addresses, deadline).await?;
    let connected = Instant::now();
    timings.connect = Some(connected - resolved);
    let stream = Stream::from(tcp);
    if !origin.is_secure {
        return Ok((stream, timings));
    }
    let handshake_deadline = settings.tls_timeout.map(|timeout| connected + timeout);
    let stream = before(
        handshake_deadline,
        Phase::Handshake,
        start_tls(shared, origin, stream),
    )
    .await?;
    timings.tls = Some(connected.elapsed());
    Ok((stream, timings))
}

#[cfg(feature = "tls")]
async fn start_tls(shared: &Shared, origin: &Origin, stream: Stream) -> Result<Stream, Error> {
    shared.tls()?.connect(&origin.host, stream).await
}

#[cfg(not(feature = "tls"))]
#[expect(
    clippy::unused_async,
    reason = "the other one is, with the feature `tls`"
)]
async fn start_tls(_: &Shared, _: &Origin, _: Stream) -> Result<Stream, Error> {
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
    deadline: Option<Instant>,
) -> Result<TcpStream, Error> {
    let mut failure = Error::new(ErrorKind::Connect);
    for (tried, address) in addresses.iter().enumerate() {
        let share = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            let addresses_left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            (left / addresses_left).max(LEAST_SHARE).min(left)
        });
        let connecting = TcpStream::connect(address);
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
        match outcome.and_then(|tcp| configure(&tcp).map(|()| tcp)) {
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

fn configure(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new()
        .with_time(TCP_KEEP_ALIVE)
        .with_interval(TCP_KEEP_ALIVE_INTERVAL);
    SockRef::from(tcp).set_tcp_keepalive(&keep_alive)
}
