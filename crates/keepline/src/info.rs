//! What is known of the connection that an exchange ran on.

use std::fmt;
use std::time::Duration;

use crate::OpenReason;
use crate::net::PeerAddr;

/// The connection of one exchange. On every response (in its extensions, and
/// [`Error::connection`](crate::Error::connection)) and on every error of an exchange that had one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Number of the connection, from 1, in the order in which its Transport opened them.
    pub id: u64,
    /// It carried an exchange before this one.
    pub reused: bool,
    /// How long it had been idle in the pool; `None` if it was handed over without a pause, or is
    /// new.
    pub idle_for: Option<Duration>,
    /// Time since it was opened.
    pub age: Duration,
    /// Number of this exchange on the connection, from 1.
    pub exchange_number: u64,
    /// Why it was opened.
    pub open_reason: OpenReason,
    /// The other end.
    pub peer: PeerAddr,
    /// How often this request was sent before, on connections that had died.
    pub retries: u32,
    /// Bytes of this exchange that were given to the socket.
    pub bytes_written: u64,
    /// Bytes of this exchange that came from the socket.
    pub bytes_read: u64,
    /// Where the time went.
    pub timings: Timings,
}

/// Where the time of an exchange went. Dialling phases are those of the connection that was
/// used, and `None` on a reused one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// From asking for a connection to having one, dialling included.
    pub wait: Duration,
    /// Resolving the name.
    pub dns: Option<Duration>,
    /// Connecting the socket.
    pub connect: Option<Duration>,
    /// Having a proxy open a tunnel, TLS with the proxy included.
    pub proxy: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From having the connection to the whole head of the response.
    pub first_byte: Option<Duration>,
}

impl fmt::Display for ConnectionInfo {
    /// For messages: `connection 3 (reused after 5.0 s idle, exchange 7), 85 bytes sent, 0 received`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {} ", self.id)?;
        match (self.reused, self.idle_for) {
            (true, Some(idle)) => write!(f, "(reused after {:.1} s idle", idle.as_secs_f64())?,
            (true, None) => f.write_str("(reused")?,
            (false, _) => write!(f, "(new, opened: {}", self.open_reason)?,
        }
        write!(f, ", exchange {}), ", self.exchange_number)?;
        write!(
            f,
            "{} bytes sent, {} received",
            self.bytes_written, self.bytes_read
        )
    }
}
