//! The life of one connection, in one task: wait, be busy, wait again, end.
//!
//! Between requests the task holds a stream, a deadline and a few numbers ([`Core`]); it reads
//! into a buffer that is lent for the time of the call. Everything that an exchange needs lives in
//! one box ([`serve_requests`]) from the first byte of a request until there is nothing more to
//! do. That is why an idle connection is small.
//!
//! Invariant: bytes that have been read are never lost between the two: input that is part of a
//! request keeps the connection busy.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::busy::{Rest, serve_requests};
use super::exchange::Handler;
use super::linger::linger;
use super::registry::{Hub, Phase, Registration};
use super::settings::Settings;
use super::state::ConnectionState;
use super::wire::{Core, is_end};
use crate::CloseReason;
use crate::buffer;
use crate::deadline::Deadline;
use crate::net::Stream;

/// When the server is shut down, a connection that has never said anything may still send its
/// first request until it is this old: it has only just been accepted, and its client would have
/// to report a failure that no rule lets it retry (Go: the same).
const NEW_GRACE: Duration = Duration::from_secs(5);

/// Serves one connection to its end.
pub(super) fn serve_connection<H: Handler>(
    registration: Registration,
    mut stream: Stream,
    mut handler: H,
) -> impl Future<Output = CloseReason> + Send + use<H> {
    let hub = Arc::clone(&registration.shard.hub);
    let opened = Instant::now();
    let mut core = Core {
        expires: expiry(&hub.settings, registration.id, opened),
        registration,
        deadline: Deadline::default(),
        opened,
        requests: 0,
    };
    core.deadline.set(hub.settings.head_timeout);
    // What the block captures it uses in place: moved into variables of the block, each would
    // take room twice in every idle task.
    async move {
        poll_fn(|cx| {
            core.registration.watch(cx);
            Poll::Ready(())
        })
        .await;
        #[cfg(feature = "tls")]
        if let Some(tls) = &hub.settings.tls {
            let shaken = Box::pin(super::handshake::shake_hands(tls, stream, &hub.settings));
            match unless_aborted(&hub, shaken).await {
                Some(Ok(tls)) => stream = tls,
                Some(Err(reason)) => return finish(core, reason),
                None => return CloseReason::Shutdown,
            }
            core.deadline.set(hub.settings.head_timeout);
        }
        loop {
            let input = match poll_fn(|cx| poll_first(&mut core, &mut stream, cx)).await {
                Ok(input) => input,
                Err(reason) => return end(core, stream, reason).await,
            };
            core.registration.change(ConnectionState::Active);
            let (waits_until, requests) = (core.deadline.at(), core.requests);
            let busy = Box::pin(serve_requests(core, stream, input, &mut handler));
            let Some((rest, idle_core, idle_stream)) = unless_aborted(&hub, busy).await else {
                return CloseReason::Shutdown;
            };
            (core, stream) = (idle_core, idle_stream);
            match rest {
                Rest::Idle if core.requests == requests => {
                    // It was empty lines, which earn no further time.
                    core.deadline.set_at(waits_until);
                }
                Rest::Idle => core.deadline.set(hub.settings.idle_timeout),
                Rest::Close(reason) => return end(core, stream, reason).await,
                Rest::Abort(reason) => return finish(core, reason),
                Rest::Linger(reason) => {
                    let linger = linger(&mut stream, &mut core.deadline, &hub.settings);
                    unless_aborted(&hub, std::pin::pin!(linger)).await;
                    return finish(core, reason);
                }
            }
            core.registration.change(ConnectionState::Idle);
        }
    }
}

/// Closes in an orderly way, without waiting: close_notify where TLS is spoken. A plain socket
/// needs no more than to be dropped.
async fn end(core: Core, mut stream: Stream, reason: CloseReason) -> CloseReason {
    if stream.is_tls() || stream.tcp().is_none() {
        poll_fn(|cx| {
            let _ = stream.poll_shutdown(cx);
            Poll::Ready(())
        })
        .await;
    }
    drop(stream);
    finish(core, reason)
}

fn finish(mut core: Core, reason: CloseReason) -> CloseReason {
    core.registration.end(reason);
    reason
}

/// Polls `future` until the server drops what is left. The phase is looked at first: whoever sets
/// it wakes all tasks.
async fn unless_aborted<F: Future + Unpin>(hub: &Hub, mut future: F) -> Option<F::Output> {
    poll_fn(|cx| {
        if hub.phase() == Phase::Aborting {
            return Poll::Ready(None);
        }
        Pin::new(&mut future).poll(cx).map(Some)
    })
    .await
}

/// The first bytes of a request, or why none will come.
fn poll_first(
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

/// When a connection reaches its age: the limit less a part of the jitter that is its own.
fn expiry(settings: &Settings, id: u64, opened: Instant) -> Option<Instant> {
    let age = settings.max_age?;
    // A hash with a key of this process stands in for a random number; nothing secret is at stake.
    let draw = RandomState::new().hash_one(id) >> 32;
    let earlier = settings.age_jitter.mul_f64(draw as f64 / f64::from(u32::MAX));
    opened.checked_add(age.saturating_sub(earlier))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_connection_draws_its_own_age() {
        let (age, jitter) = (Duration::from_secs(60), Duration::from_secs(20));
        let settings = Settings {
            max_age: Some(age),
            age_jitter: jitter,
            ..Settings::default()
        };
        let opened = Instant::now();
        let ages: Vec<_> = (0..100)
            .filter_map(|id| expiry(&settings, id, opened))
            .map(|at| at - opened)
            .collect();
        assert_eq!(ages.len(), 100);
        assert!(ages.iter().all(|&own| own <= age && own >= age - jitter));
        let spread = ages.iter().max().unwrap().abs_diff(*ages.iter().min().unwrap());
        assert!(spread > jitter / 2, "{spread:?}");
        assert_eq!(expiry(&Settings::default(), 1, opened), None);
    }
}
