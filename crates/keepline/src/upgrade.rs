//! Connections that go on to speak another protocol: after `101 Switching Protocols` to a request
//! with Upgrade, or 2xx to CONNECT.
//!
//! Invariant: no byte is lost between the two protocols. What the peer sent behind its request, and
//! was read with it, comes first out of [`Upgraded`].

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Buf;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind};
use crate::net::Stream;

/// A connection that was handed over: all that is sent and received now belongs to the new
/// protocol. It no longer counts as one of its server's or Transport's.
#[derive(Debug)]
pub struct Upgraded {
    stream: Stream,
    /// Read before the hand-over, and not yet by its reader.
    early: BytesMut,
}

impl Upgraded {
    pub(crate) const fn new(stream: Stream, early: BytesMut) -> Self {
        Self { stream, early }
    }

    /// The stream, and what has been read of it already.
    #[must_use]
    pub fn into_parts(self) -> (Stream, BytesMut) {
        (self.stream, self.early)
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.early.len().min(buffer.remaining());
        buffer.put_slice(&self.early[..length]);
        self.early.advance(length);
        if self.early.is_empty() {
            self.early = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The connection of a request that asks for another protocol, once its response has agreed.
///
/// On a client it is among the extensions of the response with status 101, and ready. On a server
/// it is among the extensions of the request: a service takes it, answers 101 (or 2xx to CONNECT), and awaits
/// it in another task. Clones are the same; the first that is awaited gets the connection.
///
/// Ready with [`ErrorKind::Shutdown`] if the response does not agree, or cannot be sent.
#[derive(Clone)]
pub struct OnUpgrade(Arc<Mutex<oneshot::Receiver<Upgraded>>>);

/// The connection's end of an [`OnUpgrade`].
pub(crate) type Promise = oneshot::Sender<Upgraded>;

pub(crate) fn promise() -> (Promise, OnUpgrade) {
    let (promise, receiver) = oneshot::channel();
    (promise, OnUpgrade(Arc::new(Mutex::new(receiver))))
}

impl Future for OnUpgrade {
    type Output = Result<Upgraded, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let upgraded = ready!(Pin::new(&mut *receiver).poll(cx));
        Poll::Ready(upgraded.map_err(|_| Error::new(ErrorKind::Shutdown)))
    }
}

impl fmt::Debug for OnUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnUpgrade")
    }
}
