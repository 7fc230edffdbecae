//! Whether a connection can carry a further exchange: RFC 9112 §9.3 as a pure function.

use http::Version;

use crate::{ConnectionOptions, Framing};

/// Whether the connection persists after this message, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// A further exchange may follow.
    Persistent,
    /// This is the last exchange.
    Close(NotPersistent),
}

/// Why a connection cannot carry a further exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotPersistent {
    /// The peer sent `Connection: close`.
    PeerAskedClose,
    /// We sent `Connection: close`, or decided to.
    LocalAskedClose,
    /// HTTP/1.0 without `Connection: keep-alive`.
    Http10,
    /// The body ends where the connection ends.
    CloseDelimited,
    /// CONNECT: its connection is a tunnel, or was refused and is closed, as Go does.
    Connect,
    /// The connection speaks another protocol now.
    Switched,
}

/// Persistence after a received message (RFC 9112 §9.3).
///
/// The rule, in its order:
/// - "If the 'close' connection option is present, the connection will not persist after the
///   current response; else,
/// - If the received protocol is HTTP/1.1 (or later), the connection will persist after the
///   current response; else,
/// - If the received protocol is HTTP/1.0, the 'keep-alive' connection option is present, either
///   the recipient is not a proxy or the message is a response, and the recipient wishes to honor
///   the HTTP/1.0 'keep-alive' mechanism, the connection will persist after the current response;
///   otherwise,
/// - The connection will close after the current response."
#[must_use]
pub fn persistence(version: Version, options: ConnectionOptions, framing: Framing) -> Persistence {
    if options.close() {
        return Persistence::Close(NotPersistent::PeerAskedClose);
    }
    if framing == Framing::CloseDelimited {
        return Persistence::Close(NotPersistent::CloseDelimited);
    }
    if version < Version::HTTP_11 && !options.keep_alive() {
        return Persistence::Close(NotPersistent::Http10);
    }
    Persistence::Persistent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        use NotPersistent::{CloseDelimited, Http10, PeerAskedClose};
        let framed = Framing::Length(0);
        let until_close = Framing::CloseDelimited;
        let (one, zero) = (Version::HTTP_11, Version::HTTP_10);
        for (version, options, framing, expected) in [
            (one, "", framed, None),
            (one, "keep-alive", framed, None),
            (one, "x", framed, None),
            (one, "close", framed, Some(PeerAskedClose)),
            (one, "keep-alive, close", framed, Some(PeerAskedClose)),
            (one, "", until_close, Some(CloseDelimited)),
            (one, "keep-alive", until_close, Some(CloseDelimited)),
            (zero, "", framed, Some(Http10)),
            (zero, "keep-alive", framed, None),
            (zero, "keep-alive, close", framed, Some(PeerAskedClose)),
            (zero, "keep-alive", until_close, Some(CloseDelimited)),
        ] {
            let mut set = ConnectionOptions::default();
            set.add(options.as_bytes());
            let expected = expected.map_or(Persistence::Persistent, Persistence::Close);
            assert_eq!(
                persistence(version, set, framing),
                expected,
                "{version:?} {options}"
            );
        }
    }
}
