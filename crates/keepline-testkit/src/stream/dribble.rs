//! A stream that moves a few bytes at a time.
//!
//! It splits; it loses, reorders and delays nothing. Splitting happens in this process, so that
//! each piece is one read whatever the kernel would have joined together.

use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Splits every read and write of `S` into pieces of at most `n` bytes.
///
/// Between two pieces it answers once that it isn't ready (and wakes at once), as a socket does
/// between two segments. So code that reads until nothing is there sees every piece on its own, and
/// a missing wake-up shows.
#[derive(Debug)]
pub struct Dribble<S> {
    inner: S,
    most: NonZeroUsize,
    reads: Pace,
    writes: Pace,
}

impl<S> Dribble<S> {
    /// Wraps `inner` so that at most `most` bytes move at a time.
    ///
    /// # Panics
    ///
    /// If `most` is zero: nothing would ever move.
    #[must_use]
    pub fn new(inner: S, most: usize) -> Self {
        let most = NonZeroUsize::new(most).expect("a piece has at least one byte");
        Self {
            inner,
            most,
            reads: Pace::Ready,
            writes: Pace::Ready,
        }
    }

    /// The stream within.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Dribble<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.reads.poll_turn(cx));
        let room = this.most.get().min(buf.remaining());
        let mut piece = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
        let read = piece.filled().len();
        buf.advance(read);
        this.reads = Pace::BetweenPieces;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Dribble<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.writes.poll_turn(cx));
        let piece = &buf[..this.most.get().min(buf.len())];
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, piece))?;
        this.writes = Pace::BetweenPieces;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Whether the next piece may move now.
#[derive(Debug)]
enum Pace {
    Ready,
    BetweenPieces,
}

impl Pace {
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self {
            Self::Ready => Poll::Ready(()),
            Self::BetweenPieces => {
                *self = Self::Ready;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn each_read_gets_a_piece_and_the_whole_arrives() {
        let (mut near, far) = duplex(64);
        near.write_all(b"abcdefgh")
            .await
            .expect("the pipe has room");
        drop(near);
        let mut far = Dribble::new(far, 3);
        let mut buf = [0; 64];
        for piece in [&b"abc"[..], b"def", b"gh", b""] {
            let read = far.read(&mut buf).await.expect("a pipe doesn't fail");
            assert_eq!(&buf[..read], piece);
        }
    }

    #[tokio::test]
    async fn each_write_takes_a_piece_and_the_whole_is_written() {
        let (near, mut far) = duplex(64);
        let mut near = Dribble::new(near, 3);
        assert_eq!(near.write(b"abcdefgh").await.expect("the pipe has room"), 3);
        near.write_all(b"defgh").await.expect("the pipe has room");
        near.shutdown().await.expect("a pipe can be shut down");
        let mut all = String::new();
        far.read_to_string(&mut all)
            .await
            .expect("a pipe doesn't fail");
        assert_eq!(all, "abcdefgh");
    }

    #[tokio::test]
    async fn between_two_pieces_there_is_nothing_to_read() {
        let (mut near, far) = duplex(64);
        near.write_all(b"ab").await.expect("the pipe has room");
        let mut far = single_bytes(Dribble::new(far, 1));
        assert_eq!(far(), Poll::Ready(Some(b'a')));
        assert_eq!(far(), Poll::Pending);
        assert_eq!(far(), Poll::Ready(Some(b'b')));
    }

    /// Polls for one byte at a time, without waiting.
    fn single_bytes<S: AsyncRead + Unpin>(mut stream: S) -> impl FnMut() -> Poll<Option<u8>> {
        move || {
            let mut byte = [0];
            let mut buf = ReadBuf::new(&mut byte);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            Pin::new(&mut stream)
                .poll_read(&mut cx, &mut buf)
                .map(|read| {
                    read.expect("a pipe doesn't fail");
                    buf.filled().first().copied()
                })
        }
    }
}
