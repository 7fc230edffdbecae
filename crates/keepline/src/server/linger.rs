//! Throwing away what nobody wants, so that an answer arrives or a connection is saved.
//!
//! Two ways, both bounded in time: *draining* reads the rest of a request body after its answer,
//! to keep the connection; *lingering close* closes our direction and reads until the client has
//! closed its own, since closing both with bytes unread resets the connection, and a reset
//! destroys what the client has not read yet (RFC 9112 §9.6).

use std::future::poll_fn;
use std::task::Poll;

use bytes::BytesMut;
use tokio::time::Instant;

use super::terms::{Drain, Linger};
use super::wire::{Core, Wire, reason_of};
use crate::CloseReason;
use crate::deadline::Deadline;
use crate::net::Stream;

/// Reads of a lingering close: most of what comes is the rest of an upload.
const DISCARDED_AT_ONCE: usize = 64 * 1024;
/// What is thrown away of one connection before others have their turn, in bytes. A client that sends
/// as fast as it is read never lets a loop come to its end by itself, and hundreds of them would keep
/// those waiting who are to be answered.
pub(super) const DISCARDED_IN_A_TURN: usize = 256 * 1024;

/// Reads the rest of the request body.
///
/// # Errors
/// Why the connection has to be given up.
pub(super) async fn drain(wire: &mut Wire) -> Result<(), CloseReason> {
    let Drain {
        bytes,
        timeout,
        time,
    } = wire.terms.drain;
    let mut left = bytes;
    let end = Instant::now().checked_add(time);
    wire.core.deadline.set(Some(timeout.min(time)));
    poll_fn(|cx| {
        if let Poll::Ready(Err(error)) = wire.poll_flush(cx) {
            return Poll::Ready(Err(reason_of(&error)));
        }
        loop {
            match wire.piece_here() {
                Poll::Ready(Ok(None)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(reason_of(&error))),
                Poll::Ready(Ok(Some(piece))) => match left.checked_sub(piece.len() as u64) {
                    Some(less) => left = less,
                    None => return Poll::Ready(Err(CloseReason::NotDrained)),
                },
                Poll::Pending => match wire.driver.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => {
                        let now = Instant::now();
                        // A client that always has more never lets the timer have its turn.
                        if end.is_some_and(|end| now >= end) {
                            return Poll::Ready(Err(CloseReason::NotDrained));
                        }
                        let limit = sooner(end, now.checked_add(timeout));
                        wire.core.deadline.set_at(limit);
                    }
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(CloseReason::PeerClosed)),
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(CloseReason::IoError)),
                    Poll::Pending => break,
                },
            }
        }
        let over = wire.core.deadline.poll(cx);
        over.map(|()| Err(CloseReason::NotDrained))
    })
    .await
}

/// Closes our direction and reads until the client closes its own, or a limit.
/// Meanwhile it makes room for others.
pub(super) async fn linger(stream: &mut Stream, core: &mut Core, limits: Linger) {
    poll_fn(|cx| {
        core.registration.rest(cx);
        Poll::Ready(())
    })
    .await;
    let registration = &core.registration;
    let is_evicted = || registration.is_evicted();
    discard(stream, &mut core.deadline, limits, is_evicted).await;
}

/// The same where nobody waits for room: see [`linger`].
pub(super) async fn discard(
    stream: &mut Stream,
    deadline: &mut Deadline,
    limits: Linger,
    is_unwanted: impl Fn() -> bool,
) {
    let end = Instant::now().checked_add(limits.time);
    deadline.set(Some(limits.timeout.min(limits.time)));
    let mut is_shut = false;
    poll_fn(|cx| {
        if is_unwanted() {
            return Poll::Ready(());
        }
        if !is_shut {
            match stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => is_shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return deadline.poll(cx),
            }
        }
        let mut discarded = BytesMut::new();
        let mut left = DISCARDED_IN_A_TURN;
        while left > 0 {
            discarded.clear();
            discarded.reserve(DISCARDED_AT_ONCE);
            match stream.poll_read(cx, &mut discarded) {
                Poll::Ready(Ok(read @ 1..)) => {
                    left = left.saturating_sub(read);
                    let now = Instant::now();
                    // A client that always has more never lets the timer have its turn.
                    if end.is_some_and(|end| now >= end) {
                        return Poll::Ready(());
                    }
                    deadline.set_at(sooner(end, now.checked_add(limits.timeout)));
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return deadline.poll(cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The earlier of two times, of which a time that cannot be told is none.
fn sooner(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    [one, other].into_iter().flatten().min()
}
