//! What has arrived on a stream where nothing was to come.
//!
//! A few bytes are read from an idle stream, enough to tell what they are. Whatever they are, the
//! stream is not used again, so nothing of them is ever taken for an answer.

use std::io;

/// What has arrived on a stream where nothing was to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// The end.
    Fin,
    /// A reset, or another failure.
    Error,
    /// Nothing, for so long that the kernel has given the peer up.
    GivenUp,
    /// A response 408 (Request Timeout): how some servers announce that they close an idle
    /// connection (RFC 9110 §15.5.9).
    RequestTimeout,
    /// Anything else.
    Bytes,
}

impl Arrived {
    /// So many bytes tell what they are.
    pub(super) const TOLD_BY: usize = 12;

    pub(super) const fn from_bytes(bytes: &[u8]) -> Self {
        match bytes {
            [] => Self::Fin,
            #[rustfmt::skip]
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'4', b'0', b'8'] => {
                Self::RequestTimeout
            },
            _ => Self::Bytes,
        }
    }

    /// `None`: nothing has arrived.
    pub(super) fn from_error(error: &io::Error) -> Option<Self> {
        (error.kind() != io::ErrorKind::WouldBlock).then(|| Self::from_failure(error))
    }

    /// Reading has failed.
    pub(super) fn from_failure(error: &io::Error) -> Self {
        if is_given_up(error) {
            Self::GivenUp
        } else {
            Self::Error
        }
    }
}

/// The peer has acknowledged nothing for so long that the kernel has given it up: TCP keep-alive,
/// `TCP_USER_TIMEOUT` (RFC 5482) or the last retransmission. Where routers have said in the meantime
/// that there is no way, the kernel tells that instead (tcp(7)).
pub(crate) fn is_given_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
