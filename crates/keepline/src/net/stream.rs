//! One type for every byte stream that HTTP runs on.
//!
//! An enum instead of a type parameter: what holds a stream (a pool, a driver) need not be
//! generic, and the common case is one predictable branch. Invariant: a stream is polled only by
//! whoever owns it; it buffers nothing above what TLS needs.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::arrived::Arrived;
use super::plain::{Plain, Protocol};
#[cfg(feature = "tls")]
use super::tls_now::{arrived_in_tls, say_goodbye_in_tls};

/// A byte stream: TCP, a Unix socket, TLS over one of them, or anything else that is given.
pub struct Stream(Kind);

enum Kind {
    Plain(Plain),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::TlsStream<Plain>>),
}

/// Where the other end of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerAddr {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix,
    /// A stream that was given and has no address.
    Unknown,
}

#[cfg(feature = "server")]
impl PeerAddr {
    /// By what it is limited: an address, however it is written.
    pub(crate) const fn counted_as(self) -> Option<std::net::IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip().to_canonical()),
            Self::Unix | Self::Unknown => None,
        }
    }
}

impl fmt::Display for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

impl Stream {
    /// Wraps any stream: an in-memory one in tests, or a transport of one's own.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Kind::Plain(Plain::Other(Box::new(stream))))
    }

    /// Wraps a stream on which the program has started TLS itself, with a library of its own: for
    /// https none is started on it, and whom it trusts is the program's affair. `alpn` is what the two
    /// have agreed on; `h2` needs the feature `http2`, and anything else is spoken to in HTTP/1.1.
    pub fn secured(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        alpn: Option<&[u8]>,
    ) -> Self {
        let protocol = match alpn {
            Some(b"h2") => Protocol::Http2,
            Some(_) | None => Protocol::Http1,
        };
        Self(Kind::Plain(Plain::Secured(Box::new(stream), protocol)))
    }

    /// What was agreed on, if it is TLS that the program has brought.
    #[cfg(feature = "client")]
    pub(crate) const fn brought_tls(&self) -> Option<Protocol> {
        match &self.0 {
            Kind::Plain(Plain::Secured(_, protocol)) => Some(*protocol),
            Kind::Plain(_) => None,
            #[cfg(feature = "tls")]
            Kind::Tls(_) => None,
        }
    }

    /// What is left where a stream has been taken out.
    pub(crate) const fn gone() -> Self {
        Self(Kind::Plain(Plain::Gone))
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(stream: impl Into<tokio_rustls::TlsStream<Plain>>) -> Self {
        Self(Kind::Tls(Box::new(stream.into())))
    }

    /// The stream, to start TLS on it.
    #[cfg(feature = "tls")]
    pub(crate) fn into_plain(self) -> Plain {
        match self.0 {
            Kind::Plain(plain) => plain,
            Kind::Tls(tls) => Plain::Tls(tls),
        }
    }

    fn plain(&self) -> &Plain {
        match &self.0 {
            Kind::Plain(plain) => plain,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.get_ref().0,
        }
    }

    fn plain_mut(&mut self) -> &mut Plain {
        match &mut self.0 {
            Kind::Plain(plain) => plain,
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => match &mut **tls {
                tokio_rustls::TlsStream::Client(tls) => tls.get_mut().0,
                tokio_rustls::TlsStream::Server(tls) => tls.get_mut().0,
            },
        }
    }

    /// The TCP socket below, if there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        self.plain().tcp()
    }

    /// TLS is spoken on it.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        match &self.0 {
            Kind::Plain(plain) => matches!(plain, Plain::Secured(..)),
            #[cfg(feature = "tls")]
            Kind::Tls(_) => true,
        }
    }

    /// HTTP/2 has been chosen by ALPN (RFC 9113 §3.2).
    #[cfg(feature = "http2")]
    pub(crate) fn has_negotiated_http2(&self) -> bool {
        match &self.0 {
            Kind::Plain(plain) => matches!(plain, Plain::Secured(_, Protocol::Http2)),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Where the other end is.
    #[must_use]
    pub fn peer_addr(&self) -> PeerAddr {
        match self.plain() {
            plain if plain.is_unix() => PeerAddr::Unix,
            plain => plain
                .tcp()
                .and_then(|tcp| tcp.peer_addr().ok())
                .map_or(PeerAddr::Unknown, PeerAddr::Tcp),
        }
    }

    /// Our own end of it; `None` where it is no TCP connection, or no longer one.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp()?.local_addr().ok()
    }

    /// What the handshake settled, on a server.
    #[cfg(all(feature = "tls", feature = "server"))]
    pub(crate) fn tls_info(&self) -> Option<crate::tls::TlsInfo<'_>> {
        match &self.0 {
            Kind::Tls(tls) => match &**tls {
                tokio_rustls::TlsStream::Server(tls) => {
                    Some(crate::tls::TlsInfo::new(tls.get_ref().1))
                }
                tokio_rustls::TlsStream::Client(_) => None,
            },
            Kind::Plain(_) => None,
        }
    }

    /// Reads what is there, at most what `buffer` has room for; 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        use std::future::Future;
        match &mut self.0 {
            // Not through `dyn`: this is the hot path.
            Kind::Plain(Plain::Tcp(tcp)) => pin!(tcp.read_buf(buffer)).poll(cx),
            Kind::Plain(plain) => pin!(plain.read_buf(buffer)).poll(cx),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => pin!(tls.read_buf(buffer)).poll(cx),
        }
    }

    /// Looks whether anything at all has arrived on an idle stream: `Pending` is what a healthy
    /// one answers. A few bytes are read, enough to tell what they are: the stream is not reused.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        let mut bytes = [0; Arrived::TOLD_BY];
        let mut read = ReadBuf::new(&mut bytes);
        let polled = match &mut self.0 {
            Kind::Plain(plain) => Pin::new(plain).poll_read(cx, &mut read),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_read(cx, &mut read),
        };
        polled.map(|outcome| match outcome {
            Ok(()) => Arrived::from_bytes(read.filled()),
            Err(error) => Arrived::from_failure(&error),
        })
    }

    /// Asks the kernel, not the runtime's memory of it, whether anything has arrived on an idle
    /// stream: one system call. What has arrived is consumed, as by [`poll_idle`](Self::poll_idle).
    pub(crate) fn arrived(&mut self) -> Option<Arrived> {
        match &mut self.0 {
            Kind::Plain(plain) => {
                let mut bytes = [0; Arrived::TOLD_BY];
                match plain.read_now(&mut bytes)? {
                    Ok(read) => Some(Arrived::from_bytes(&bytes[..read])),
                    Err(error) => Arrived::from_error(&error),
                }
            }
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => match &mut **tls {
                tokio_rustls::TlsStream::Client(tls) => {
                    let (plain, session) = tls.get_mut();
                    arrived_in_tls(plain, session)
                }
                tokio_rustls::TlsStream::Server(tls) => {
                    let (plain, session) = tls.get_mut();
                    arrived_in_tls(plain, session)
                }
            },
        }
    }

    /// Writes some of `slices`.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (&mut self.0, slices) {
            (Kind::Plain(Plain::Tcp(tcp)), [one]) => Pin::new(tcp).poll_write(cx, one),
            (Kind::Plain(Plain::Tcp(tcp)), _) => Pin::new(tcp).poll_write_vectored(cx, slices),
            (Kind::Plain(plain), _) => Pin::new(plain).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            (Kind::Tls(tls), _) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    /// Sends what TLS still holds; without TLS nothing is held.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(plain) => Pin::new(plain).poll_flush(cx),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    /// Closes our direction: close_notify where TLS is spoken, then FIN.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(plain) => Pin::new(plain).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    /// Lets the peer see a reset instead of an orderly end when the stream is dropped: for a body
    /// that ends with the connection and was cut short.
    pub(crate) fn reset_on_close(&self) {
        if let Some(tcp) = self.tcp() {
            // Where it fails the peer sees an orderly end, as it would have without.
            let _ = socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// Says that nothing more follows, where TLS is spoken and as far as that is possible without
    /// waiting; for a stream that is dropped next. RFC 8446 §6.1: "Each party MUST send a
    /// 'close_notify' alert before closing its write side of the connection".
    #[cfg_attr(
        not(feature = "tls"),
        expect(
            clippy::unused_self,
            clippy::needless_pass_by_ref_mut,
            reason = "only TLS says it"
        )
    )]
    pub(crate) fn say_goodbye(&mut self) {
        #[cfg(feature = "tls")]
        if let Kind::Tls(tls) = &mut self.0 {
            match &mut **tls {
                tokio_rustls::TlsStream::Client(tls) => {
                    let (plain, session) = tls.get_mut();
                    say_goodbye_in_tls(plain, session);
                }
                tokio_rustls::TlsStream::Server(tls) => {
                    let (plain, session) = tls.get_mut();
                    say_goodbye_in_tls(plain, session);
                }
            }
        }
    }

    /// Registers the socket with the runtime that this is called in, so that it no longer
    /// depends on the one where it was opened.
    pub(crate) fn register_here(&mut self) -> io::Result<()> {
        self.plain_mut().register_here()
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self(Kind::Plain(Plain::Tcp(tcp)))
    }
}

impl From<UnixStream> for Stream {
    fn from(unix: UnixStream) -> Self {
        Self(Kind::Plain(Plain::Unix(unix)))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.peer_addr())
            .field("tls", &self.is_tls())
            .finish()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Kind::Plain(plain) => Pin::new(plain).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Kind::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(&mut self, cx)
    }
}
