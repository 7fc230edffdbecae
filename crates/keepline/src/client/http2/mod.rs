//! HTTP/2 for the client, by the `h2` crate: sessions that requests share.
//!
//! A session is a connection of the pool that stays busy for as long as it lives: the pool counts,
//! limits and closes it as any other and never lists it among its idle ones. Which requests share it
//! is decided here.
//!
//! - `table`: who speaks HTTP/2, over which sessions, who waits for a stream (pure);
//! - `streams`: how many streams a session may carry, and until when (pure);
//! - `head`: what the head of a request is in HTTP/2 (pure);
//! - `sharing`: the lock around the table, and what follows from its decisions;
//! - `supply`: the one dial that those who wait share, while it is not known what a server speaks;
//! - `session`: the task that drives a connection;
//! - `exchange`, `body`: a request on a stream.

mod body;
mod exchange;
mod head;
mod session;
mod settings;
mod sharing;
mod streams;
mod supply;
mod table;

use std::sync::Arc;

use http::Response;
use http::request::Parts;
use tokio::time::{Instant, timeout_at};

pub(crate) use session::Handshaken;
pub use settings::{Http2, Versions};
pub(crate) use sharing::{Sessions, adopt};

use self::exchange::Exchange;
use self::sharing::{Found, Permit};
use super::Shared;
use super::attempt::waits;
use super::event::Event;
use super::key::{Key, Via};
use super::lease::Lease;
use super::meter;
use super::progress::Progress;
use super::retry::{self, Attempts, Failure};
use crate::Body;
use crate::error::{Error, ErrorKind, Phase};
use crate::net::Stream;

/// What became of a request.
pub(super) enum Sent {
    Done(Result<Response<Body>, Error>),
    /// The server speaks HTTP/1.1: it is to be sent by that, after so many attempts.
    ByHttp1 {
        body: Body,
        attempts: Attempts,
        /// A connection that has just been dialled. Not told yet.
        lease: Option<Box<Lease>>,
    },
}

/// The key under which this request may be sent by HTTP/2, if it may.
pub(super) fn key(shared: &Shared, key: &Key, parts: &Parts) -> Option<Key> {
    head::is_possible(parts)
        .then(|| offered(shared, key))
        .flatten()
}

/// The key under which requests to this server are sent by HTTP/2, if it is offered that.
pub(super) fn offered(shared: &Shared, key: &Key) -> Option<Key> {
    if matches!(key.route().via, Via::Forward(_)) {
        // A proxy that is asked in absolute form, in HTTP/1.1.
        return None;
    }
    let is_offered = match shared.settings.versions {
        Versions::Http1 => false,
        Versions::Auto => key.origin().is_secure(),
        Versions::Http2 => true,
    };
    is_offered.then(|| key.with_http2())
}

/// Sends a request by HTTP/2, again if the peer says that it has not processed it or the session had
/// died.
pub(super) async fn send(
    shared: &Arc<Shared>,
    key: &Key,
    parts: &Parts,
    mut body: Body,
    mut attempts: Attempts,
) -> Sent {
    let is_idempotent = retry::is_idempotent(&parts.method, &parts.headers);
    loop {
        let asked_at = Instant::now();
        waits(shared, key, parts);
        let permit = match acquire(shared, key, asked_at).await {
            Ok(Found::Stream(permit)) => permit,
            Ok(Found::Http1(lease)) => {
                return Sent::ByHttp1 {
                    body,
                    attempts,
                    lease,
                };
            }
            Err(error) => return Sent::Done(Err(error)),
        };
        attempts.begin();
        let was_fresh = permit.reserved.number == 1;
        let acquired_at = Instant::now();
        let exchange = Exchange {
            permit,
            retries: attempts.retries(),
            acquired_at,
            waited: acquired_at.saturating_duration_since(asked_at),
            first_byte: None,
            counted: Arc::default(),
        };
        told(&exchange, parts);
        let replay = body.replay();
        let failed = match exchange.run(parts, body, key.origin()).await {
            Ok(response) => return Sent::Done(Ok(response)),
            Err(failed) => failed,
        };
        let replay = replay.or(failed.untouched);
        let decision = retry::decide(&Failure {
            is_on: shared.settings.is_retry_on,
            attempts: attempts.counted(),
            is_loss: failed.error.is_closed_early(),
            is_unprocessed: failed.is_unprocessed,
            was_fresh,
            // The head went to the session; whether it got further, nobody knows.
            written: 1,
            read: 0,
            is_idempotent,
            is_replayable: replay.is_some(),
        });
        tracing::debug!(?decision, error = %failed.error, "exchange failed");
        match (decision.is_retry(), replay) {
            (true, Some(replay)) => body = replay,
            _ => return Sent::Done(Err(failed.error)),
        }
        shared.pool.note_retry();
        meter::retrying(key);
        if let Some(info) = &failed.info {
            let connection = info.id;
            shared.events.tell(|| Event::Retrying { connection });
        }
    }
}

