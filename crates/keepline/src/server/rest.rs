//! A connection at rest: it waits for the first byte of a request, with a buffer that is lent for
//! the time of the call.
//!
//! For a moment after an answer it stays *warm*: it keeps the box of its busy period, so that the
//! next request of a busy client finds everything in place. Only so many connections of a worker
//! are warm at a time; all others, and all that stay at rest, hold nothing but their stream.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::busy::Rest;
use super::registry::{Phase, Shard};
use super::state::ConnectionState;
use super::wire::{Core, Wire, is_end};
use crate::CloseReason;
use crate::buffer;
use crate::net::Stream;

/// When the server is shut down, a connection that has never said anything may still send its
/// first request until it is this old: it has only just been accepted, and its client would have
/// to report a failure that no rule lets it retry (Go: the same).
const NEW_GRACE: Duration = Duration::from_secs(5);

/// How long a connection stays warm after an answer: longer than the pauses of a client that has
/// more to ask, shorter than those of one that has not.
const WARM: Duration = Duration::from_secs(1);

/// Warm connections of a worker: enough for the busy ones of most servers, and not enough to make
/// a difference among thousands of idle ones (a box is a few KiB).
const WARM_SEATS: u32 = 256;

/// Who is warm.
#[derive(Debug, Default)]
pub(super) struct WarmSeats(AtomicU32);

/// The right to stay warm.
#[derive(Debug)]
pub(super) struct WarmSeat(Arc<Shard>);

impl WarmSeat {
    fn take(shard: &Arc<Shard>) -> Option<Self> {
        let WarmSeats(taken) = &shard.warm;
        // A few too many in a race are as good as a few less.
        if taken.load(Ordering::Relaxed) >= WARM_SEATS {
            return None;
        }
        taken.fetch_add(1, Ordering::Relaxed);
        Some(Self(Arc::clone(shard)))
    }
}

impl Drop for WarmSeat {
    fn drop(&mut self) {
        self.0.warm.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Rests after an answer. `Ok`: a further request has begun.
pub(super) async fn rest(wire: &mut Wire) -> Result<(), Rest> {
    wire.driver.release_buffers();
    wire.core.registration.change(ConnectionState::Idle);
    let now = Instant::now();
    wire.core.rest_from(now, wire.terms.idle_timeout);
    if wire.driver.buffered() > 0 {
        // Empty lines, which the protocol core has begun to skip: both are forgotten with the box.
        return Err(Rest::Idle);
    }
    if wire.warm.is_none() {
        wire.warm = Some(WarmSeat::take(&wire.core.registration.shard).ok_or(Rest::Idle)?);
    }
    let cools = now + WARM;
    let end = wire.core.rests_until.filter(|&end| end < cools);
    wire.core.deadline.set_at(Some(end.unwrap_or(cools)));
    match poll_fn(|cx| poll_first(&mut wire.core, &mut wire.driver.stream, cx)).await {
        Ok(input) => {
            wire.driver.restart(input);
            wire.is_pipelined = false;
            wire.core.deadline.clear();
            wire.core.registration.change(ConnectionState::Active);
            Ok(())
        }
        Err(CloseReason::IdleTimeout | CloseReason::Timeout) if end.is_none() => Err(Rest::Idle),
        Err(reason) => Err(Rest::Close(reason)),
    }
}

/// The first bytes of a request, or why none will come.
pub(super) fn poll_first(
    core: &mut Core,
    stream: &mut Stream,
    cx: &mut Context<'_>,
) -> Poll<Result<BytesMut, CloseReason>> {
    let mut input = buffer::lend_input();
    // Before anything else: what is here already is served, whatever the time and the phase.
    match stream.poll_read(cx, &mut input) {
        Poll::Ready(Ok(1..)) => return Poll::Ready(Ok(input)),
        Poll::Ready(Ok(0)) => return Poll::Ready(Err(CloseReason::PeerClosed)),
        Poll::Ready(Err(error)) if is_end(&error) => {
            return Poll::Ready(Err(CloseReason::PeerClosed));
        }
        Poll::Ready(Err(_)) => return Poll::Ready(Err(CloseReason::IoError)),
        Poll::Pending => buffer::return_input(input),
    }
    let is_new = core.requests == 0;
    match core.hub().phase() {
        Phase::Running => {}
        Phase::Draining if is_new => {
            let grace = core.opened + NEW_GRACE;
            if core.deadline.at().is_none_or(|at| at > grace) {
                core.deadline.set_at(Some(grace));
            }
        }
        Phase::Draining | Phase::Aborting => return Poll::Ready(Err(CloseReason::Shutdown)),
    }
    ready!(core.deadline.poll(cx));
    Poll::Ready(Err(if core.hub().phase() > Phase::Running {
        CloseReason::Shutdown
    } else if is_new {
        CloseReason::Timeout
    } else {
        CloseReason::IdleTimeout
    }))
}
