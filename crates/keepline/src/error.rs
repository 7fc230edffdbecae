//! The error of this crate: what failed, whose fault it is, and on which connection.
//!
//! Opaque, so that causes can be added; asked by [`Error::kind`] and the `is_*` methods.
//! [`Display`](fmt::Display) tells the whole in one line; `source` leads to the cause.

use std::fmt;
use std::io;

use keepline_proto::{LocalError, RemoteError};

use crate::ConnectionInfo;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request cannot be sent as it is: its URI, method or fields.
    InvalidRequest,
    /// What is being sent breaks the protocol.
    Misuse(LocalError),
    /// The name has no address.
    Resolve,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed; or, if the error tells a [connection](Error::connection), the
    /// server refused it afterwards: with TLS 1.3 that is how it refuses a client's certificate.
    Tls,
    /// A proxy did not open a tunnel.
    Proxy(ProxyRefusal),
    /// A deadline passed in this phase.
    Timeout(Phase),
    /// The peer broke the protocol or closed too early.
    Protocol(RemoteError),
    /// An HTTP/2 stream was reset, or its session has failed.
    Http2,
    /// Reading or writing the connection failed.
    Io,
    /// The body that was to be sent failed.
    Body,
    /// The service of a server failed.
    Service,
    /// Content that was received is not what it was read as: its coding is broken, or it is no
    /// text or JSON.
    Content,
    /// A redirect leads nowhere, or there were more of them than allowed.
    Redirect,
    /// A body is larger than the reader allows.
    TooLarge,
    /// The Transport or server was shut down.
    Shutdown,
}

/// What a proxy did instead of opening a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyRefusal {
    /// It answered CONNECT with this status, which is not 2xx: 407 where it wants credentials.
    Status(http::StatusCode),
    /// It answered with this reply of SOCKS (RFC 1928 §6).
    Socks(u8),
    /// As a SOCKS proxy, it wants credentials, or does not accept those that it was given.
    Authentication,
    /// It broke its protocol, or closed too early.
    Protocol,
}

/// Where a deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for a free connection.
    Acquire,
    /// Waiting for the answer to an HTTP/2 PING: the peer has died without a word.
    Ping,
    /// Resolving the name.
    Resolve,
    /// Connecting the socket.
    Connect,
    /// Waiting for a proxy to open a tunnel.
    Proxy,
    /// The TLS handshake.
    Handshake,
    /// Receiving a head.
    Head,
    /// Receiving a body.
    Body,
    /// Writing.
    Write,
    /// The request as a whole.
    Request,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acquire => "waiting for a free connection",
            Self::Ping => "waiting for the answer to a PING",
            Self::Resolve => "resolving the name",
            Self::Connect => "connecting",
            Self::Proxy => "waiting for the proxy",
            Self::Handshake => "in the TLS handshake",
            Self::Head => "waiting for the response head",
            Self::Body => "waiting for the body",
            Self::Write => "writing",
            Self::Request => "in the request as a whole",
        })
    }
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// This program's: what it asked for cannot be done.
    Local,
    /// The peer's: it broke the protocol.
    Remote,
    /// Nobody's in particular: the network, a name, a time.
    Network,
}

