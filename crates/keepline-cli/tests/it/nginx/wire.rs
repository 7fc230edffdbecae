//! One connection of a client or a backend, read only as far as a case asks.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How the gateway ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Fin,
    Reset,
}

#[derive(Debug)]
pub(crate) struct Wire {
    /// Gone when this side has closed.
    stream: Option<TcpStream>,
    pub(crate) unread: Vec<u8>,
    pub(crate) ended: Option<Ended>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Each send is a segment at once.
        let _ = stream.set_nodelay(true);
        Self {
            stream: Some(stream),
            unread: Vec::new(),
            ended: None,
        }
    }

    /// Waits for more bytes; `false` if there are none to come.
    pub(crate) async fn more(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match stream.read_buf(&mut self.unread).await {
            Ok(0) => self.ended = Some(Ended::Fin),
            Ok(_) => {}
            Err(error) => self.ended = Some(ended_by(&error)),
        }
        self.ended.is_none()
    }

    /// As [`more`](Self::more), for who waits for several connections.
    pub(crate) fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (None, Some(stream)) = (self.ended, &mut self.stream) else {
            return Poll::Pending;
        };
        let mut piece = [0; 16 << 10];
        let mut piece = ReadBuf::new(&mut piece);
        match std::task::ready!(std::pin::Pin::new(stream).poll_read(cx, &mut piece)) {
            Ok(()) if piece.filled().is_empty() => self.ended = Some(Ended::Fin),
            Ok(()) => self.unread.extend(piece.filled()),
            Err(error) => self.ended = Some(ended_by(&error)),
        }
        Poll::Ready(())
    }

    /// A connection that is gone takes no bytes; what it is gone for shows when it is read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.write_all(bytes).await;
        }
    }

    /// Sends now and then, until the other side's kernel says that nobody reads any more.
    pub(crate) async fn send_until_refused(&mut self) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn fin(&mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.shutdown().await;
        }
    }

    pub(crate) fn close(&mut self) {
        self.stream = None;
    }

    pub(crate) fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream
                .set_zero_linger()
                .expect("a connected socket takes options");
        }
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        self.unread.drain(..count).collect()
    }
}

fn ended_by(error: &io::Error) -> Ended {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Ended::Fin,
        _ => Ended::Reset,
    }
}
