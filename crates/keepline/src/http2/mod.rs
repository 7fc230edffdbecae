//! What HTTP/2 has in common on both sides: content that arrives on a stream, content that is sent
//! on one, and whose fault an error is.
//!
//! The protocol itself is the `h2` crate's business. A session is one task, of which this module
//! knows nothing.

mod recv;
mod send;

#[cfg(any(feature = "client", feature = "server"))]
pub(crate) use recv::{RecvBody, RecvLimits};
#[cfg(any(feature = "client", feature = "server"))]
pub(crate) use send::{SendEnd, send_body};

use crate::error::{Error, ErrorKind};

/// An error of a stream or session.
pub(crate) fn session_error(error: h2::Error) -> Error {
    let kind = if error.is_io() {
        ErrorKind::Io
    } else {
        ErrorKind::Http2
    };
    Error::caused(kind, error)
}
