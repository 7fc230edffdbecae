//! A request body on its way from the connection to whoever reads it.
//!
//! The reader may be the service itself, on the connection's task, or anything that it gave the
//! body to, on another task. So body and connection share a slot for one frame: the reader says
//! that it wants one, the connection reads only then, which is the back-pressure. A request whose
//! body has come with its head (or that has none) needs none of this.
//!
//! Invariant: the connection never reads content that nobody asked for; the slot holds at most one
//! frame.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::wire::Wire;
use crate::Body;
use crate::error::{Error, ErrorKind};

#[derive(Debug, Default)]
struct Slot {
    frame: Option<Result<Frame<Bytes>, Error>>,
    /// Somebody waits for a frame.
    reader: Option<Waker>,
    /// The connection waits for somebody to want one, or to lose interest.
    connection: Option<Waker>,
    /// No frame follows the one that is here.
    ended: bool,
    /// Nobody will read any more.
    abandoned: bool,
}

type Shared = Arc<Mutex<Slot>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Slot> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection's end of a request body.
#[derive(Debug)]
pub(super) struct Link(Shared);

/// What became of one attempt to move content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// The reader has something to look at.
    Delivered,
    /// The reader waits, and so do we.
    Waiting,
    /// The reader does not want anything now.
    Unwanted,
    /// The body is over, or nobody reads it.
    Over,
}

/// The body of the request whose head has just been received.
pub(super) fn request_body(wire: &mut Wire) -> (Body, Option<Link>) {
    let mut slot = Slot::default();
    let first = match wire.piece_here() {
        Poll::Ready(Ok(Some(piece))) => Some(Ok(piece)),
        Poll::Ready(Err(error)) => Some(Err(error)),
        Poll::Ready(Ok(None)) => None,
        Poll::Pending => return linked(slot, wire.driver.proto.remaining()),
    };
    // Then its end, if that is certain to be here too: after the last byte of a known length.
    let is_whole = match first {
        None => true,
        Some(Ok(_)) => {
            wire.driver.proto.remaining() == Some(0)
                && matches!(wire.piece_here(), Poll::Ready(Ok(None)))
        }
        Some(Err(_)) => false,
    };
    match first {
        None => {
            let Some(trailers) = trailers_frame(wire) else {
                return (Body::empty(), None);
            };
            slot.frame = Some(trailers);
            slot.ended = true;
            linked(slot, Some(0))
        }
        Some(Ok(piece)) if is_whole => (piece.into(), None),
        Some(piece) => {
            let remaining = wire.driver.proto.remaining();
            let length = piece.as_ref().map_or(0, Bytes::len) as u64;
            slot.ended = piece.is_err();
            slot.frame = Some(piece.map(Frame::data));
            linked(slot, remaining.map(|remaining| remaining + length))
        }
    }
}

fn linked(slot: Slot, remaining: Option<u64>) -> (Body, Option<Link>) {
    let shared = Arc::new(Mutex::new(slot));
    let incoming = Incoming {
        shared: Arc::clone(&shared),
        remaining,
    };
    (Body::stream(incoming), Some(Link(shared)))
}

fn trailers_frame(wire: &mut Wire) -> Option<Result<Frame<Bytes>, Error>> {
    let trailers = wire.trailers.take()?;
    Some(
        trailers
            .to_header_map()
            .map(Frame::trailers)
            .map_err(Error::from),
    )
}

impl Link {
    /// Tells the wire if nobody will read the rest.
    pub(super) fn note_abandoned(&self, wire: &mut Wire) {
        if lock(&self.0).abandoned {
            wire.abandoned = true;
        }
    }

    /// Moves one frame, if the reader wants one. Where it answers otherwise than `Delivered`, the
    /// task is woken when that may have changed.
    pub(super) fn pump(&self, wire: &mut Wire, cx: &mut Context<'_>) -> Pumped {
        {
            let mut slot = lock(&self.0);
            if slot.abandoned {
                wire.abandoned = true;
                return Pumped::Over;
            }
            if slot.ended {
                return Pumped::Over;
            }
            if slot.reader.is_none() || slot.frame.is_some() {
                slot.register_connection(cx);
                return Pumped::Unwanted;
            }
        }
        let Poll::Ready(piece) = wire.poll_piece(cx) else {
            lock(&self.0).register_connection(cx);
            return Pumped::Waiting;
        };
        let (frame, ended) = match piece {
            Ok(Some(piece)) => {
                let is_last = wire.driver.proto.remaining() == Some(0)
                    && matches!(wire.piece_here(), Poll::Ready(Ok(None)));
                (Some(Ok(Frame::data(piece))), is_last)
            }
            Ok(None) => (trailers_frame(wire), true),
            Err(error) => (Some(Err(error)), true),
        };
        let mut slot = lock(&self.0);
        slot.frame = frame;
        slot.ended = ended;
        let reader = slot.reader.take();
        drop(slot);
        // The service is polled next anyway; only a waker that is not ours has to be told.
        if let Some(reader) = reader
            && !reader.will_wake(cx.waker())
        {
            reader.wake();
        }
        Pumped::Delivered
    }
}

impl Slot {
    fn register_connection(&mut self, cx: &Context<'_>) {
        match &mut self.connection {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut slot = lock(&self.0);
        if !slot.ended {
            slot.ended = true;
            if slot.frame.is_none() {
                let over = "the exchange that this body belongs to is over";
                slot.frame = Some(Err(Error::caused(ErrorKind::Io, over)));
            }
        }
        let reader = slot.reader.take();
        drop(slot);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// The reader's end of a request body.
#[derive(Debug)]
struct Incoming {
    shared: Shared,
    /// Content that the reader has not been given, if the length is known.
    remaining: Option<u64>,
}

impl HttpBody for Incoming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let connection = {
            let mut slot = lock(&self.shared);
            if let Some(frame) = slot.frame.take() {
                drop(slot);
                if let (Some(remaining), Ok(frame)) = (self.remaining, &frame) {
                    let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                    self.remaining = Some(remaining.saturating_sub(length));
                }
                return Poll::Ready(Some(frame));
            }
            if slot.ended {
                return Poll::Ready(None);
            }
            slot.reader = Some(cx.waker().clone());
            // On the connection's own task it looks by itself when the service has been polled.
            let connection = slot.connection.as_ref();
            connection.filter(|own| !own.will_wake(cx.waker())).cloned()
        };
        if let Some(connection) = connection {
            connection.wake();
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let slot = lock(&self.shared);
        slot.ended && slot.frame.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.remaining
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut slot = lock(&self.shared);
        slot.abandoned = true;
        let connection = slot.connection.take().filter(|_| !slot.ended);
        drop(slot);
        if let Some(connection) = connection {
            connection.wake();
        }
    }
}
