//! A stream below TLS, or without: a socket of some kind, or a stream that was given.
//!
//! Invariant: it buffers nothing.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
#[cfg(feature = "tls")]
use tokio_rustls::TlsStream;

#[cfg(feature = "tls")]
use super::tls_now::read_now_in_tls;

/// Anything that carries bytes both ways; implemented for all such types.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What was agreed on by ALPN where the program has brought TLS of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A stream on which this crate speaks no TLS.
pub(crate) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// TLS to a proxy, below the TLS to an origin.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<Self>>),
    Other(Box<dyn Duplex>),
    /// TLS that the program has brought, of whatever library.
    Secured(Box<dyn Duplex>, Protocol),
    /// Taken out to be registered with another runtime, and lost on the way.
    Gone,
}

impl Plain {
    /// Reads what the kernel has, without waiting and whatever the runtime believes. `None`: this
    /// kind of stream cannot.
    pub(super) fn read_now(&mut self, bytes: &mut [u8]) -> Option<io::Result<usize>> {
        use std::io::Read;
        match self {
            Self::Tcp(tcp) => Some((&*socket2::SockRef::from(&*tcp)).read(bytes)),
            Self::Unix(unix) => Some((&*socket2::SockRef::from(&*unix)).read(bytes)),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => match &mut **tls {
                TlsStream::Client(tls) => {
                    let (plain, session) = tls.get_mut();
                    Some(read_now_in_tls(plain, session, bytes))
                }
                TlsStream::Server(tls) => {
                    let (plain, session) = tls.get_mut();
                    Some(read_now_in_tls(plain, session, bytes))
                }
            },
            Self::Other(_) | Self::Secured(..) => None,
            Self::Gone => Some(Err(gone())),
        }
    }
}

impl Plain {
    /// The TCP socket below, if there is one.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.get_ref().0.tcp(),
            Self::Unix(_) | Self::Other(_) | Self::Secured(..) | Self::Gone => None,
        }
    }

    /// It ends in a Unix socket.
    pub(super) fn is_unix(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.get_ref().0.is_unix(),
            Self::Tcp(_) | Self::Other(_) | Self::Secured(..) | Self::Gone => false,
        }
    }

    /// Registers the socket with the runtime that this is called in.
    pub(super) fn register_here(&mut self) -> io::Result<()> {
        #[cfg(feature = "tls")]
        if let Self::Tls(tls) = self {
            return match &mut **tls {
                TlsStream::Client(tls) => tls.get_mut().0.register_here(),
                TlsStream::Server(tls) => tls.get_mut().0.register_here(),
            };
        }
        *self = match std::mem::replace(self, Self::Gone) {
            Self::Tcp(tcp) => Self::Tcp(TcpStream::from_std(tcp.into_std()?)?),
            Self::Unix(unix) => Self::Unix(UnixStream::from_std(unix.into_std()?)?),
            kept => kept,
        };
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket is gone")
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
            Self::Other(other) | Self::Secured(other, _) => Pin::new(other).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Other(other) | Self::Secured(other, _) => Pin::new(other).poll_write(cx, bytes),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Unix(unix) => Pin::new(unix).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
            Self::Other(other) | Self::Secured(other, _) => {
                Pin::new(other).poll_write_vectored(cx, slices)
            }
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::Other(other) | Self::Secured(other, _) => Pin::new(other).poll_flush(cx),
            Self::Tcp(_) | Self::Unix(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Other(other) | Self::Secured(other, _) => Pin::new(other).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
