//! What happened, for whoever watches.

use std::fmt;
use std::net::SocketAddr;

/// Something that happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which connection, counted from 1 in the order of arrival.
    pub connection: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It was accepted.
    Opened {
        /// The client's address.
        peer: SocketAddr,
    },
    /// A request was read, its body included.
    Request {
        /// Which request of the connection, counted from 1.
        number: u64,
        /// Its request line.
        line: String,
    },
    /// The server began to misbehave.
    Fault,
    /// It is over.
    Ended(End),
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// The server closed it.
    Closed,
    /// The server reset it.
    Reset,
    /// The client closed it first.
    ClientClosed,
    /// The client reset it first.
    ClientReset,
    /// The client sent what is no request that could be read.
    Unreadable,
    /// It had been held for ten minutes, which is as long as any is held.
    HeldLongEnough,
}

impl End {
    /// Its name, for output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::ClientClosed => "client-closed",
            Self::ClientReset => "client-reset",
            Self::Unreadable => "unreadable",
            Self::HeldLongEnough => "held-long-enough",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
