//! `resolver`: the name servers that are asked while requests come.

use std::net::SocketAddr;
use std::time::Duration;

/// `resolver`. All names that it is not asked for are resolved when the configuration is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// The name servers; at least one.
    pub servers: Vec<SocketAddr>,
    /// `valid=`: an answer holds for so long, whatever its TTL.
    pub valid: Option<Duration>,
    /// `ipv4=off` leaves these addresses out.
    pub ipv4: bool,
    /// `ipv6=off` leaves these addresses out.
    pub ipv6: bool,
}