/// An error of a Transport, a server or a body.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    source: Option<BoxError>,
    connection: Option<ConnectionInfo>,
    /// The proxy at which, or on the way to which, it went wrong.
    proxy: Option<Box<str>>,
    /// Where redirects had led.
    redirected: Option<Box<http::Uri>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            source: None,
            connection: None,
            proxy: None,
            redirected: None,
        }))
    }

    pub(crate) fn caused(kind: ErrorKind, source: impl Into<BoxError>) -> Self {
        Self(Box::new(Inner {
            kind,
            source: Some(source.into()),
            connection: None,
            proxy: None,
            redirected: None,
        }))
    }

    pub(crate) fn timeout(phase: Phase) -> Self {
        Self::new(ErrorKind::Timeout(phase))
    }

    /// The same error once more, for somebody else who counted on the same dial.
    #[cfg(feature = "http2")]
    pub(crate) fn repeated(&self) -> Self {
        let repeated = self.0.source.as_ref().map(|source| -> BoxError {
            match source.downcast_ref::<io::Error>() {
                Some(io) => Box::new(io::Error::new(io.kind(), io.to_string())),
                None => source.to_string().into(),
            }
        });
        Self(Box::new(Inner {
            kind: self.0.kind,
            source: repeated,
            connection: self.0.connection.clone(),
            proxy: self.0.proxy.clone(),
            redirected: self.0.redirected.clone(),
        }))
    }

    /// Adds the connection that the exchange ran on, unless it is known.
    #[must_use]
    pub(crate) fn on(mut self, connection: ConnectionInfo) -> Self {
        self.0.connection.get_or_insert(connection);
        self
    }

    /// Names the proxy at which it went wrong, or on the way to which.
    #[cfg(feature = "client")]
    #[must_use]
    pub(crate) fn at_proxy(mut self, proxy: &impl fmt::Display) -> Self {
        self.0.proxy = Some(proxy.to_string().into());
        self
    }

    /// An alert of the peer (RFC 8446 §6.2) is TLS's error, though it is reading that shows it.
    #[cfg(all(feature = "tls", feature = "client"))]
    #[must_use]
    pub(crate) fn told_by_tls(mut self) -> Self {
        if let (ErrorKind::Io, Some(source)) = (self.0.kind, &self.0.source)
            && let Some(error) = source.downcast_ref::<io::Error>()
            && let Some(rustls::Error::AlertReceived(_)) =
                error.get_ref().and_then(|error| error.downcast_ref())
        {
            self.0.kind = ErrorKind::Tls;
        }
        self
    }

    /// What failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The connection that the exchange ran on; `None` if it never had one.
    #[must_use]
    pub fn connection(&self) -> Option<&ConnectionInfo> {
        self.0.connection.as_ref()
    }

    /// The proxy at which it went wrong, or on the way to which, as a URL without credentials. `None`:
    /// there is no proxy, or what failed lies behind it.
    #[must_use]
    pub fn proxy(&self) -> Option<&str> {
        self.0.proxy.as_deref()
    }

    /// Tells that redirects had led there.
    #[cfg(feature = "client")]
    #[must_use]
    pub(crate) fn redirected_to(mut self, uri: &http::Uri) -> Self {
        self.0.redirected = Some(Box::new(uri.clone()));
        self
    }

    /// What was being asked when it went wrong, if that was not what the program had asked for: where
    /// redirects had led.
    #[must_use]
    pub fn redirected(&self) -> Option<&http::Uri> {
        self.0.redirected.as_deref()
    }

    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self.0.kind {
            ErrorKind::InvalidRequest
            | ErrorKind::Misuse(_)
            | ErrorKind::Body
            | ErrorKind::Service
            | ErrorKind::TooLarge
            | ErrorKind::Shutdown => Fault::Local,
            ErrorKind::Protocol(_)
            | ErrorKind::Http2
            | ErrorKind::Content
            | ErrorKind::Redirect => Fault::Remote,
            ErrorKind::Resolve
            | ErrorKind::Connect
            | ErrorKind::Proxy(_)
            | ErrorKind::Tls
            | ErrorKind::Timeout(_)
            | ErrorKind::Io => Fault::Network,
        }
    }

    /// A deadline passed, or the kernel has given the peer up, which acknowledged nothing for too long
    /// (TCP keep-alive, `TCP_USER_TIMEOUT`).
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout(_)) || self.is_given_up()
    }

    /// The kernel has given the peer up.
    pub(crate) fn is_given_up(&self) -> bool {
        let source = self.0.source.as_deref();
        let io = source.and_then(|source| source.downcast_ref::<io::Error>());
        self.0.kind == ErrorKind::Io && io.is_some_and(crate::net::is_given_up)
    }

    /// No connection could be made: nothing of the request was sent.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        match self.0.kind {
            // A connection is known where the request was CONNECT itself.
            ErrorKind::Tls | ErrorKind::Timeout(Phase::Proxy) => self.0.connection.is_none(),
            ErrorKind::Resolve
            | ErrorKind::Connect
            | ErrorKind::Proxy(_)
            | ErrorKind::Timeout(
                Phase::Acquire | Phase::Resolve | Phase::Connect | Phase::Handshake,
            ) => true,
            _ => false,
        }
    }

    /// The peer closed, or was reset, before the end of a message.
    #[must_use]
    pub fn is_closed_early(&self) -> bool {
        match self.0.kind {
            ErrorKind::Protocol(error) => error.is_incomplete(),
            ErrorKind::Io => true,
            ErrorKind::Tls => self.0.connection.is_some(),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            source,
            connection,
            proxy,
            redirected,
        } = &*self.0;
        match kind {
            ErrorKind::InvalidRequest => f.write_str("the request cannot be sent")?,
            ErrorKind::Misuse(error) => write!(f, "this may not be sent: {error}")?,
            ErrorKind::Resolve => f.write_str("the name could not be resolved")?,
            ErrorKind::Connect => f.write_str("no connection could be made")?,
            ErrorKind::Proxy(_) => f.write_str("the proxy opened no tunnel")?,
            ErrorKind::Tls if connection.is_some() => f.write_str("the peer ended TLS")?,
            ErrorKind::Tls => f.write_str("the TLS handshake failed")?,
            ErrorKind::Timeout(Phase::Ping) => f.write_str("the peer no longer answers")?,
            // The source tells what it was doing.
            ErrorKind::Timeout(Phase::Request) => f.write_str("timed out")?,
            ErrorKind::Timeout(phase) => write!(f, "timed out {phase}")?,
            ErrorKind::Protocol(error) => write!(f, "the peer broke the protocol: {error}")?,
            ErrorKind::Io => f.write_str("the connection failed")?,
            ErrorKind::Http2 => f.write_str("the HTTP/2 stream failed")?,
            ErrorKind::Body => f.write_str("the body to be sent failed")?,
            ErrorKind::Service => f.write_str("the service failed")?,
            ErrorKind::Content => f.write_str("the content cannot be read")?,
            ErrorKind::Redirect => f.write_str("the redirect is not followed")?,
            ErrorKind::TooLarge => f.write_str("the body is larger than allowed")?,
            ErrorKind::Shutdown => f.write_str("it has been shut down")?,
        }
        if let Some(proxy) = proxy {
            write!(f, ": proxy {proxy}")?;
        }
        if let Some(source) = source {
            write!(f, ": {source}")?;
        }
        if let Some(connection) = connection {
            write!(f, " [{connection}]")?;
        }
        if let Some(uri) = redirected {
            write!(f, ", redirected to {uri}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("source", &self.0.source)
            .field("connection", &self.0.connection)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<RemoteError> for Error {
    fn from(error: RemoteError) -> Self {
        Self::new(ErrorKind::Protocol(error))
    }
}

impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        Self::new(ErrorKind::Misuse(error))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::caused(ErrorKind::Io, error)
    }
}
