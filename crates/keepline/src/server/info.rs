//! What a request knows of the connection that it came on.

use std::time::Duration;

use tokio::time::Instant;

use crate::net::PeerAddr;

/// The connection that a request came on: among the extensions of each request of
/// [`Server::serve`](super::Server::serve), and [`Exchange::info`](super::Exchange::info).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestInfo {
    pub(super) connection: u64,
    pub(super) number: u64,
    pub(super) opened: Instant,
    pub(super) peer: PeerAddr,
    pub(super) tls: bool,
}

impl RequestInfo {
    /// Number of the connection, from 1, in the order in which the server accepted them.
    #[must_use]
    pub const fn connection(&self) -> u64 {
        self.connection
    }

    /// Number of the request on its connection, from 1.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Time since the connection was accepted.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The same at an instant that the caller knows already: a clock that need not be read.
    #[must_use]
    pub fn age_at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened)
    }

    /// The other end; the client that a header of the PROXY protocol names, where the listener
    /// [asks for one](crate::net::Listener::proxy_protocol).
    #[must_use]
    pub const fn peer(&self) -> PeerAddr {
        self.peer
    }

    /// It came over TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}
