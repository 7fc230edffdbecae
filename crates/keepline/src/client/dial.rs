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
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::event::Event;
use super::key::{Key, Origin};
use super::lease::Pooled;
use super::life::Lifespan;
use crate::OpenReason;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind, Phase};
use crate::info::Timings;
use crate::net::Stream;
use crate::pool::{Demand, KeySlot, WaiterId, Watch};

/// An address gets at least this share of the connect timeout, however many follow (Go).
const LEAST_SHARE: Duration = Duration::from_secs(2);
/// TCP keep-alive probes start after this much silence (Go's DefaultTransport).
const TCP_KEEP_ALIVE: Duration = Duration::from_secs(30);
const TCP_KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Starts a dial that the pool has counted, in a task of its own. `starter`: the waiter that it was
/// started for; `runtime`: where, if not in the one that this is called in.
pub(crate) fn spawn(
    shared: Arc<Shared>,
    demand: Demand<Key>,
    starter: Option<WaiterId>,
    runtime: Option<&Handle>,
) {
    let Demand { key, slot, reason } = demand;
    let mut dial = QueuedDial {
        shared,
        slot,
        starter,
        is_over: false,
    };
    let task = async move {
        let outcome = open(&dial.shared, &key, reason).await;
        dial.end(reason, outcome);
    };
    match runtime {
        Some(runtime) => drop(runtime.spawn(task)),
        None if Handle::try_current().is_ok() => drop(tokio::spawn(task)),
        // No runtime is left to dial in: dropping the task says so to who waits.
        None => drop(task),
    }
}

/// A dial that the pool counts. Dropped in progress, with its runtime, it counts as failed, and
/// whoever waited for it asks again.
struct QueuedDial {
    shared: Arc<Shared>,
    slot: KeySlot,
    starter: Option<WaiterId>,
    is_over: bool,
}

impl QueuedDial {
    fn end(&mut self, reason: OpenReason, outcome: Result<Box<Pooled>, Error>) {
        self.is_over = true;
        let pool = &self.shared.pool;
        match outcome {
            Ok(connection) => pool.dialled(self.slot, reason, connection),
            Err(error) => pool.dial_failed(self.slot, self.starter, error),
        }
    }
}

impl Drop for QueuedDial {
    fn drop(&mut self) {
        if !self.is_over {
            self.shared.pool.dial_lost(self.slot);
        }
    }
}

/// Dials for the caller alone, beside the queue; the pool has counted it.
pub(crate) async fn own(
    shared: &Arc<Shared>,
    key: &Key,
    slot: KeySlot,
    reason: OpenReason,
) -> Result<Box<Pooled>, Error> {
    struct OwnDial<'a>(Option<&'a Shared>, KeySlot);

    impl Drop for OwnDial<'_> {
        fn drop(&mut self) {
            if let Some(shared) = self.0 {
                shared.pool.own_dial_failed(self.1);
            }
        }
    }

    let mut dial = OwnDial(Some(shared), slot);
    let connection = open(shared, key, reason).await?;
    dial.0 = None;
    shared.pool.own_dial_opened(slot, reason, &connection);
    Ok(connection)
}

/// Opens a connection. Ends early when the pool is shut down.
async fn open(shared: &Arc<Shared>, key: &Key, reason: OpenReason) -> Result<Box<Pooled>, Error> {
    shared.events.tell(|| Event::Dialling {
        origin: key.to_string().into(),
        reason,
    });
    let opened = tokio::select! {
        opened = connect(shared, key) => opened,
        () = shared.pool.stopping() => Err(Error::new(ErrorKind::Shutdown)),
    };
    let (stream, timings) = opened.inspect_err(|error| {
        let (origin, error) = (key.to_string().into(), error.to_string().into());
        shared.events.tell(|| Event::DialFailed { origin, error });
    })?;
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    let peer = stream.peer_addr();
    tracing::debug!(connection = id, key = ?key, %peer, %reason, "connection opened");
    shared.events.tell(|| Event::Opened {
        connection: id,
        reason,
        peer,
    });
    let opened_at = Instant::now();
    Ok(Box::new(Pooled {
        driver: Driver::new(
            stream,
            Connection::client(Arc::clone(&shared.settings.proto)),
        ),
        id,
        opened_at,
        open_reason: reason,
        peer,
        dial: timings,
        exchanges: 0,
        lifespan: Lifespan::begin(&shared.settings.life, opened_at, id),
        watch: Watch::new(id, shared.pool.reaper_here()),
    }))
}

/// Resolves, connects and starts TLS.
async fn connect(shared: &Shared, key: &Key) -> Result<(Stream, Timings), Error> {
    let (settings, origin) = (&shared.settings, key.origin());
    let name = || -> Arc<str> { key.to_string().into() };
    let mut timings = Timings::default();
    let started = Instant::now();
    // A timeout too long to tell is none.
    let after =
        |start: Instant, timeout: Option<Duration>| timeout.and_then(|x| start.checked_add(x));
    let deadline = after(started, settings.connect_timeout);
    let mut resolved = started;
    let stream = if let Some(connector) = &settings.connector {
        let connecting = async { connector.connect(origin).await.map_err(not_connected) };
        before(deadline, Phase::Connect, connecting).await?
    } else {
        let addresses = before(deadline, Phase::Connect, resolve(origin)).await?;
        resolved = Instant::now();
        timings.dns = Some(resolved - started);
        shared.events.tell(|| Event::Resolved {
            origin: name(),
            addresses: addresses.len(),
        });
        connect_any(&addresses, deadline).await?.into()
    };
    let connected = Instant::now();
    timings.connect = Some(connected - resolved);
    let peer = stream.peer_addr();
    shared.events.tell(|| Event::Connected {
        origin: name(),
        peer,
    });
    if !origin.is_secure {
        return Ok((stream, timings));
    }
    let handshake_deadline = after(connected, settings.tls_timeout);
    let stream = before(
        handshake_deadline,
        Phase::Handshake,
        start_tls(shared, origin, stream),
    )
    .await?;
    shared.events.tell(|| Event::Secured { origin: name() });
    timings.tls = Some(connected.elapsed());
    Ok((stream, timings))
}

fn not_connected(error: io::Error) -> Error {
    Error::caused(ErrorKind::Connect, error)
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
