//! Dials: connections on their way into the pool.
//!
//! A dial for a waiting request runs in a task of its own, so that one who loses the race still
//! feeds the pool. It is bounded by its deadlines, by the number of dials a key may have, and by
//! the pool's shutdown.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use keepline_proto::Connection;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::Shared;
use super::acquire::NoLease;
use super::connect::{Opened, connect};
use super::event::Event;
use super::http2::{self, Handshaken};
use super::key::Key;
use super::life::Lifespan;
use super::meter::{self, ConnectionMeter};
use super::pooled::Pooled;
use super::progress::Dial;
use crate::OpenReason;
use crate::driver::Driver;
use crate::error::{Error, ErrorKind};
use crate::net::{PeerAddr, Stream};
use crate::pool::{Demand, KeySlot, WaiterId, Watch};

/// A connection, and its HTTP/2 session if that is spoken on it.
type Dialled = (Box<Pooled>, Option<Handshaken>);

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
        dial.end(&key, reason, outcome);
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
    fn end(&mut self, key: &Key, reason: OpenReason, outcome: Result<Dialled, Error>) {
        self.is_over = true;
        let pool = &self.shared.pool;
        match outcome {
            Ok((connection, None)) => pool.dialled(self.slot, reason, connection),
            Ok((connection, Some(handshaken))) => {
                pool.opened_shared(self.slot, reason, &connection);
                http2::adopt(&self.shared, key, self.slot, connection, handshaken);
                // Whoever waits for a connection of its own may share this one.
                pool.recall(self.slot);
            }
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
) -> Result<Box<Pooled>, NoLease> {
    struct OwnDial<'a>(Option<&'a Shared>, KeySlot);

    impl Drop for OwnDial<'_> {
        fn drop(&mut self) {
            if let Some(shared) = self.0 {
                shared.pool.own_dial_failed(self.1);
            }
        }
    }

    let mut dial = OwnDial(Some(shared), slot);
    let (connection, handshaken) = open(shared, key, reason).await?;
    dial.0 = None;
    shared.pool.own_dial_opened(slot, reason, &connection);
    let Some(handshaken) = handshaken else {
        return Ok(connection);
    };
    // It is the session's; requests count as its streams.
    shared.pool.not_acquired(&connection);
    http2::adopt(shared, key, slot, connection, handshaken);
    Err(NoLease::Session)
}

/// Opens a connection. Ends early when the pool is shut down.
async fn open(shared: &Arc<Shared>, key: &Key, reason: OpenReason) -> Result<Dialled, Error> {
    shared.events.tell(|| Event::Dialling {
        origin: key.to_string().into(),
        reason,
    });
    let dial = shared.dials.begin(key);
    let opened = tokio::select! {
        opened = connect_and_shake_hands(shared, key, dial) => opened,
        () = shared.pool.stopping() => Err(Error::new(ErrorKind::Shutdown)),
    };
    let (
        Opened {
            stream,
            timings,
            residence,
        },
        peer,
        handshaken,
    ) = opened.inspect_err(|error| {
        meter::dial_failed(key, error);
        let (origin, error) = (key.to_string().into(), error.to_string().into());
        shared.events.tell(|| Event::DialFailed { origin, error });
    })?;
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
    tracing::debug!(connection = id, key = ?key, %peer, %reason, "connection opened");
    shared.events.tell(|| Event::Opened {
        connection: id,
        reason,
        peer,
    });
    let opened_at = Instant::now();
    let version = if handshaken.is_some() { "2" } else { "1.1" };
    let connection = Pooled {
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
        residence,
        meter: ConnectionMeter::opened(key, reason, version),
    };
    Ok((Box::new(connection), handshaken))
}

/// Connects, and starts HTTP/2 where that is spoken. The stream is the session's then, and the other
/// end's address what is left of it.
async fn connect_and_shake_hands(
    shared: &Arc<Shared>,
    key: &Key,
    dial: Dial,
) -> Result<(Opened, PeerAddr, Option<Handshaken>), Error> {
    let opened = connect(shared, key, &dial).await?;
    let peer = opened.stream.peer_addr();
    let (stream, handshaken) = match http2::shake_hands(shared, key, opened.stream).await? {
        Ok(handshaken) => (Stream::gone(), Some(handshaken)),
        Err(stream) => (stream, None),
    };
    Ok((Opened { stream, ..opened }, peer, handshaken))
}
