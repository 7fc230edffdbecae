//! A stream that a session has for as long as it lives, and that comes back when the session is
//! dropped.
//!
//! The `h2` crate keeps what it is given. But a connection that is closed while its client still
//! sends (window updates for the very answer that it reads are enough) is reset by the kernel, which
//! throws away what the client has not got yet. So whoever ends a session needs the stream, to close
//! it in a way that lets the last answer arrive (RFC 9112 §9.6 says it of HTTP/1.1; TCP is the same).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;
use crate::upgrade::Upgraded;

/// The stream, as the session has it.
pub(super) struct Lent {
    stream: Upgraded,
    loan: Arc<Loan>,
}

/// What is known of a stream that is lent.
#[derive(Debug, Default)]
pub(super) struct Loan {
    /// Bytes that the kernel has taken.
    written: AtomicU64,
    /// It takes no more for now: the client does not read.
    is_full: AtomicBool,
    back: Mutex<Option<Stream>>,
}

/// Lends a stream of which `input` has been read already.
pub(super) fn lend(stream: Stream, input: BytesMut) -> (Lent, Arc<Loan>) {
    let loan = Arc::<Loan>::default();
    let lent = Lent {
        stream: Upgraded::new(stream, input),
        loan: Arc::clone(&loan),
    };
    (lent, loan)
}

impl Loan {
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Something waits to be written.
    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    /// The stream, once nobody has it any more.
    pub(super) fn take_back(&self) -> Option<Stream> {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        back.take()
    }
}

impl Lent {
    fn note(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(length)) = wrote {
            let written = self.loan.written() + length as u64;
            // Nobody else writes here.
            self.loan.written.store(written, Ordering::Relaxed);
        }
        self.loan
            .is_full
            .store(wrote.is_pending(), Ordering::Relaxed);
        wrote
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let gone = Upgraded::new(Stream::gone(), BytesMut::new());
        let (stream, _) = std::mem::replace(&mut self.stream, gone).into_parts();
        let mut back = self
            .loan
            .back
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *back = Some(stream);
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(wrote)
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
