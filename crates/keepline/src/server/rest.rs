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
use super::pause::{Pause, pause};
use super::registry::{Phase, Shard};
use super::state::ConnectionState;
use super::wire::{Core, Wire, is_end};
use crate::CloseReason;
use crate::buffer;
use crate::net::Stream;

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
        // Who is idle has to be known at once where others wait for it to go.
        let census = shard.hub.census.as_ref();
        if census.is_some_and(|census| census.is_crowded(WARM_SEATS as usize)) {
            return None;
        }
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

/// How a wait for a request ended.
pub(super) enum First {
    /// Its first bytes are here.
    Input(BytesMut),
    /// It has rested as long as it was to stay warm.
    Cooled,
    /// None will come.
    End(CloseReason),
}

/// Rests after an answer. `Ok`: a further request has begun.
pub(super) async fn rest(wire: &mut Wire) -> Result<(), Rest> {
    wire.driver.release_buffers();
    wire.core.registration.change(ConnectionState::Idle);
    let now = Instant::now();
    wire.core.rest_from(now, &wire.terms);
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
    match poll_fn(|cx| poll_first(&mut wire.core, &mut wire.driver.stream, Some(cools), cx)).await {
        First::Input(input) => {
            wire.restart(input);
            wire.is_pipelined = false;
            wire.core.deadline.clear();
            wire.core.registration.change(ConnectionState::Active);
            Ok(())
        }
        First::Cooled => Err(Rest::Idle),
        First::End(reason) => Err(Rest::Close(reason)),
    }
}

/// The first bytes of a request, or why none will come. With `cools` it is warm, and stays so
/// until then.
pub(super) fn poll_first(
    core: &mut Core,
    stream: &mut Stream,
    cools: Option<Instant>,
    cx: &mut Context<'_>,
) -> Poll<First> {
    let mut input = buffer::lend_input();
    // Before anything else: what is here already is served, whatever the time and the phase.
    match stream.poll_read(cx, &mut input) {
        Poll::Ready(Ok(1..)) => return Poll::Ready(First::Input(input)),
        Poll::Ready(Ok(0)) => return Poll::Ready(First::End(CloseReason::PeerClosed)),
        Poll::Ready(Err(error)) if is_end(&error) => {
            return Poll::Ready(First::End(CloseReason::PeerClosed));
        }
        Poll::Ready(Err(_)) => return Poll::Ready(First::End(CloseReason::IoError)),
        Poll::Pending => buffer::return_input(input),
    }
    let is_listed = core.is_listed && cools.is_none();
    let is_evicted = is_listed && core.registration.is_evicted();
    let is_quiet = core.hub().phase() == Phase::Running && !is_evicted;
    if is_quiet && (is_listed || cools.is_some()) {
        ready!(core.deadline.poll(cx));
    }
    let mut now = Instant::now();
    loop {
        if cools.is_none() && !core.is_listed && core.held_until.is_none_or(|until| now >= until) {
            core.registration.rest(cx);
            core.is_listed = true;
        }
        match pause(&core.resting(is_evicted), now) {
            Pause::End(reason) => return Poll::Ready(First::End(reason)),
            Pause::Until(_) if cools.is_some_and(|cools| now >= cools) => {
                return Poll::Ready(First::Cooled);
            }
            Pause::Until(until) => {
                let next = [until, cools].into_iter().flatten().min();
                core.deadline.set_at(next);
            }
        }
        ready!(core.deadline.poll(cx));
        now = Instant::now();
    }
}
