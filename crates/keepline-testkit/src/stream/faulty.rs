//! A stream on which something goes wrong at an exact byte.
//!
//! Up to that byte it is the stream within. From then on the fault is permanent, as a broken
//! connection's is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every further call fails with this kind of error.
    Error(io::ErrorKind),
    /// The stream has ended: a read answers no bytes, a write takes none.
    End,
    /// Nothing moves any more and nobody is woken: only a deadline helps.
    Stall,
}

/// Lets `S` work up to an exact byte of each direction, then faults that direction for good.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    reads: Allowance,
    writes: Allowance,
}

impl<S> Faulty<S> {
    /// Wraps `inner`, with no fault yet.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            reads: Allowance::Unlimited,
            writes: Allowance::Unlimited,
        }
    }

    /// After `bytes` more bytes were read, reading meets `fault`.
    #[must_use]
    pub fn reads_after(mut self, bytes: usize, fault: Fault) -> Self {
        self.reads = Allowance::UpTo {
            left: bytes,
            then: fault,
        };
        self
    }

    /// After `bytes` more bytes were written, writing, flushing and shutting down meet `fault`.
    #[must_use]
    pub fn writes_after(mut self, bytes: usize, fault: Fault) -> Self {
        self.writes = Allowance::UpTo {
            left: bytes,
            then: fault,
        };
        self
    }

    /// The stream within.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Faulty<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let most = match this.reads.most(buf.remaining()) {
            Ok(most) => most,
            Err(Fault::Error(kind)) => return Poll::Ready(Err(kind.into())),
            Err(Fault::End) => return Poll::Ready(Ok(())),
            Err(Fault::Stall) => return Poll::Pending,
        };
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        this.reads.spend(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Faulty<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let most = match this.writes.most(buf.len()) {
            Ok(most) => most,
            Err(Fault::Error(kind)) => return Poll::Ready(Err(kind.into())),
            Err(Fault::End) => return Poll::Ready(Ok(0)),
            Err(Fault::Stall) => return Poll::Pending,
        };
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &buf[..most]))?;
        this.writes.spend(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.writes.fault() {
            Some(Fault::Error(kind)) => Poll::Ready(Err(kind.into())),
            Some(Fault::Stall) => Poll::Pending,
            Some(Fault::End) | None => Pin::new(&mut this.inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.writes.fault() {
            Some(Fault::Error(kind)) => Poll::Ready(Err(kind.into())),
            Some(Fault::Stall) => Poll::Pending,
            Some(Fault::End) | None => Pin::new(&mut this.inner).poll_shutdown(cx),
        }
    }
}

/// How much one direction may still move.
#[derive(Debug)]
enum Allowance {
    Unlimited,
    UpTo { left: usize, then: Fault },
}

impl Allowance {
    fn spend(&mut self, bytes: usize) {
        if let Self::UpTo { left, .. } = self {
            *left -= bytes;
        }
    }

    /// The fault, once the allowance is used up.
    fn fault(&self) -> Option<Fault> {
        match *self {
            Self::UpTo { left: 0, then } => Some(then),
            Self::UpTo { .. } | Self::Unlimited => None,
        }
    }

    /// How many of the `wanted` bytes may move now.
    fn most(&self, wanted: usize) -> Result<usize, Fault> {
        match *self {
            Self::Unlimited => Ok(wanted),
            Self::UpTo { left: 0, then } => Err(then),
            Self::UpTo { left, .. } => Ok(left.min(wanted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    async fn pipe_with(bytes: &[u8]) -> (DuplexStream, DuplexStream) {
        let (mut near, far) = duplex(64);
        near.write_all(bytes).await.expect("the pipe has room");
        (near, far)
    }

    #[tokio::test]
    async fn reading_fails_after_the_last_good_byte_and_stays_failed() {
        let (_near, far) = pipe_with(b"abcdef").await;
        let mut far = Faulty::new(far).reads_after(4, Fault::Error(io::ErrorKind::ConnectionReset));
        let mut buf = [0; 64];
        assert_eq!(far.read(&mut buf).await.expect("four bytes are good"), 4);
        for _ in 0..2 {
            let error = far.read(&mut buf).await.expect_err("the fifth byte faults");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
    }

    #[tokio::test]
    async fn reading_can_end_early() {
        let (_near, far) = pipe_with(b"abcdef").await;
        let mut all = Vec::new();
        let mut far = Faulty::new(far).reads_after(2, Fault::End);
        far.read_to_end(&mut all).await.expect("an end is no error");
        assert_eq!(all, b"ab");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_read_only_ends_by_a_deadline() {
        let (_near, far) = pipe_with(b"abcdef").await;
        let mut far = Faulty::new(far).reads_after(0, Fault::Stall);
        let read = timeout(Duration::from_secs(3600), far.read_u8()).await;
        assert!(read.is_err(), "nothing arrives within the hour");
    }

    #[tokio::test]
    async fn writing_fails_in_the_middle_of_a_message() {
        let (near, mut far) = duplex(64);
        let mut near = Faulty::new(near).writes_after(3, Fault::Error(io::ErrorKind::BrokenPipe));
        let error = near
            .write_all(b"abcdef")
            .await
            .expect_err("the fourth byte faults");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(
            near.flush().await.is_err(),
            "a broken pipe can't be flushed"
        );
        drop(near);
        let mut arrived = Vec::new();
        far.read_to_end(&mut arrived)
            .await
            .expect("a pipe doesn't fail");
        assert_eq!(arrived, b"abc");
    }
}
