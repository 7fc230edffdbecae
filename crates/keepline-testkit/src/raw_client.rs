//! A client that sends exactly the bytes it is told to.
//!
//! It knows nothing of HTTP but where a head ends, so it can send what no real client would. It
//! reads only when asked: until then the answer waits in the kernel and slows the server down.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{head, within};

/// How the other side ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a FIN: in order, after everything that it had sent.
    Fin,
    /// With a reset.
    Reset,
}

/// One connection of a scripted client. Every method is bounded by
/// [`PATIENCE`](crate::PATIENCE) and panics with what it was waiting for.
#[derive(Debug)]
pub struct RawClient<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

impl RawClient {
    /// Connects to `addr`.
    ///
    /// # Panics
    ///
    /// If nobody accepts.
    pub async fn connect(addr: SocketAddr) -> Self {
        let stream = within(format!("a connection to {addr}"), TcpStream::connect(addr))
            .await
            .unwrap_or_else(|error| panic!("no connection to {addr}: {error}"));
        stream
            .set_nodelay(true)
            .expect("a connected socket takes options");
        Self::over(stream)
    }

    /// The address of this end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.stream
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// Resets the connection (RST), whatever is still to be read or sent.
    pub fn reset(self) {
        self.stream
            .set_zero_linger()
            .expect("a connected socket takes options");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Debug> RawClient<S> {
    /// A client over a stream that exists already: TLS, one end of a pipe.
    #[must_use]
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    /// Sends `bytes`.
    ///
    /// # Panics
    ///
    /// If the other side has closed; see [`try_send`](Self::try_send).
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes)
            .await
            .unwrap_or_else(|error| panic!("can't send: {error}"));
    }

    /// Sends `bytes` as far as the other side takes them.
    ///
    /// # Errors
    ///
    /// If the other side has closed.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let bytes = bytes.as_ref();
        within(format!("{} bytes to be sent", bytes.len()), async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Sends `bytes` with a system call, and so mostly a segment, for every `piece` bytes.
    ///
    /// # Panics
    ///
    /// If `piece` is zero or the other side has closed.
    pub async fn dribble(&mut self, bytes: impl AsRef<[u8]>, piece: usize) {
        for piece in bytes.as_ref().chunks(piece) {
            self.send(piece).await;
        }
    }

    /// Reads up to the empty line that ends a head; what follows it is left to the next read.
    ///
    /// # Panics
    ///
    /// If the connection ends before the head does.
    pub async fn read_head(&mut self) -> String {
        let length = loop {
            match head::length(&self.unread) {
                Some(length) => break length,
                None => self.read_more("the end of a head").await,
            }
        };
        let head: Vec<u8> = self.unread.drain(..length).collect();
        String::from_utf8_lossy(&head).into_owned()
    }

    /// Reads `count` bytes.
    ///
    /// # Panics
    ///
    /// If the connection ends before.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            self.read_more(&format!("{count} bytes")).await;
        }
        self.unread.drain(..count).collect()
    }

    /// Reads all that comes, and tells how the other side ended the connection.
    ///
    /// # Panics
    ///
    /// If the connection stays open.
    pub async fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let end = within("the end of the connection", async {
            loop {
                match self.stream.read_buf(&mut self.unread).await {
                    Ok(0) => return End::Fin,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                        return End::Reset;
                    }
                    Err(error) => panic!("can't read: {error}"),
                }
            }
        })
        .await;
        (std::mem::take(&mut self.unread), end)
    }

    /// Sends a FIN: this side says no more, but can go on to read.
    ///
    /// # Panics
    ///
    /// If the connection is gone already.
    pub async fn half_close(&mut self) {
        within("a FIN to be sent", self.stream.shutdown())
            .await
            .unwrap_or_else(|error| panic!("can't half-close: {error}"));
    }

    /// The stream, to do something else with it.
    ///
    /// # Panics
    ///
    /// If something was read that nobody has taken.
    #[must_use]
    pub fn into_stream(self) -> S {
        assert!(self.unread.is_empty(), "{:?}", self.unread);
        self.stream
    }

    /// Closes the connection. The kernel makes it a reset if bytes have arrived that were never
    /// read.
    pub fn close(self) {
        drop(self);
    }

    async fn read_more(&mut self, what: &str) {
        let read = within(what, self.stream.read_buf(&mut self.unread)).await;
        let arrived = self.unread.escape_ascii();
        match read {
            Ok(0) => panic!("the connection was closed before {what}, after \"{arrived}\""),
            Ok(_) => {}
            Err(error) => panic!("{error} before {what}, after \"{arrived}\""),
        }
    }
}