/// Tells that a request has a stream.
fn told(exchange: &Exchange, parts: &Parts) {
    if let Some(progress) = parts.extensions.get::<Progress>() {
        progress.is_in(Phase::Head);
    }
    let Permit {
        shared,
        session,
        reserved,
        ..
    } = &exchange.permit;
    let reused = reserved.number > 1;
    shared.pool.count_exchange(reused);
    session.with_pooled(|pooled| {
        pooled.exchanges = pooled.exchanges.max(reserved.number);
        pooled.meter.acquired(reused, exchange.waited);
    });
    session::tell(shared, session, |connection| Event::Acquired {
        connection,
        reused,
        idle_for: reserved.idle_for,
    });
}

/// A stream on a session that is alive, unless the server speaks HTTP/1.1.
async fn acquire(shared: &Arc<Shared>, key: &Key, asked_at: Instant) -> Result<Found, Error> {
    let prior = shared.settings.versions == Versions::Http2;
    let until = shared.settings.acquire_timeout;
    let until = until.and_then(|time| asked_at.checked_add(time));
    let wanted = alive(shared, key, prior);
    match until {
        None => wanted.await,
        Some(until) => timeout_at(until, wanted)
            .await
            .unwrap_or_else(|_| Err(Error::timeout(Phase::Acquire))),
    }
}

async fn alive(shared: &Arc<Shared>, key: &Key, prior: bool) -> Result<Found, Error> {
    loop {
        let found = sharing::stream(shared, key, prior).await?;
        let Found::Stream(permit) = &found else {
            return Ok(found);
        };
        let idle_for = permit.reserved.idle_for;
        if !sharing::wants_ping(&shared.settings.http2, idle_for) || permit.session.is_alive().await
        {
            return Ok(found);
        }
        // It has been closed by now: each turn loses one.
    }
}

/// Starts HTTP/2 on a connection if that was negotiated, or is known.
///
/// # Errors
/// HTTP/2 alone is wanted, and the server does not speak it; or the preface could not be sent.
pub(super) async fn shake_hands(
    shared: &Shared,
    key: &Key,
    stream: Stream,
) -> Result<Result<Handshaken, Stream>, Error> {
    let versions = shared.settings.versions;
    let is_prior = versions == Versions::Http2 && !stream.is_tls();
    if !key.route().http2 || !(is_prior || stream.has_negotiated_http2()) {
        if key.route().http2 && versions == Versions::Http2 {
            let message = "the server does not speak HTTP/2: it chose no protocol by ALPN";
            return Err(Error::caused(ErrorKind::Tls, message));
        }
        return Ok(Err(stream));
    }
    let shaking = shared.settings.http2.session().handshake(stream);
    let shaken = match shared.settings.dial.tls_timeout {
        None => shaking.await,
        Some(time) => match tokio::time::timeout(time, shaking).await {
            Ok(shaken) => shaken,
            Err(_) => return Err(Error::timeout(Phase::Handshake)),
        },
    };
    let (send, connection) = shaken.map_err(crate::http2::session_error)?;
    Ok(Ok(Handshaken { send, connection }))
}
